package journal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// eachFair is each without rivals that append: they do so after an end, too, and
// in the middle of a character.
func eachFair(t *testing.T, test func(t *testing.T, st store.Store, c *clock)) {
	for _, d := range drivers {
		if d.name != "foreign records" {
			d.run(t, test)
		}
	}
}

// create makes a stream that is not there yet.
func create(t testing.TB, j *Journal, c Config, w Write) Written {
	t.Helper()
	made, written, err := j.Create(context.Background(), c, w)
	if err != nil || !made {
		t.Fatalf("create: %v, %v", made, err)
	}
	return written
}

// write does what cannot fail.
func write(t testing.TB, j *Journal, w Write) Written {
	t.Helper()
	written, err := j.Write(context.Background(), w)
	if err != nil {
		t.Fatalf("write: %v", err)
	}
	return written
}

// stat returns what a stream is. It asks until a store that lags has caught up.
func stat(t testing.TB, j *Journal, name string, use bool) (m Meta, err error) {
	t.Helper()
	for range 9 {
		if m, err = j.Stat(context.Background(), name, use); j.st.Abilities().ReadAfterWrite {
			break
		}
	}
	return m, err
}

// wantGone checks that there is no stream of that name.
func wantGone(t testing.TB, j *Journal, name string) {
	t.Helper()
	_, err := stat(t, j, name, false)
	wantCode(t, err, leat.CodeNotFound)
}

// wantEnd checks that a stream has so many records and then one end, and nothing
// behind it.
func wantEnd(t testing.TB, st store.Store, name string, n int, how leat.EndState) {
	t.Helper()
	all := records(t, st, name)
	if len(all) != n+1 {
		t.Fatalf("%s: %d entries, want %d and an end", name, len(all), n)
	}
	for i, r := range all {
		if end := r.Kind == leat.KindEnd; end != (i == n) || end && r.Type != string(how) {
			t.Fatalf("%s: entry %d of %d is %s %q", name, i, n+1, r.Kind, r.Type)
		}
	}
}

func TestWrite(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		w := create(t, j, Config{ContentType: "text/plain"}, Write{Stream: "a"})
		if !w.Last.IsStart() || w.End != 0 {
			t.Errorf("an empty stream ends at %+v", w)
		}
		w = write(t, j, Write{Stream: "a", Appends: []Append{text("", "one"), text("", "two")}})
		if all := records(t, st, "a"); len(all) != 2 || w.Last != all[1].Offset || w.End != 6 {
			t.Errorf("written %+v, there are %+v", w, all)
		}
		// Nothing to do is done, and says what there is.
		if again := write(t, j, Write{Stream: "a"}); again != w {
			t.Errorf("nothing: %+v, want %+v", again, w)
		}
		end := write(t, j, Write{Stream: "a", Appends: []Append{text("", "three")}, End: leat.EndError, Reason: "why"})
		wantEnd(t, st, "a", 3, leat.EndError)
		all := records(t, st, "a")
		if r := all[3]; string(r.Data) != "why" || r.Pos != 11 || r.End() != 11 || end.Last != r.Offset || end.End != 11 {
			t.Errorf("the end is %+v, written %+v", r, end)
		}
		m, err := stat(t, j, "a", false)
		if err != nil || m.Over != leat.EndError || m.Reason != "why" || m.Records != 3 || m.Start != 0 || m.End != 11 || m.Last != end.Last {
			t.Errorf("stat: %+v, %v", m, err)
		}
		// Ending it again in the same way is not an error.
		for _, j := range []*Journal{j, open(t, st, Options{Now: c.Now})} {
			if again := write(t, j, Write{Stream: "a", End: leat.EndError, Reason: "another"}); again != end {
				t.Errorf("again: %+v, want %+v", again, end)
			}
			for _, w := range []Write{
				{Stream: "a", End: leat.EndComplete},
				{Stream: "a", Appends: []Append{text("", "x")}},
				{Stream: "a", Appends: []Append{text("", "x")}, End: leat.EndError},
			} {
				_, err := j.Write(context.Background(), w)
				wantCode(t, err, leat.CodeEnded)
			}
			refused(t, j, leat.CodeEnded, text("a", "x"))
		}
		wantEnd(t, st, "a", 3, leat.EndError)
	})
}

