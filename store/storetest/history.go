package storetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

type record = leat.Record

// A history is what one writer did to its own streams, one thing after the
// other. After a crash, each stream is as some first part of its history has
// made it: at least what was promised, at most what was begun.
type history struct {
	mu      sync.Mutex // the writer, a follower and the test use it
	streams map[string]*past
	names   []string // fixed after construction
	sealed  bool     // what happens now may come too late for the medium that counts
	frozen  bool     // and now it certainly does
}

// A past is the history of one stream.
type past struct {
	events   []event
	acked    int // events that are acknowledged
	owed     int // events that were acknowledged when the medium was sealed
	promised int // events that must have survived, because of that or because they were seen
	began    int // events that may be there, the last one perhaps in part
}

// An event is one change of a stream: a Tx, a Trim or a Drop.
type event struct {
	id      string   // of a Tx: the value of the key "id", in every record's Key
	records []record // of a Tx
	version uint64   // of a Tx, once it is known
	trim    int      // of a Trim: how many records of the stream go
	drop    bool
}

func newHistory(writer, streams int) *history {
	h := &history{streams: make(map[string]*past)}
	for i := range streams {
		name := fmt.Sprintf("w%d/s%d", writer, i)
		h.names = append(h.names, name)
		h.streams[name] = &past{}
	}
	return h
}

// A state is what some events make of a stream.
type expected struct {
	exists  bool
	id      string
	version uint64
	records []record
}

func (p *past) after(n int) expected {
	var x expected
	for _, e := range p.events[:n] {
		switch {
		case e.drop:
			x = expected{}
		case e.trim > 0:
			x.records = x.records[e.trim:]
		default:
			x.exists, x.id, x.version = true, e.id, e.version
			x.records = append(x.records[:len(x.records):len(x.records)], e.records...)
		}
	}
	return x
}

// actUntil does one thing after the other.
func (h *history) actUntil(k *kit, rnd *rand.Rand, stop <-chan struct{}, acked chan<- struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		if err := h.act(k, rnd); err != nil {
			if leat.CodeOf(err) == leat.CodeUnavailable {
				return nil // the store is closed
			}
			return err
		}
		select {
		case acked <- struct{}{}:
		default:
		}
	}
}

// act does one thing to one stream.
func (h *history) act(k *kit, rnd *rand.Rand) error {
	name := h.names[rnd.IntN(len(h.names))]
	p := h.streams[name]
	h.mu.Lock()
	now, n := p.after(len(p.events)), len(p.events)
	h.mu.Unlock()
	switch i := rnd.IntN(20); {
	case i == 0 && now.exists:
		h.begin(p, event{drop: true})
		return h.end(p, 0, Drop(k.ctx, k.s, name))
	case i < 4 && len(now.records) > 0:
		count := 1 + rnd.IntN(len(now.records))
		h.begin(p, event{trim: count})
		return h.end(p, 0, k.s.Trim(k.ctx, name, now.records[count-1].Offset.Seq))
	}
	id := fmt.Sprintf("%s#%d#%d", name, n, rnd.Uint64())
	_, result, err := update(k.ctx, k.s, name, nil, func(info store.Info) store.Tx {
		tx := store.Tx{ContentType: "text/plain", State: []store.Entry{{Key: "id", Value: []byte(id)}}}
		for i := range rnd.IntN(min(5, k.ab.MaxTxRecords+1)) {
			tx.Records = append(tx.Records, record{Key: id, Type: fmt.Sprint(i), Data: []byte(strings.Repeat(id, rnd.IntN(20)))})
		}
		at(info, tx.Records)
		h.begin(p, event{id: id, records: tx.Records})
		return tx
	})
	if err == nil {
		err = result.Err
	}
	return h.end(p, result.Version, err)
}

// begin notes that a change is on its way. A Tx that met a conflict is begun
// again, in another form.
func (h *history) begin(p *past, e event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if n := len(p.events); n > p.acked {
		p.events = p.events[:n-1]
	}
	p.events = append(p.events, e)
	if !h.frozen {
		p.began = len(p.events)
	}
}

func (h *history) end(p *past, version uint64, err error) error {
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	p.events[len(p.events)-1].version = version
	p.acked = len(p.events)
	return nil
}

// see notes that a record was visible: it must not be gone later.
func (h *history) see(r record) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.streams[r.Stream]
	if p == nil || h.sealed {
		return
	}
	for i, e := range p.events {
		if e.id != "" && e.id == r.Key {
			p.promised = max(p.promised, i+1)
		}
	}
}

