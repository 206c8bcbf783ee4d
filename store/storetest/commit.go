package storetest

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// "Each Tx that is committed, and each opening of a single-process store,
// takes at least one sequence; sequences grow, never restart, are not dense,
// and begin above 0." "Head is at least the First of the newest epoch, so
// never 0. It never decreases."
func testSequences(k *kit) {
	epochs := k.s.Epochs()
	if len(epochs) == 0 {
		k.Fatal("there is no epoch")
	}
	if !slices.IsSortedFunc(epochs, func(a, b store.Epoch) int { return cmp.Compare(a.Epoch, b.Epoch) }) {
		k.Errorf("the epochs %v are not in order", epochs)
	}
	newest := epochs[len(epochs)-1]
	head := k.s.Head()
	if newest.First == 0 || head < newest.First {
		k.Fatalf("an empty store has head %d, and its epoch begins at %d", head, newest.First)
	}
	grew := func(what string) {
		k.Helper()
		if now := k.s.Head(); now <= head {
			k.Fatalf("%s: the head was %d and is %d", what, head, now)
		} else {
			head = now
		}
	}
	last := newest.First
	for i := range 10 {
		before := head
		for _, r := range k.put(fmt.Sprint("s", i%3), recs(1+i%2)...) {
			if r.Offset.Seq <= max(last, before) {
				k.Fatalf("a record has sequence %d, after %d, with the head at %d", r.Offset.Seq, last, before)
			}
			last = r.Offset.Seq
		}
		grew("a Tx of records")
		if last > head {
			k.Fatalf("record %d is committed, the head is %d", last, head)
		}
		k.set("s0", store.Tx{State: []store.Entry{{Key: "k", Value: []byte{byte(i)}}}})
		grew("a Tx of state")
		k.set("s1", store.Tx{})
		grew("an empty Tx")
	}
	k.commit() // of nothing does nothing, and takes no harm
}

// "It sets Offset and Time of the records in place." What is read is what was
// stored, whatever it is; ContentType is "used when the Tx makes the stream
// and ignored otherwise."
func testRecords(k *kit) {
	names := []string{
		"a", "A", "a/b", "a/b c", "ü/é/\u2028", "-", "~", "0", "a\u00a0b", "x.y", "(", "a?b#c%41&d",
		strings.Repeat("n", leat.MaxName), "é" + strings.Repeat("/n", leat.MaxName/2-1), "日本語",
	}
	var all []leat.Record
	for i, name := range names {
		k.ok(leat.CheckName(name))
		records := []leat.Record{
			{Kind: leat.KindJSON, Type: "t", Key: "k", Data: []byte(`{"a":1}`)},
			{Kind: leat.KindText, Type: "type with \u00fc", Data: []byte("line\nline\r\n\x00")},
			{Kind: leat.KindBinary, Key: "key / with \u00fc", Data: []byte{0, 1, 0xff, 0xfe}},
			{},
			{Data: []byte{}},
			{Data: []byte{byte(i)}},
			{Kind: leat.KindText, Data: []byte("h\xc3")},
			{Kind: leat.KindText, Carry: []byte("\xc3"), Data: []byte("\xa9\xf0")},
			{Kind: leat.KindText, Carry: []byte("\xf0"), Data: []byte("\x9f\x98")},
			{Kind: leat.KindText, Type: "t", Key: "k2", Carry: []byte("\xf0\x9f\x98"), Data: []byte("\x80\xe2\x82")},
			{Kind: leat.KindText, Carry: []byte("\xe2\x82")},
			{Kind: leat.KindEnd, Type: string(leat.EndError), Data: []byte("why")},
		}
		stored := k.put(name, records...)
		k.want("ReadStream of "+name, k.stream(name, 0, 0), stored)
		if info := k.latest(name, stored); info.ContentType != "text/plain" {
			k.Errorf("content type %q, want that of the Tx that made the stream", info.ContentType)
		}
		k.set(name, store.Tx{ContentType: "application/json"})
		if info := k.latest(name, stored); info.ContentType != "text/plain" {
			k.Errorf("content type %q came from a later Tx", info.ContentType)
		}
		all = append(all, stored...)
	}
	k.want("ReadLog", k.log(everything, 0, 0), all)
	for _, name := range []string{"b", "a/", "a/b/c", "n"} {
		if got := k.stream(name, 0, 0); len(got) > 0 {
			k.Errorf("the stream %q, which does not exist, has %d records", name, len(got))
		}
	}
}

// "Time is when the store took the record, with the precision of a
// microsecond. It never decreases in log order."
func testTimes(k *kit) {
	var last time.Time
	var all []leat.Record
	for i := range 100 {
		all = append(all, k.put(fmt.Sprint("s", i%7), recs(2)...)...)
	}
	for _, r := range all {
		switch {
		case r.Time.IsZero():
			k.Fatal("a record has no time")
		case r.Time.Nanosecond()%1000 != 0:
			k.Fatalf("the time %v is finer than a microsecond", r.Time)
		case r.Time.Before(last):
			k.Fatalf("a record of %v comes after one of %v", r.Time, last)
		}
		last = r.Time
	}
	k.want("ReadLog", k.log(everything, 0, 0), all)
}