func TestWriteRefuses(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, MaxRecord: 2000})
		create(t, j, Config{ContentType: "text/plain"}, Write{Stream: "a"})
		good := text("", "good")
		most := st.Abilities().MaxTxRecords
		many := make([]Append, most+1)
		for i := range many {
			many[i] = good
		}
		for i, test := range []struct {
			w    Write
			code leat.Code
		}{
			{Write{Stream: "//"}, leat.CodeInvalidName},
			{Write{Stream: "none"}, leat.CodeNotFound},
			{Write{Stream: "none", End: leat.EndComplete}, leat.CodeNotFound},
			{Write{Stream: "a", Appends: []Append{good}, End: "over"}, leat.CodeInvalidParameter},
			{Write{Stream: "a", Appends: []Append{good}, End: leat.EndDeleted}, leat.CodeInvalidParameter},
			{Write{Stream: "a", Appends: []Append{good}, End: leat.EndExpired}, leat.CodeInvalidParameter},
			{Write{Stream: "a", End: leat.EndError, Reason: strings.Repeat("x", MaxReason+1)}, leat.CodeInvalidParameter},
			{Write{Stream: "a", End: leat.EndError, Reason: "\xff"}, leat.CodeInvalidParameter},
			{Write{Stream: "a", Appends: []Append{good, text("", "\xff")}, End: leat.EndComplete}, leat.CodeInvalidBody},
			{Write{Stream: "a", Appends: []Append{good, {ContentType: "image/png"}}, End: leat.EndComplete}, leat.CodeTypeMismatch},
			{Write{Stream: "a", Appends: []Append{good, text("", strings.Repeat("x", 2001))}}, leat.CodeTooLarge},
			{Write{Stream: "a", Appends: []Append{good, {Type: "leat.x"}}}, leat.CodeInvalidType},
			{Write{Stream: "a", Appends: []Append{good, {Key: "\n"}}}, leat.CodeInvalidKey},
			{Write{Stream: "a", Appends: many}, leat.CodeTooLarge},
			{Write{Stream: "a", Appends: many[1:], End: leat.EndComplete}, leat.CodeTooLarge},
		} {
			_, err := j.Write(context.Background(), test.w)
			wantCode(t, err, test.code)
			if n := len(records(t, st, "a")); n != 0 {
				t.Fatalf("%d: %d records are stored", i, n)
			}
		}
		write(t, j, Write{Stream: "a", Appends: many[1:]})
		refused(t, j, leat.CodeNotFound, Append{Stream: "none", Existing: true})
		refused(t, j, leat.CodeEnded, endedBefore(t, j))
	})
}

func endedBefore(t testing.TB, j *Journal) Append {
	create(t, j, Config{}, Write{Stream: "ended", End: leat.EndComplete})
	return Append{Stream: "ended", Existing: true, Data: []byte("x")}
}

