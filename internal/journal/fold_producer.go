package journal

import "time"

// A change is what a Tx does to what is known of a producer.
type change struct {
	key string
	accepted
	value []byte // for the store
}

// maxChanges bounds what one Tx says of producers and forks, in bytes: the rest of what
// a Tx may say of a stream is for everything else. maxValue is the longest value.
const (
	maxChanges = 2 << 10
	maxValue   = len("9007199254740991 9007199254740991 9007199254740991")
)

// accepted returns what the stream has accepted of a producer once the Tx is stored,
// if that is known.
func (f *fold) accepted(key string) (accepted, bool) {
	for i := range f.changes {
		if c := &f.changes[i]; c.key == key {
			return c.accepted, true
		}
	}
	p := f.s.producers[key]
	if p == nil || !p.loaded {
		return accepted{}, false
	}
	return p.accepted, true
}

// isTurn reports whether it is the turn of a submission by what the stream has of its
// producer and of its order. mu is held.
func (f *fold) isTurn(sub *submission) bool {
	if sub.order != "" && sub.order <= f.next.order {
		return false
	}
	for _, key := range sub.sweeps {
		if _, known := f.accepted(key); !known {
			return false
		}
	}
	if sub.by == nil {
		return true
	}
	a, known := f.accepted(sub.producer.key)
	if known && f.j.judge(a, sub.by, f.g.now) == isNext && (!a.at.IsZero() || f.next.census.count < f.j.maxProducers) {
		return true
	}
	sub.producer.hoping = false // those who wait for it need not
	return false
}

// hasPlace reports whether the Tx can say what a submission has it say of producers
// and forks.
// Those that are forgotten together fill one.
func (f *fold) hasPlace(sub *submission) bool {
	switch {
	case sub.pin != nil:
		e := sub.pin.entry
		return f.changed == 0 || f.changed+len(e.Key)+len(e.Value) <= maxChanges
	case sub.sweeps != nil:
		return f.changed == 0
	case sub.by == nil:
		return true
	}
	for i := range f.changes {
		if f.changes[i].key == sub.producer.key {
			return true
		}
	}
	return f.changed+len(sub.producer.key)+maxValue <= maxChanges
}

// count notes that requests of a producer were taken: one, or as many as there are
// results if each record is one.
func (f *fold) count(sub *submission) {
	a := accepted{sub.by.Epoch, sub.by.Seq, f.g.now.Truncate(time.Microsecond)}
	if !sub.whole {
		a.seq += uint64(len(sub.results) - 1)
	}
	if was, _ := f.accepted(sub.producer.key); was.at.IsZero() {
		f.next.census.count++
		if window := f.j.producerWindow; window >= 0 && f.next.census.due.IsZero() {
			f.next.census.due = a.at.Add(window)
		}
	}
	f.change(change{sub.producer.key, a, a.encode()})
	if sub.ends() != "" {
		f.next.closer = sub.by.request()
	}
}

// sweep forgets those of the producers that have sent nothing meanwhile either, and
// says when to look again.
func (f *fold) sweep(sub *submission) {
	for _, key := range sub.sweeps {
		if a, _ := f.accepted(key); !a.at.IsZero() && f.j.forgotten(a, f.g.now) {
			f.next.census.count--
			f.change(change{key: key})
		}
	}
	if sub.sweepAgain != nil {
		f.next.census.due = *sub.sweepAgain
	}
}

func (f *fold) change(c change) {
	f.changed += len(c.key) + len(c.value)
	for i := range f.changes {
		if old := &f.changes[i]; old.key == c.key {
			f.changed -= len(old.key) + len(old.value)
			*old = c
			return
		}
	}
	f.changes = append(f.changes, c)
}
