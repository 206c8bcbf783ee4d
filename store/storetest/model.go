package storetest

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A model is the plainest store: everything that was ever stored, and
// everything that ever happened to it. One goroutine uses it.
type model struct {
	*kit
	rnd      *rand.Rand
	names    []string
	records  []leat.Record // all ever stored, in log order
	removals []store.Removed
}

// visible says whether a record was there after the removals up to an order.
func (m *model) visible(r leat.Record, order uint64) bool {
	return !slices.ContainsFunc(m.removals, func(gone store.Removed) bool {
		return gone.Order <= order && gone.Stream == r.Stream && gone.Through >= r.Offset.Seq
	})
}

func (m *model) order() uint64 {
	if n := len(m.removals); n > 0 {
		return m.removals[n-1].Order
	}
	return 0
}

// retained returns the records of a stream that are there.
func (m *model) retained(name string) []leat.Record {
	var rs []leat.Record
	for _, r := range m.records {
		if r.Stream == name && m.visible(r, math.MaxUint64) {
			rs = append(rs, r)
		}
	}
	return rs
}

// change appends to a stream, trims it or drops it.
func (m *model) change() {
	name := m.names[m.rnd.IntN(len(m.names))]
	switch p := m.rnd.IntN(20); {
	case p < 12:
		m.records = append(m.records, m.put(name, recs(1+m.rnd.IntN(4))...)...)
	case p < 19:
		m.trim(name)
	default:
		m.drop(name)
	}
}

func (m *model) trim(name string) {
	m.Helper()
	rs := m.retained(name)
	through := uint64(0)
	if len(rs) > 0 {
		through = rs[m.rnd.IntN(len(rs))].Offset.Seq
	}
	// Between two records is as good as at the first of them.
	err := m.s.Trim(m.ctx, name, through+m.rnd.Uint64N(2)*b2u(!m.has(through+1)))
	order := m.removes("Trim", len(rs) > 0, err, m.order())
	if len(rs) > 0 {
		m.removals = append(m.removals, store.Removed{Stream: name, Through: through, Order: order})
	}
}

func (m *model) has(seq uint64) bool {
	return slices.ContainsFunc(m.records, func(r leat.Record) bool { return r.Offset.Seq == seq })
}

func (m *model) drop(name string) {
	m.Helper()
	rs := m.retained(name)
	exists := m.infoIsCurrent(name).Version != 0
	order := m.removes("Drop", exists, Drop(m.ctx, m.s, name), m.order())
	if len(rs) > 0 {
		through := rs[len(rs)-1].Offset.Seq
		m.removals = append(m.removals, store.Removed{Stream: name, Through: through, Order: order, Dropped: true})
	} else if exists {
		// It was empty, so that nobody lost anything: whether this is told
		// does not matter. It counts.
		m.removals = append(m.removals, store.Removed{Order: order})
	}
}

// infoIsCurrent is what Stream says once two different ways agree.
func (m *model) infoIsCurrent(name string) store.Info {
	m.Helper()
	infos, err := m.s.Streams(m.ctx, name, "", 1)
	m.ok(err)
	version := uint64(0)
	if len(infos) > 0 && infos[0].Name == name {
		version = infos[0].Version
	}
	return m.infoAt(version, name)
}

// A reader walks through the log and asks, with each batch, what of it is
// missing: exactly as the stages above do.
type reader struct {
	filter *leat.Filter
	after  uint64
	since  uint64            // removals up to this order have been told
	told   map[string]uint64 // by stream, up to which record it is gone
	got    []leat.Record
}

func newReader(f *leat.Filter, after uint64) *reader {
	return &reader{filter: f, after: after, told: make(map[string]uint64)}
}

// take takes in a batch and what Removed says about it.
//
// "Order is the number of removals that had happened when the batch was read:
// all of them show in the batch, later ones do not."
func (r *reader) take(b store.Batch, removed []store.Removed) error {
	for i, gone := range removed {
		switch {
		case gone.Order <= r.since || gone.Order > b.Order:
			return fmt.Errorf("asked for orders after %d until %d, Removed tells %+v", r.since, b.Order, gone)
		case gone.Through <= r.after || !r.filter.Match(gone.Stream):
			return fmt.Errorf("asked for %q after %d, Removed tells %+v", r.filter, r.after, gone)
		case i > 0 && gone.Through < removed[i-1].Through:
			return fmt.Errorf("out of the order of Through: %+v", removed)
		}
		for _, rec := range b.Records {
			if rec.Stream == gone.Stream && rec.Offset.Seq <= gone.Through {
				return fmt.Errorf("told is %+v, and the batch of order %d has record %s", gone, b.Order, show(rec))
			}
		}
		r.told[gone.Stream] = max(r.told[gone.Stream], gone.Through)
	}
	r.got = append(r.got, b.Records...)
	r.after, r.since = b.Next, b.Order
	return nil
}

