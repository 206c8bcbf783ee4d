package storetest

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// "Txs of one call become visible together, in order."
func testVisibleTogether(k *kit) {
	w := &groupWriter{kit: k, stop: make(chan struct{}), done: make(chan error, 1)}
	go w.run() // the test's, which waits for it; it ends with stop
	type sight struct{ group, index int }
	var sights []sight
	// What is read up to the head ends with the end of a group.
	for after, end := uint64(0), time.Now().Add(time.Duration(rounds(200))*time.Millisecond); time.Now().Before(end) || len(sights) < 100; {
		head := k.s.Head()
		records := k.log(everything, after, head)
		after = max(after, head)
		if n := len(records); n > 0 {
			var s sight
			if _, err := fmt.Sscan(string(records[n-1].Data), &s.group, &s.index); err != nil {
				k.Fatal(err)
			}
			sights = append(sights, s)
		}
	}
	close(w.stop)
	k.ok(k.await("a writer", w.done))
	for _, s := range sights {
		if last := w.lasts[s.group]; s.index != last {
			k.Fatalf("of group %d the first %d Txs were visible without those up to %d", s.group, s.index+1, last+1)
		}
	}
}

// A groupWriter commits groups of Txs, a record each that says to which group
// it belongs and its place there.
type groupWriter struct {
	*kit
	stop  chan struct{}
	done  chan error
	lasts []int // of each group, the last Tx that was stored; read after done
}

func (w *groupWriter) run() {
	for {
		select {
		case <-w.stop:
			w.done <- nil
			return
		default:
		}
		if err := w.commitGroup(); err != nil {
			w.done <- err
			return
		}
	}
}

func (w *groupWriter) commitGroup() error {
	var txs []store.Tx
	for i, name := range []string{"a", "b", "c", "d", "e"} {
		info, err := w.s.Stream(w.ctx, name)
		if err != nil {
			return err
		}
		r := rec(fmt.Sprint(len(w.lasts), i))
		txs = append(txs, store.Tx{Stream: name, Version: info.Version, Records: at(info, []leat.Record{r})})
	}
	results, err := w.s.Commit(w.ctx, txs)
	if err != nil {
		return err
	}
	w.lasts = append(w.lasts, -1)
	for i, result := range results {
		if result.Err == nil { // others met conflicts
			w.lasts[len(w.lasts)-1] = i
		}
	}
	return nil
}

// "Commit stores each Tx whole or not at all." "A larger one is refused with
// CodeTooLarge, never split." "A Tx fails alone."
func testRefusedWhole(k *kit) {
	due := time.UnixMicro(1)
	state := []store.Entry{{Key: "k", Value: []byte("v")}}
	tooMany := store.Tx{
		Stream: "s", Records: at(store.Info{Name: "s"}, recs(k.ab.MaxTxRecords+1)), State: state, Due: &due,
	}
	fine := store.Tx{Stream: "t", State: state}
	results := k.commit(tooMany, fine)
	k.code("a Tx of too many records", results[0].Err, leat.CodeTooLarge)
	k.ok(results[1].Err)
	k.infoAt(results[1].Version, "t")
	if info := k.info("s", "k"); info.Version != 0 || info.State != nil {
		k.Errorf("a Tx that was refused left traces: %+v", info)
	}
	if names, err := k.s.Due(k.ctx, due, 10); err != nil || len(names) > 0 {
		k.Errorf("a Tx that was refused left the due time of %q, %v", names, err)
	}
	if records := k.log(everything, 0, 0); len(records) > 0 {
		k.Errorf("a Tx that was refused left %d records", len(records))
	}
	if k.s.Health() != nil {
		k.Errorf("a refused Tx made the store unhealthy: %v", k.s.Health())
	}
}