// Create again with the same configuration is not an error, with another one it
// is, and neither changes anything.
func TestCreate(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		config := Config{ContentType: "Text/Plain", Retention: Retention{Records: 10}, TTL: time.Hour, Expires: time.Now().Add(1000 * time.Hour)}
		first := create(t, j, config, Write{Stream: "a", Appends: []Append{text("", "one")}})
		for _, j := range []*Journal{j, open(t, st, Options{Now: c.Now})} {
			for range 2 {
				made, again, err := j.Create(context.Background(), config, Write{Stream: "a", Appends: []Append{text("", "one")}})
				if made || err != nil || again != first {
					t.Errorf("again: %v, %+v, %v", made, again, err)
				}
			}
			for i, change := range []func(*Config){
				func(c *Config) { c.ContentType = "text/html" },
				func(c *Config) { c.ContentType = "" },
				func(c *Config) { c.Retention.Records++ },
				func(c *Config) { c.Retention.Bytes++ },
				func(c *Config) { c.Retention.Age++ },
				func(c *Config) { c.TTL++ },
				func(c *Config) { c.Expires = c.Expires.Add(1) },
				func(c *Config) { c.Expires = time.Time{} },
			} {
				other := config
				change(&other)
				made, _, err := j.Create(context.Background(), other, Write{Stream: "a"})
				if wantCode(t, err, leat.CodeExists); made {
					t.Errorf("%d: made", i)
				}
			}
			_, _, err := j.Create(context.Background(), config, Write{Stream: "a", End: leat.EndComplete})
			wantCode(t, err, leat.CodeExists)
		}
		m, err := stat(t, j, "a", false)
		if err != nil || m.ContentType != "text/plain" || m.Config.TTL != time.Hour || !m.Config.Expires.Equal(config.Expires) || m.Config.Retention.Records != 10 {
			t.Errorf("stat: %+v, %v", m, err)
		}
		wantContents(t, st, "a", "one")
		for _, bad := range []Config{
			{ContentType: "nonsense"}, {Retention: Retention{Records: -1}}, {Retention: Retention{Bytes: -1}},
			{Retention: Retention{Age: -1}}, {TTL: -1}, {Expires: time.Unix(1<<40, 0)}, {Expires: time.Unix(-1<<40, 0)},
		} {
			_, _, err := j.Create(context.Background(), bad, Write{Stream: "bad"})
			if code := leat.CodeOf(err); code != leat.CodeInvalidParameter && code != leat.CodeMediaType {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		wantGone(t, j, "bad")
	})
}

// A stream may be made, filled and ended at once.
func TestCreateEnded(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		w := Write{Stream: "a", Appends: []Append{text("", "one"), text("", "two")}, End: leat.EndComplete}
		first := create(t, j, Config{ContentType: "text/plain"}, w)
		wantEnd(t, st, "a", 2, leat.EndComplete)
		made, again, err := j.Create(context.Background(), Config{ContentType: "text/plain"}, w)
		if made || err != nil || again != first {
			t.Errorf("again: %v, %+v, %v", made, again, err)
		}
		for _, end := range []leat.EndState{"", leat.EndAborted} {
			_, _, err := j.Create(context.Background(), Config{ContentType: "text/plain"}, Write{Stream: "a", End: end})
			wantCode(t, err, leat.CodeExists)
		}
	})
}

// A topic that is then made on purpose is kept by that configuration, and loses
// nothing: not by its age as a topic, and only as the bounds say.
func TestCreateAdoptsATopic(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1, Topics: Retention{Age: time.Hour}})
		ctx := context.Background()
		first := must(t, j, text("a", "one"))[0]
		_, _, err := j.Create(ctx, Config{ContentType: "application/json"}, Write{Stream: "a"})
		wantCode(t, err, leat.CodeExists)
		keep := Config{ContentType: "text/plain; charset=utf-8", TTL: 24 * time.Hour}
		made, w, err := j.Create(ctx, keep, Write{Stream: "a", Appends: []Append{text("", "not again")}})
		if made || err != nil || w.Last != first.Offset {
			t.Fatalf("made %v, %+v, %v", made, w, err)
		}
		c.add(12 * time.Hour)
		if err := j.Sweep(ctx); err != nil {
			t.Fatal(err)
		}
		m, err := j.Stat(ctx, "a", false)
		if err != nil || m.Records != 1 || m.Config == nil || m.Config.TTL != keep.TTL {
			t.Errorf("%+v, %v", m, err)
		}
		_, _, err = j.Create(ctx, Config{ContentType: "text/plain"}, Write{Stream: "a"})
		wantCode(t, err, leat.CodeExists)
		c.add(13 * time.Hour)
		_, err = j.Stat(ctx, "a", false)
		wantCode(t, err, leat.CodeNotFound)
	})
}