// seal notes that what is acknowledged by now has to be found on the medium,
// if it survives at all.
func (h *history) seal(survives bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.sealed = true
	for _, p := range h.streams {
		p.owed = p.acked
		if survives {
			p.promised = max(p.promised, p.owed)
		} else {
			p.promised = 0
		}
	}
}

// freeze notes that nothing that begins from now on can be found on the
// medium.
func (h *history) freeze() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.frozen = true
}

// verify finds out which part of the history a store has, and goes on from
// there.
func (h *history) verify(k *kit) {
	k.Helper()
	for _, name := range h.names {
		p := h.streams[name]
		if !h.sealed {
			p.owed, p.promised = p.acked, p.acked
		}
		n, why := p.find(k, name)
		if n < 0 {
			k.Fatalf("%s: %s\nof %d events %d must have survived and %d may have", name, why, len(p.events), p.promised, p.began)
		}
		k.checkLost(p, name, n)
		p.events = p.events[:n]
		p.acked, p.owed, p.promised, p.began = n, n, n, n
	}
	h.sealed, h.frozen = false, false
}

// find returns how many events a stream shows.
func (p *past) find(k *kit, name string) (n int, why string) {
	k.Helper()
	info, err := k.s.Stream(k.ctx, name, "id")
	k.ok(err)
	records := k.stream(name, 0, 0)
	for n := p.began; n >= p.promised; n-- {
		x := p.after(n)
		if why = x.differs(info, records); why == "" {
			p.learn(n, info, records)
			return n, ""
		}
		// A Trim that was under way may be there in part. It is not repeated:
		// the history goes on with what it did.
		if n < p.began && p.events[n].trim > 0 && len(records) < len(x.records) {
			part := len(x.records) - len(records)
			x.records = x.records[part:]
			if part < p.events[n].trim && x.differs(info, records) == "" {
				p.events[n].trim = part
				return n + 1, ""
			}
		}
	}
	return -1, why
}

// learn notes what the Tx that is the n-th event got from the store: it may
// never have been acknowledged.
func (p *past) learn(n int, info store.Info, records []record) {
	if n == 0 || p.events[n-1].id == "" {
		return
	}
	e := &p.events[n-1]
	e.version = info.Version
	copy(e.records, records[len(records)-len(e.records):])
}

func (x expected) differs(info store.Info, records []record) string {
	switch {
	case x.exists != (info.Version != 0):
		return fmt.Sprintf("the stream exists: %v, want %v", info.Version != 0, x.exists)
	case x.id != string(info.State["id"]):
		return fmt.Sprintf("the state has id %q, want %q", info.State["id"], x.id)
	case x.version != 0 && x.version != info.Version:
		return fmt.Sprintf("the version is %d, want %d", info.Version, x.version)
	}
	if len(x.records) > 0 && x.records[len(x.records)-1].Offset.Seq == 0 {
		return differInContent(records, x.records)
	}
	return differ(records, x.records)
}

// differInContent compares records of which the last were never acknowledged:
// their offsets and times are not known.
func differInContent(got, want []record) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d records, want %d", len(got), len(want))
	}
	known := make([]record, len(want))
	for i, w := range want {
		if w.Offset.Seq == 0 {
			w.Offset, w.Time = got[i].Offset, got[i].Time
		}
		known[i] = w
	}
	return differ(got, known)
}

// checkLost checks that what a stream lost, with and without intent, can be
// told to readers: a removal by Removed, a loss by the epochs.
func (k *kit) checkLost(p *past, name string, n int) {
	k.Helper()
	removed, err := k.s.Removed(k.ctx, k.filter(name), 0, 0, math.MaxUint64)
	k.ok(err)
	through := uint64(0)
	for _, gone := range removed {
		through = max(through, gone.Through)
	}
	// Sequences that a cut took back are given out again, in a later epoch.
	there := make(map[leat.Offset]bool)
	for _, r := range p.after(n).records {
		there[r.Offset] = true
	}
	for i, e := range p.events[:max(n, p.owed)] {
		for _, r := range e.records {
			seq := r.Offset.Seq
			after, loss := k.s.Epochs().Resolve(r.Offset, k.s.Head())
			switch {
			case i >= n && loss != store.LossLost:
				k.Fatalf("record %s is lost, and its offset resolves to %d, %q", show(r), after, loss)
			case there[r.Offset] && (loss != store.LossNone || after != seq):
				k.Fatalf("record %s is stored, and its offset resolves to %d, %q", show(r), after, loss)
			// Where a cut may take back anything, a stream without the
			// record may be one that never had it.
			case i < n && !there[r.Offset] && through < seq && loss == store.LossNone:
				k.Fatalf("record %s was removed, and Removed tells %+v", show(r), removed)
			}
		}
	}
}