// "MaxRecord is the largest payload, in bytes. MaxTxRecords and MaxTxBytes
// bound one Tx, payloads counted."
func testLimits(k *kit) {
	switch {
	case k.ab.MaxRecord <= 0 || k.ab.MaxTxRecords <= 0 || k.ab.MaxTxBytes <= 0:
		k.Fatalf("the abilities %+v name no limits", k.ab)
	case k.ab.MaxTxBytes < k.ab.MaxRecord:
		k.Fatalf("the abilities %+v allow a record and no Tx for it", k.ab)
	}
	payload := make([]byte, k.ab.MaxRecord+1)
	for i := range payload {
		payload[i] = byte(i * 7 / 5)
	}
	of := func(sizes ...int) []leat.Record {
		records := make([]leat.Record, len(sizes))
		for i, n := range sizes {
			records[i].Data = payload[:n]
		}
		return records
	}
	k.edge("a record", of(k.ab.MaxRecord), of(k.ab.MaxRecord+1))
	carry := func(n int) []leat.Record { return []leat.Record{{Kind: leat.KindText, Carry: payload[:n]}} }
	k.edge("a carry", carry(leat.MaxCarry), carry(leat.MaxCarry+1))
	k.edge("a number of records", of(make([]int, k.ab.MaxTxRecords)...), of(make([]int, k.ab.MaxTxRecords+1)...))
	// The largest Tx that its number of records allows.
	var sizes []int
	left := k.ab.MaxTxBytes
	for ; left > 0 && len(sizes) < k.ab.MaxTxRecords-1; left -= sizes[len(sizes)-1] {
		sizes = append(sizes, min(left, k.ab.MaxRecord))
	}
	if left > 0 {
		k.Logf("a Tx of MaxTxRecords records cannot have MaxTxBytes bytes: that limit is without effect")
		return
	}
	k.edge("a number of bytes", of(sizes...), of(append(sizes, 1)...))
}

// edge commits what is just allowed and what is not any more.
func (k *kit) edge(what string, allowed, refused []leat.Record) {
	k.Helper()
	start := k.s.Head()
	stored := k.put(what, allowed...)
	k.want(what+" at the limit", k.stream(what, start, 0), stored)
	info := k.latest(what, stored)
	for range maxTries {
		results := k.commit(store.Tx{Stream: what, Version: info.Version, Records: at(info, refused)})
		if results[0].Err != store.ErrConflict {
			k.code(what+" over the limit", results[0].Err, leat.CodeTooLarge)
			break
		}
		info = k.info(what)
	}
	if info := k.info(what); info.Last != stored[len(stored)-1].Offset.Seq {
		k.Errorf("%s over the limit left a trace: %+v", what, info)
	}
	k.ok(Drop(k.ctx, k.s, what))
}

// "A driver keeps no slice of the caller's after Commit has returned, except
// the Data of records, which is immutable from the call on."
func testCallersMemory(k *kit) {
	key, value := "k", []byte("value")
	var records []leat.Record
	var txs []store.Tx
	start := k.s.Head()
	info := k.info("s")
	records = at(info, recs(min(3, k.ab.MaxTxRecords)))
	carry := []byte("\xf0\x9f\x98")
	records[0].Carry = carry
	txs = []store.Tx{{Stream: "s", ContentType: "text/plain", Records: records, State: []store.Entry{{Key: key, Value: value}}}}
	results := k.commit(txs...)
	k.ok(results[0].Err)
	want := append([]leat.Record(nil), records...)
	want[0].Carry = bytes.Clone(carry)
	copy(carry, "XXX")
	clear(records)
	copy(value, "XXXXX")
	txs[0].State[0] = store.Entry{Key: "other", Value: []byte("other")}
	txs[0] = store.Tx{Stream: "other"}
	version := results[0].Version
	results[0] = store.Result{}

	k.want("what was stored from memory that was used again", k.stream("s", 0, 0), want)
	k.want("Follow of it", k.follow(start, k.s.Head()), want)
	state := k.infoAt(version, "s", "k", "other").State
	if len(state) != 1 || string(state["k"]) != "value" {
		k.Errorf("the state stored from memory that was used again is %q", state)
	}
}