// What a refusal or a repeated Create says is true of the store, not of what was
// true before another process came.
func TestCreateAfterAnother(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j, other := open(t, st, Options{Now: c.Now}), open(t, st, Options{Now: c.Now})
		ctx := context.Background()
		create(t, j, Config{ContentType: "text/plain"}, Write{Stream: "a", Appends: []Append{text("", "old")}})
		settle(t, st, "a")
		if err := other.Delete(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		long := Config{ContentType: "text/plain", TTL: time.Hour}
		create(t, other, long, Write{Stream: "a", Appends: []Append{text("", "new"), text("", "er")}})
		settle(t, st, "a")
		if _, w, err := j.Create(ctx, long, Write{Stream: "a"}); err != nil || w.End != 5 {
			t.Errorf("%+v, %v", w, err)
		}
		settle(t, st, "a")
		_, _, err := j.Create(ctx, Config{ContentType: "text/plain"}, Write{Stream: "a"})
		wantCode(t, err, leat.CodeExists)
	})
}

// settle asks a store that lags until its answers are those of now.
func settle(t testing.TB, st store.Store, name string) {
	t.Helper()
	for range 9 {
		if _, err := st.Stream(context.Background(), name, stateKeys...); err != nil {
			t.Fatal(err)
		}
		if _, err := st.Stream(context.Background(), name); err != nil {
			t.Fatal(err)
		}
	}
}

// A deleted stream is gone at once, its entry tells so, and a new one of that
// name shares nothing with it.
func TestDelete(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1})
		ctx := context.Background()
		for _, name := range []string{"//", "none"} {
			if err := j.Delete(ctx, name); err == nil {
				t.Errorf("%s was deleted", name)
			}
		}
		create(t, j, Config{ContentType: "text/plain", TTL: time.Hour}, Write{Stream: "a"})
		must(t, j, keyed("a", "k", "old"), keyed("a", "l", "old"))
		before, _ := stat(t, j, "a", false)
		if err := j.Delete(ctx, "a"); err != nil {
			t.Fatal(err)
		}
		wantCode(t, j.Delete(ctx, "a"), leat.CodeNotFound)
		wantGone(t, j, "a")
		wantEnd(t, st, "a", 0, leat.EndDeleted)
		_, err := j.Write(ctx, Write{Stream: "a", End: leat.EndComplete})
		wantCode(t, err, leat.CodeNotFound)
		refused(t, j, leat.CodeNotFound, Append{Stream: "a", Existing: true})
		for i, anew := range []func(){
			func() { must(t, j, Append{Stream: "a", Key: "k", ContentType: "image/png", Data: []byte("new")}) },
			func() {
				create(t, j, Config{ContentType: "image/png"}, Write{Stream: "a", Appends: []Append{{Key: "k", Data: []byte("new")}}})
			},
		} {
			anew()
			m, err := stat(t, j, "a", false)
			if err != nil || m.ID <= before.ID || m.Start != 0 || m.End != 3 || m.Over != "" || m.Config != nil != (i == 1) || m.ContentType != "image/png" {
				t.Errorf("%d: %+v, %v", i, m, err)
			}
			wantContents(t, st, "a", "new")
			before = m
			if err := j.Delete(ctx, "a"); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A stream can be deleted, and expires, whatever its last entry is.
func TestDeleteWhatEnded(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1})
		for _, how := range []leat.EndState{leat.EndDeleted, leat.EndExpired} {
			for i, last := range []Write{
				{},
				{End: leat.EndComplete},
				{Appends: []Append{piece("", "x\xe2")}},
				{Appends: []Append{piece("", "x\xe2")}, End: leat.EndTruncated},
			} {
				last.Stream = fmt.Sprint(how, i)
				create(t, j, Config{ContentType: "text/plain", TTL: ttl}, last)
				if how == leat.EndDeleted {
					if err := j.Delete(context.Background(), last.Stream); err != nil {
						t.Fatal(err)
					}
				} else {
					c.add(ttl + eighth)
					sweep(t, j)
				}
				wantEnd(t, st, last.Stream, 0, how)
				must(t, j, text(last.Stream, "new"))
			}
		}
	})
}