// "If the stream has another version by now the Tx is not stored and its
// Result is a conflict." "0 to make the stream." "Version changes with each
// committed Tx, and only with these."
func testVersions(k *kit) {
	conflicts := func(what string, version uint64) {
		k.Helper()
		tx := store.Tx{Stream: "s", Version: version, Records: at(store.Info{Name: "s"}, recs(1))}
		if err := k.commit(tx)[0].Err; !errors.Is(err, store.ErrConflict) {
			k.Fatalf("%s: %v, want a conflict", what, err)
		}
	}
	conflicts("a version of a stream that does not exist", 7)
	if info := k.info("s"); info.Version != 0 || info.ID != 0 || info.Last != 0 {
		k.Fatalf("a stream that does not exist has the Info %+v", info)
	}
	versions, stored := []uint64{0}, 0
	for i := range 20 {
		tx := store.Tx{ContentType: "text/plain"}
		if i%2 > 0 {
			tx.Records = at(k.info("s"), recs(min(i, k.ab.MaxTxRecords)))
			stored += len(tx.Records)
		}
		v := k.set("s", tx)
		if slices.Contains(versions, v) {
			k.Fatalf("the version %d again", v)
		}
		k.infoAt(v, "s")
		for _, old := range versions {
			conflicts("an old version", old)
		}
		versions = append(versions, v)
	}
	// A conflict leaves no trace.
	if got := len(k.stream("s", 0, 0)); got != stored {
		k.Errorf("%d records are stored, want %d", got, stored)
	}
}

// "There is a Result for each Tx, in order; a Tx fails alone."
func testConflictsAlone(k *kit) {
	k.put("b", rec("first"))
	due := time.UnixMicro(1)
	for try := 0; ; try++ {
		if try == maxTries {
			k.Fatal("a Tx always meets a conflict when another one does")
		}
		a, c := k.info("a"), k.info("c")
		txs := []store.Tx{
			{Stream: "a", Version: a.Version, Records: at(a, recs(1))},
			{Stream: "b", Version: 0, Records: at(store.Info{Name: "b"}, recs(1)),
				State: []store.Entry{{Key: "k", Value: []byte("v")}}, Due: &due},
			{Stream: "c", Version: c.Version, Records: at(c, recs(1))},
		}
		results := k.commit(txs...)
		if !errors.Is(results[1].Err, store.ErrConflict) {
			k.Fatalf("making a stream that exists: %v, want a conflict", results[1].Err)
		}
		if results[0].Err == nil && results[2].Err == nil {
			k.want("the Tx before", k.stream("a", a.Last, 0), txs[0].Records)
			k.want("the Tx behind", k.stream("c", c.Last, 0), txs[2].Records)
			if txs[0].Records[0].Offset.Seq >= txs[2].Records[0].Offset.Seq {
				k.Error("the Txs were not stored in order")
			}
			break
		}
	}
	if n := len(k.stream("b", 0, 0)); n != 1 {
		k.Errorf("the stream that met a conflict has %d records, want 1", n)
	}
	if info := k.info("b", "k"); info.State != nil || !info.Due.IsZero() {
		k.Errorf("a conflict left traces: %+v", info)
	}
}

// Commits compare and set: no update of a counter, whose value each Tx
// computes from the one before, is lost or done twice.
func testCounter(k *kit) {
	const writers, each = 8, 25
	var wg sync.WaitGroup
	failed := make(chan error, writers)
	for w := range writers {
		// The goroutine is the test's, which waits for it; it ends by itself.
		wg.Go(func() {
			for range each {
				_, result, err := update(k.ctx, k.s, "counter", []string{"n"}, func(info store.Info) store.Tx {
					n := len(info.State["n"]) + 1
					r := rec(fmt.Sprint(n))
					r.Key = fmt.Sprint(w)
					return store.Tx{
						Records: at(info, []leat.Record{r}),
						State:   []store.Entry{{Key: "n", Value: make([]byte, n)}},
					}
				})
				if err = errors.Join(err, result.Err); err != nil {
					failed <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(failed)
	for err := range failed {
		k.Fatal(err)
	}
	records := k.stream("counter", 0, 0)
	if len(records) != writers*each {
		k.Fatalf("%d records, want %d", len(records), writers*each)
	}
	pos := int64(0)
	for i, r := range records {
		if string(r.Data) != fmt.Sprint(i+1) || r.Pos != pos {
			k.Fatalf("record %d is %s", i+1, show(r))
		}
		pos = r.End()
	}
}