// "Recycle takes the Data of one of the records back": what is read then may lie in the
// same memory, and nothing else does.
func testRecycle(k *kit) {
	size := min(k.ab.MaxRecord, 40_000)
	var stored []leat.Record
	for i := range 8 {
		stored = append(stored, k.put("s", leat.Record{Data: bytes.Repeat([]byte{byte('a' + i)}, size-i)})...)
	}
	first := k.stream("s", 0, 0)
	for range 5 {
		for name, read := range map[string]func(after uint64) (store.Batch, error){
			"ReadStream": func(after uint64) (store.Batch, error) { return k.s.ReadStream(k.ctx, "s", after, 0, plenty) },
			"ReadLog":    func(after uint64) (store.Batch, error) { return k.s.ReadLog(k.ctx, everything, after, 0, plenty) },
		} {
			var kept, want []leat.Record
			k.walk(0, 0, func(after uint64) (store.Batch, error) {
				b, err := read(after)
				for i, r := range b.Records {
					if rank := len(kept) + i; rank%2 == 0 && b.Recycle != nil {
						b.Recycle(r.Data)
					}
				}
				kept = append(kept, b.Records...)
				return b, err
			})
			k.want("what is read next", k.stream("s", 0, 0), stored)
			for i := 1; i < len(kept); i += 2 {
				want = append(want, stored[i])
				kept[i/2] = kept[i]
			}
			k.want("what "+name+" has read and was kept", kept[:len(want)], want)
		}
	}
	k.want("what was read before", first, stored)
}

// "They, their Carry and their Data are immutable and may be kept." Appending
// to them, and to values of state, harms nobody.
func testReadersMemory(k *kit) {
	// The records of one request are pieces of one buffer.
	buffer := []byte(strings.Repeat("0123456789", 10))
	stored := recs(20)
	for i := range stored {
		stored[i].Data = buffer[5*i : 5*i+5]
		stored[i].Carry = buffer[i%4 : i%4+i%4]
	}
	start := k.s.Head()
	stored = k.put("s", stored...)
	content := string(buffer)
	version := k.set("s", store.Tx{State: []store.Entry{
		{Key: "a", Value: []byte("1")}, {Key: "b", Value: []byte("2")}, {Key: "c", Value: []byte("3")},
	}})
	var kept []store.Batch
	for range 2 {
		b, err := k.s.ReadStream(k.ctx, "s", 0, 0, plenty)
		k.ok(err)
		kept = append(kept, b)
		b, err = k.s.ReadLog(k.ctx, everything, 0, 0, plenty)
		k.ok(err)
		kept = append(kept, b)
		for b, err := range k.s.Follow(k.ctx, start) {
			k.ok(err)
			kept = append(kept, b)
			break
		}
		// What is read in the second round must be as in the first.
		for _, b := range kept {
			for i := range b.Records {
				_ = append(b.Records[i].Carry, "XXXX"...)
				_ = append(b.Records[i].Data, "XXXXXXXXXXXXXXXXXXXXXXXX"...)
			}
			_ = append(b.Records, rec("XXX"))
		}
	}
	info := k.infoAt(version, "s", "a", "b", "c")
	for _, v := range info.State {
		_ = append(v, "XXXXXXXX"...)
	}
	clear(info.State)
	state := k.info("s", "a", "b", "c").State
	for key, want := range map[string]string{"a": "1", "b": "2", "c": "3"} {
		if string(state[key]) != want {
			k.Errorf("the state has %q for %s, want %s", state[key], key, want)
		}
	}
	k.put("s", recs(20)...)
	k.ok(k.s.Trim(k.ctx, "s", stored[9].Offset.Seq))
	k.ok(Drop(k.ctx, k.s, "s"))
	for _, b := range kept {
		k.want("records that were kept", b.Records, stored[:len(b.Records)])
	}
	if string(buffer) != content {
		k.Errorf("the buffer that the records came in has become %q", buffer)
	}
}