// Another process that has deleted the stream has deleted its keys.
func TestKeysOfDeleted(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j, other := open(t, st, Options{Now: c.Now, Sweep: -1}), open(t, st, Options{Now: c.Now, Sweep: -1})
		must(t, j, keyed("a", "k", "1"))
		must(t, j, keyed("a", "k", "1"))
		if err := other.Delete(context.Background(), "a"); err != nil {
			t.Fatal(err)
		}
		if must(t, j, keyed("a", "k", "2"))[0].Duplicate {
			t.Error("a duplicate of a record that was deleted")
		}
		wantContents(t, st, "a", "2")
	})
}

// What a deleted stream held goes though the one who deleted it has gone, and
// what is left of it goes after Options.Tombstone.
func TestDeleteIsFinished(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		broken := true
		fail := &hooked{Store: st, trim: func(string) error {
			if broken {
				return errors.New("gone")
			}
			return nil
		}}
		j := open(t, fail, Options{Now: c.Now, Sweep: -1})
		create(t, j, Config{ContentType: "text/plain"}, Write{Stream: "a", Appends: []Append{text("", "secret")}})
		if err := j.Delete(context.Background(), "a"); err == nil {
			t.Fatal("deleted")
		}
		j.Close()
		broken = false
		j = open(t, fail, Options{Now: c.Now, Sweep: -1, Tombstone: time.Hour})
		sweep(t, j)
		wantEnd(t, st, "a", 0, leat.EndDeleted)
		c.add(time.Hour - time.Second)
		sweep(t, j)
		wantEnd(t, st, "a", 0, leat.EndDeleted)
		c.add(time.Second)
		sweep(t, j)
		settle(t, st, "a")
		if info, err := st.Stream(context.Background(), "a"); err != nil || info.Version != 0 {
			t.Errorf("left: %+v, %v", info, err)
		}
	})
}

// sweep sweeps as often as a store with rivals needs it.
func sweep(t testing.TB, j *Journal) {
	t.Helper()
	n := 1
	if !j.st.Abilities().ReadAfterWrite {
		n = 12
	}
	for range n {
		if err := j.Sweep(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
}

// Records and end are one Tx: a commit that is lost, or met by another, leaves
// neither without the other.
func TestEndWithData(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		n := 0
		var errs []error
		j := open(t, &hooked{Store: st, commit: func(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
			for _, tx := range txs {
				for i, r := range tx.Records {
					end := i == len(tx.Records)-1
					if (r.Kind == leat.KindEnd) != end || len(tx.Records) != 3 {
						t.Errorf("a Tx of %d records: %s at %d", len(tx.Records), r.Kind, i)
					}
				}
			}
			n++
			switch n % 4 {
			case 0:
				return nil, errBefore
			case 1:
				if _, err := st.Commit(ctx, txs); err != nil {
					return nil, err
				}
				return nil, errAfter
			case 2:
				return []store.Result{{Err: store.ErrConflict}}, nil
			}
			return st.Commit(ctx, txs)
		}}, Options{Now: c.Now, Sweep: -1})
		for i := range 20 {
			name := fmt.Sprint("s", i)
			_, _, err := j.Create(context.Background(), Config{ContentType: "text/plain"}, Write{
				Stream: name, Appends: []Append{text("", "one"), text("", "two")}, End: leat.EndComplete,
			})
			if errs = append(errs, err); err == nil || len(records(t, st, name)) > 0 {
				wantEnd(t, st, name, 2, leat.EndComplete)
			}
			if err == error(errBefore) && len(records(t, st, name)) > 0 {
				t.Error("stored before it was")
			}
		}
		if !slices.Contains(errs, error(errBefore)) || !slices.Contains(errs, error(errAfter)) {
			t.Error("nothing has failed")
		}
	})
}