// explained says whether the reader knows that it does not get a record.
func (r *reader) explained(rec leat.Record) bool { return r.told[rec.Stream] >= rec.Offset.Seq }

// Random appends, trims, drops and reads: every batch has what was there at
// its order and nothing else, and what is missing is told, once, by a removal
// up to that order.
func testRemovedAtRandom(k *kit) {
	for seed := range uint64(rounds(4)) {
		m := &model{kit: k, rnd: rand.New(rand.NewPCG(5, seed)), records: k.log(everything, 0, 0)}
		m.removals = []store.Removed{{Order: k.order()}}
		for i := range 5 {
			m.names = append(m.names, fmt.Sprintf("%d/%d/%d", seed, i%2, i))
		}
		start := k.s.Head()
		var readers []*reader
		for range 200 {
			m.change()
			if len(readers) < 6 {
				readers = append(readers, m.newReader(start))
			}
			if i := m.rnd.IntN(2 * len(readers)); i < len(readers) {
				if m.step(readers[i]); m.rnd.IntN(20) == 0 {
					readers = slices.Delete(readers, i, i+1)
				}
			}
		}
	}
}

func (m *model) newReader(start uint64) *reader {
	topics := []string{"**", m.names[0], fmt.Sprint(m.names[0][:len(m.names[0])-1], "*"), m.names[1]}
	m.rnd.Shuffle(len(topics), func(i, j int) { topics[i], topics[j] = topics[j], topics[i] })
	r := newReader(m.filter(topics[:1+m.rnd.IntN(2)]...), start+m.rnd.Uint64N(m.s.Head()-start+1))
	r.since = m.removals[0].Order // what was removed before is not ours
	return r
}

// step reads a batch, lets more happen, and asks what was missing.
func (m *model) step(r *reader) {
	m.Helper()
	upTo := uint64(0)
	if m.rnd.IntN(2) == 0 {
		upTo = r.after + m.rnd.Uint64N(20)
	}
	b, err := m.s.ReadLog(m.ctx, r.filter, r.after, upTo, m.rnd.IntN(100))
	m.ok(err)
	m.ok(sound(m.s, b, r.after))
	if b.Order != m.order() {
		m.Fatalf("the batch has order %d, and the last removal had %d", b.Order, m.order())
	}
	var want []leat.Record
	for _, rec := range m.records {
		if seq := rec.Offset.Seq; r.filter.Match(rec.Stream) && seq > r.after && seq <= b.Next && m.visible(rec, b.Order) {
			want = append(want, rec)
		}
	}
	m.want(fmt.Sprintf("ReadLog of %q after %d, which came to %d", r.filter, r.after, b.Next), b.Records, want)
	for range m.rnd.IntN(4) {
		m.change()
	}
	removed, err := m.s.Removed(m.ctx, r.filter, r.after, r.since, b.Order)
	m.ok(err)
	m.checkTold(r, b.Order, removed)
	from := r.after
	m.ok(r.take(b, removed))
	for _, rec := range m.records {
		seq := rec.Offset.Seq
		if r.filter.Match(rec.Stream) && seq > from && seq <= b.Next && !m.visible(rec, b.Order) && !r.explained(rec) {
			m.Fatalf("record %s is missing, and Removed after %d until order %d tells only %+v", show(rec), from, b.Order, removed)
		}
	}
}

// checkTold compares what Removed tells with what has happened.
func (m *model) checkTold(r *reader, until uint64, removed []store.Removed) {
	m.Helper()
	for _, gone := range removed {
		if !slices.Contains(m.removals, gone) && !gone.Dropped {
			m.Fatalf("Removed tells %+v, which has not happened", gone)
		}
	}
	for _, real := range m.removals {
		owed := real.Order > r.since && real.Order <= until && real.Through > r.after && r.filter.Match(real.Stream)
		if owed && !slices.ContainsFunc(removed, func(told store.Removed) bool {
			return told.Stream == real.Stream && told.Through >= real.Through
		}) {
			m.Fatalf("Removed after %d, orders after %d until %d, tells %+v, without %+v", r.after, r.since, until, removed, real)
		}
	}
}
