package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

const (
	// maxTries is how many conflicts, or outdated answers, in a row a test
	// takes before it thinks that the store makes no progress.
	maxTries = 1000

	// plenty is a number of bytes that no read of the suite fills.
	plenty = 1 << 30
)

var everything = leat.Everything()

// errNoEnd is that of a Follow which ends by itself.
var errNoEnd = errors.New("what Follow yields has ended without an error")

// patience is when a test that still waits has failed.
func patience() time.Duration { return time.Duration(rounds(1)) * time.Minute }

// soak says that the campaigns are to be long.
func soak() bool { return os.Getenv("LEAT_SOAK") == "1" }

// rounds is n, or many times n in a soak.
func rounds(n int) int {
	if soak() {
		return 20 * n
	}
	return n
}

// A kit is a store under test with what the tests do to it. Its methods end
// the test when the store does what it must not.
type kit struct {
	testing.TB
	s   store.Store
	ab  store.Abilities
	ctx context.Context // ends long after the test should have
}

// open returns a kit over a fresh store.
func open(t testing.TB, h Harness) *kit {
	t.Helper()
	return newKit(t, h.Open(t))
}

func newKit(t testing.TB, s store.Store) *kit {
	ctx, cancel := context.WithTimeout(context.Background(), patience())
	t.Cleanup(func() {
		cancel()
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return &kit{TB: t, s: s, ab: s.Abilities(), ctx: ctx}
}

// await waits for the end of something that should end by itself.
func (k *kit) await(what string, done <-chan error) error {
	k.Helper()
	select {
	case err := <-done:
		return err
	case <-k.ctx.Done():
		k.Fatalf("%s does not end", what)
		return nil
	}
}

// ok ends the test if there is an error.
func (k *kit) ok(err error) {
	k.Helper()
	if err != nil {
		k.Fatal(err)
	}
}

// rec is a record without a stream; data is its payload.
func rec(data string) leat.Record { return leat.Record{Kind: leat.KindText, Data: []byte(data)} }

// recs returns n records with different payloads.
func recs(n int) []leat.Record {
	rs := make([]leat.Record, n)
	for i := range rs {
		rs[i] = rec(fmt.Sprintf("record %d", i))
	}
	return rs
}

// at completes records of a stream that continue from an Info.
func at(info store.Info, records []leat.Record) []leat.Record {
	pos := info.End
	for i := range records {
		records[i].Stream, records[i].Pos = info.Name, pos
		pos = records[i].End()
	}
	return records
}

// update commits a Tx made of what is known of a stream until it meets no
// conflict: what the contract asks of every caller.
func update(ctx context.Context, s store.Store, name string, keys []string, make func(store.Info) store.Tx) (store.Tx, store.Result, error) {
	for range maxTries {
		info, err := s.Stream(ctx, name, keys...)
		if err != nil {
			return store.Tx{}, store.Result{}, err
		}
		tx := make(info)
		tx.Stream, tx.Version = name, info.Version
		results, err := s.Commit(ctx, []store.Tx{tx})
		switch {
		case err != nil:
			return store.Tx{}, store.Result{}, err
		case len(results) != 1:
			return store.Tx{}, store.Result{}, fmt.Errorf("Commit of 1 Tx: %d results", len(results))
		case !errors.Is(results[0].Err, store.ErrConflict):
			return tx, results[0], nil
		}
	}
	return store.Tx{}, store.Result{}, fmt.Errorf("%s: %d conflicts in a row", name, maxTries)
}

// Drop removes a stream, whatever its version is: it tries until it meets no
// conflict. It is for tests that do not care who else changes the stream.
func Drop(ctx context.Context, s store.Store, name string) error {
	for range maxTries {
		info, err := s.Stream(ctx, name)
		if err != nil {
			return err
		}
		if err := s.Drop(ctx, name, info.Version); !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return fmt.Errorf("%s: %d conflicts in a row", name, maxTries)
}

// put appends records to a stream, as many at a time as a Tx takes, and
// returns them as they are stored.
func put(ctx context.Context, s store.Store, name string, records ...leat.Record) ([]leat.Record, error) {
	most := s.Abilities().MaxTxRecords
	for rest := records; len(rest) > 0; {
		part := rest[:min(most, len(rest))]
		_, result, err := update(ctx, s, name, nil, func(info store.Info) store.Tx {
			return store.Tx{ContentType: "text/plain", Records: at(info, part)}
		})
		if err = errors.Join(err, result.Err); err != nil {
			return nil, err
		}
		rest = rest[len(part):]
	}
	return records, nil
}

func (k *kit) put(name string, records ...leat.Record) []leat.Record {
	k.Helper()
	records, err := put(k.ctx, k.s, name, records...)
	k.ok(err)
	return records
}

// set commits a Tx without records and returns the new version.
func (k *kit) set(name string, tx store.Tx) uint64 {
	k.Helper()
	_, result, err := update(k.ctx, k.s, name, nil, func(store.Info) store.Tx { return tx })
	k.ok(err)
	k.ok(result.Err)
	return result.Version
}

// putGroup appends to many streams, all in one Commit as far as that meets no
// conflict. It returns the records by stream.
func (k *kit) putGroup(names []string, records func(name string) []leat.Record) map[string][]leat.Record {
	k.Helper()
	stored := make(map[string][]leat.Record)
	for try := 0; len(names) > 0; try++ {
		if try == maxTries {
			k.Fatalf("%d conflicts in a row", maxTries)
		}
		txs := make([]store.Tx, len(names))
		for i, name := range names {
			info := k.info(name)
			txs[i] = store.Tx{Stream: name, Version: info.Version, Records: at(info, records(name))}
		}
		var left []string
		for i, result := range k.commit(txs...) {
			switch name := names[i]; {
			case errors.Is(result.Err, store.ErrConflict):
				left = append(left, name)
			default:
				k.ok(result.Err)
				stored[name] = txs[i].Records
			}
		}
		names = left
	}
	return stored
}

// commit is Commit with a result for each Tx.
func (k *kit) commit(txs ...store.Tx) []store.Result {
	k.Helper()
	results, err := k.s.Commit(k.ctx, txs)
	k.ok(err)
	if len(results) != len(txs) {
		k.Fatalf("Commit of %d Txs: %d results, want one for each", len(txs), len(results))
	}
	return results
}

// info is what Stream says, which may be outdated.
func (k *kit) info(name string, keys ...string) store.Info {
	k.Helper()
	info, err := k.s.Stream(k.ctx, name, keys...)
	k.ok(err)
	if info.Name != name {
		k.Fatalf("Stream(%q) is about %q", name, info.Name)
	}
	return info
}

// infoWhen is what Stream says once it says what is expected: at once if the
// store declares ReadAfterWrite.
func (k *kit) infoWhen(what string, is func(store.Info) bool, name string, keys ...string) store.Info {
	k.Helper()
	for range maxTries {
		info := k.info(name, keys...)
		if is(info) {
			return info
		}
		if k.ab.ReadAfterWrite {
			k.Fatalf("Stream(%q) is %+v, want %s", name, info, what)
		}
	}
	k.Fatalf("Stream(%q) does not come to %s", name, what)
	return store.Info{}
}

// infoAt is what Stream says of a version.
func (k *kit) infoAt(version uint64, name string, keys ...string) store.Info {
	k.Helper()
	is := func(info store.Info) bool { return info.Version == version }
	return k.infoWhen(fmt.Sprintf("version %d", version), is, name, keys...)
}

// latest is what Stream says after the last of some records was committed.
func (k *kit) latest(name string, stored []leat.Record, keys ...string) store.Info {
	k.Helper()
	last := stored[len(stored)-1].Offset.Seq
	is := func(info store.Info) bool { return info.Last >= last }
	return k.infoWhen(fmt.Sprintf("last record %d", last), is, name, keys...)
}

// filter parses topics.
func (k *kit) filter(topics ...string) *leat.Filter {
	k.Helper()
	f, err := leat.ParseFilter(topics...)
	k.ok(err)
	return f
}

// stream reads all records of a stream between two positions; 0 is the head.
func (k *kit) stream(name string, after, upTo uint64) []leat.Record {
	k.Helper()
	return k.walk(after, upTo, func(after uint64) (store.Batch, error) {
		return k.s.ReadStream(k.ctx, name, after, upTo, plenty)
	})
}

// log reads all records that pass a filter between two positions.
func (k *kit) log(f *leat.Filter, after, upTo uint64) []leat.Record {
	k.Helper()
	return k.walk(after, upTo, func(after uint64) (store.Batch, error) {
		return k.s.ReadLog(k.ctx, f, after, upTo, plenty)
	})
}

// walk reads from one position to another with as many calls as it takes.
func (k *kit) walk(after, upTo uint64, read func(after uint64) (store.Batch, error)) []leat.Record {
	k.Helper()
	if upTo == 0 {
		upTo = k.s.Head()
	}
	var all []leat.Record
	for after < upTo {
		b, err := read(after)
		k.ok(err)
		k.ok(sound(k.s, b, after))
		if b.Next <= after {
			k.Fatalf("a read after %d and up to %d came to %d", after, upTo, b.Next)
		}
		all = append(all, b.Records...)
		after = b.Next
	}
	return all
}

// sound checks what holds for every batch read after a position.
func sound(s store.Store, b store.Batch, after uint64) error {
	epochs := s.Epochs()
	seq := after
	for i, r := range b.Records {
		switch {
		case r.Offset.Seq <= seq:
			return fmt.Errorf("record %d comes after position %d", r.Offset.Seq, seq)
		case i > 0 && r.Time.Before(b.Records[i-1].Time):
			return fmt.Errorf("record %d is of %v, the one before of %v", r.Offset.Seq, r.Time, b.Records[i-1].Time)
		case r.Offset != epochs.Offset(r.Offset.Seq):
			return fmt.Errorf("record %d has offset %v, the epochs say %v", r.Offset.Seq, r.Offset, epochs.Offset(r.Offset.Seq))
		}
		seq = r.Offset.Seq
	}
	if len(b.Records) > 0 && seq > b.Next {
		return fmt.Errorf("record %d is in a batch that came to %d", seq, b.Next)
	}
	if head := s.Head(); b.Next > max(after, head) {
		return fmt.Errorf("a read came to %d, beyond the head %d", b.Next, head)
	}
	return nil
}

// same compares records as they come out of a store with what went in.
func same(a, b leat.Record) bool {
	return a.Stream == b.Stream && a.Offset == b.Offset && a.Time.Equal(b.Time) && a.Kind == b.Kind &&
		a.Type == b.Type && a.Key == b.Key && a.Pos == b.Pos && bytes.Equal(a.Data, b.Data)
}

// differ says how two lists of records differ, "" if they do not.
func differ(got, want []leat.Record) string {
	for i := range min(len(got), len(want)) {
		if !same(got[i], want[i]) {
			return fmt.Sprintf("record %d of %d is %s, want %s", i, len(want), show(got[i]), show(want[i]))
		}
	}
	if len(got) != len(want) {
		return fmt.Sprintf("%d records, want %d", len(got), len(want))
	}
	return ""
}

func show(r leat.Record) string {
	return fmt.Sprintf("{%.40q at %v of %v %v type %q key %q pos %d %.40q}",
		r.Stream, r.Offset, r.Time, r.Kind, r.Type, r.Key, r.Pos, r.Data)
}

// want compares two lists of records.
func (k *kit) want(what string, got, want []leat.Record) {
	k.Helper()
	if d := differ(got, want); d != "" {
		k.Fatalf("%s: %s", what, d)
	}
}

// code checks the code of an error.
func (k *kit) code(what string, err error, want leat.Code) {
	k.Helper()
	var e *leat.Error
	if !errors.As(err, &e) || e.Code != want {
		k.Fatalf("%s: error %v, want one with code %s", what, err, want)
	}
}