// A key that is repeated after the end is answered with its record, as far as
// those of the call are there; the window holds then, too.
func TestKeyAfterEnd(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, KeyWindow: time.Minute})
		was := must(t, j, keyed("a", "k1", "1"), keyed("a", "k2", "2"))
		write(t, j, Write{Stream: "a", End: leat.EndComplete})
		for _, j := range []*Journal{j, open(t, st, Options{Now: c.Now, KeyWindow: time.Minute})} {
			again := must(t, j, keyed("a", "k1", "1"), keyed("a", "k2", "2"))
			wantDuplicate(t, again[0], was[0])
			wantDuplicate(t, again[1], was[1])
			done := refused(t, j, leat.CodeEnded, keyed("a", "k2", "2"), keyed("a", "k3", "3"), keyed("a", "k1", "1"))
			if len(done) != 1 {
				t.Errorf("%d results", len(done))
			}
		}
		c.add(time.Minute + time.Second)
		refused(t, j, leat.CodeEnded, keyed("a", "k1", "1"))
		wantEnd(t, st, "a", 2, leat.EndComplete)
	})
}

// A key that leaves the window while it waits for its turn after an end is
// refused, and holds up nobody.
func TestKeyAgesAfterEnd(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j, g := openGated(t, st, Options{Now: c.Now, KeyWindow: time.Minute, Sweep: -1})
		ctx := context.Background()
		prepared := appendAll(ctx, j, []Append{keyed("a", "k", "1")})
		<-g.began
		g.let <- nil
		<-prepared
		ended := make(chan error, 1)
		go func() { // ends with the commit
			_, err := j.Write(ctx, Write{Stream: "a", End: leat.EndComplete})
			ended <- err
		}()
		<-g.began
		g.let <- nil
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		busy := appendAll(ctx, j, []Append{text("busy", "x")})
		<-g.began
		late := appendAll(ctx, j, []Append{keyed("a", "k", "1")})
		waitQueued(t, j, "a", 1)
		c.add(2 * time.Minute)
		g.open()
		<-busy
		wantCode(t, (<-late).err, leat.CodeEnded)
		must(t, j, text("b", "x"))
	})
}

// The keys of a Write are found by those that are looked for, also if it came
// while keys were being read.
func TestKeysOfWrite(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		reading, goOn := make(chan bool), make(chan bool)
		var once sync.Once
		h := &hooked{Store: st, readStream: func(context.Context, string) error {
			once.Do(func() { reading <- true; <-goOn })
			return nil
		}}
		must(t, open(t, st, Options{Now: c.Now}), keyed("a", "k0", "0"))
		j := open(t, h, Options{Now: c.Now, Sweep: -1})
		first := appendAll(context.Background(), j, []Append{keyed("a", "k1", "1")})
		<-reading
		w := write(t, j, Write{Stream: "a", Appends: []Append{keyed("", "k2", "2")}})
		close(goOn)
		if a := <-first; a.err != nil {
			t.Fatal(a.err)
		}
		again := must(t, j, keyed("a", "k2", "x"))[0]
		if !again.Duplicate || again.Offset != w.Last {
			t.Errorf("got %+v, want the duplicate of %v", again, w.Last)
		}
		wantContents(t, st, "a", "0", "2", "1")
	})
}

// Of many that append to a stream, write to it and end it at the same time, in
// two processes, exactly one ends it; nothing is behind the end, and all that was
// acknowledged is in front of it.
func TestEndsOnce(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		journals := []*Journal{open(t, st, Options{Now: c.Now}), open(t, st, Options{Now: c.Now})}
		ctx := context.Background()
		for round := range 8 {
			name := fmt.Sprint("s", round)
			create(t, journals[0], Config{ContentType: "text/plain"}, Write{Stream: name})
			settle(t, st, name)
			var mu sync.Mutex
			acked, ends := map[string]bool{}, 0
			var wg sync.WaitGroup
			for caller := range 8 {
				j := journals[caller%2]
				wg.Go(func() {
					for i := 0; ; i++ {
						data := []string{fmt.Sprintf("%d.%d", caller, i), fmt.Sprintf("%d.%d+", caller, i)}
						w := Write{Stream: name, Appends: []Append{text("", data[0]), text("", data[1])}}
						var err error
						switch {
						case caller < 4:
							_, err = appendOne(ctx, j, i%2 == 0, keyed(name, data[0], data[0]))
							data = data[:1]
						case i == 3:
							w.End = leat.EndError
							fallthrough
						default:
							_, err = j.Write(ctx, w)
						}
						if err != nil {
							if leat.CodeOf(err) != leat.CodeEnded {
								t.Error(err)
							}
							return
						}
						mu.Lock()
						for _, d := range data {
							acked[d] = true
						}
						if w.End != "" {
							ends++
						}
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			if ends != 1 {
				t.Errorf("%d have ended it", ends)
			}
			wantEnd(t, st, name, len(acked), leat.EndError)
			wantPositions(t, st, name)
			for i, data := range contents(t, st, name) {
				if !acked[data] && i < len(acked) {
					t.Errorf("%q was not acknowledged", data)
				}
			}
		}
	})
}

// Streams that are made, deleted and made anew by two processes at the same time
// never have a record of an earlier one.
func TestDeleteAgainstAppend(t *testing.T) {
	eachFair(t, func(t *testing.T, st store.Store, c *clock) {
		ctx := context.Background()
		var wg sync.WaitGroup
		var mu sync.Mutex
		acked := map[leat.Offset]string{}
		const callers = 6
		var left, deleted atomic.Int64
		left.Store(callers - 1) // all but the one who deletes
		for caller := range callers {
			j := open(t, st, Options{Now: c.Now, Sweep: -1})
			wg.Go(func() {
				if caller > 0 {
					defer left.Add(-1)
				}
				for i := 0; i < 25 || caller == 0 && left.Load() > 0 || caller > 0 && deleted.Load() < 3; i++ {
					if caller == 0 {
						err := j.Delete(ctx, "a")
						if code := leat.CodeOf(err); err != nil && code != leat.CodeNotFound && code != leat.CodeConflict {
							t.Error(err)
						}
						if err == nil {
							deleted.Add(1)
						}
						continue
					}
					data := fmt.Sprintf("%d.%d", caller, i)
					done, err := appendOne(ctx, j, i%2 == 0, text("a", data))
					if err != nil && leat.CodeOf(err) != leat.CodeConflict {
						t.Error(err)
					}
					if err == nil {
						mu.Lock()
						acked[done[0].Offset] = data
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		settle(t, st, "a")
		info, err := st.Stream(ctx, "a")
		if err != nil {
			t.Fatal(err)
		}
		there := map[leat.Offset]string{}
		for _, r := range records(t, st, "a") {
			if there[r.Offset] = string(r.Data); r.Offset.Seq < info.ID {
				t.Errorf("a record at %d in a stream that was made at %d", r.Offset.Seq, info.ID)
			}
		}
		for at, data := range acked {
			if at.Seq >= info.ID && at.Seq > info.Trimmed && there[at] != data {
				t.Errorf("%q at %v is missing", data, at)
			}
		}
		if info.Trimmed == 0 {
			wantPositions(t, st, "a")
		}
	})
}
