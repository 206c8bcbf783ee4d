package journal

import (
	"context"
	"time"
)

// A producer is what the journal remembers of a producer of a stream. Like all that
// it remembers of the stream it is a hint: true of the version that is known, if it
// is loaded. Guarded by the journal's mu, except key.
type producer struct {
	key    string
	users  int // callers that hold it; with none it may be forgotten
	loaded bool
	accepted

	// What will have been accepted when all that wait are stored, as long as
	// nothing goes wrong: so that requests may follow one another closely.
	waiting int
	hope    accepted
	hoping  bool
}

// maxProducers is how many producers of one stream are remembered that nobody
// holds, and producerBytes about what one costs.
const (
	maxProducers  = 1024
	producerBytes = 256
)

// holdProducer returns what is remembered of a producer until leaveProducer.
func (j *Journal) holdProducer(s *stream, key string) *producer {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := s.producers[key]
	if p == nil {
		p = &producer{key: key}
		if s.producers == nil {
			s.producers = make(map[string]*producer)
		}
		s.producers[key] = p
	}
	p.users++
	return p
}

// leaveProducer undoes holdProducer. What is only known not to be there is not kept,
// or whoever makes up names could fill the memory.
func (j *Journal) leaveProducer(s *stream, p *producer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p.users--
	switch {
	case p.users > 0:
	case !p.loaded || p.at.IsZero():
		delete(s.producers, p.key)
	case len(s.producers) > maxProducers:
		for key, other := range s.producers { // any
			if other.users == 0 {
				delete(s.producers, key)
				break
			}
		}
	}
}

// forgetProducers drops what is remembered of producers. mu is held.
func (s *stream) forgetProducers() {
	for key, p := range s.producers {
		p.loaded, p.hoping = false, false
		if p.users == 0 {
			delete(s.producers, key)
		}
	}
}

// knowFor makes known what a task needs to know of a stream, and returns it.
func (j *Journal) knowFor(ctx context.Context, s *stream, t *task) (view, error) {
	for late := 1; ; late++ {
		v, err := j.know(ctx, s, t.keyed)
		if err != nil || len(t.producers) == 0 || v.version == 0 {
			return v, err
		}
		if v, ok := j.viewFor(s, v.gen, t); ok {
			return v, nil
		}
		if err := j.loadProducers(ctx, s, v, t.producers, late%maxLag == 0); err != nil {
			return view{}, err
		}
	}
}

// viewFor returns the view that a task has of a stream, if all that it needs is known
// and the stream is still that of generation gen.
func (j *Journal) viewFor(s *stream, gen uint64, t *task) (view, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !s.known || s.gen != gen {
		return view{}, false
	}
	for _, p := range t.producers {
		if !p.loaded {
			return view{}, false
		}
	}
	p := t.producers[0]
	return view{state: s.state, gen: s.gen, accepted: p.accepted, hope: p.hope, hoping: p.hoping}, true
}

// loadProducers reads what the store has of producers. What it reads is of the
// version that v is a view of, or of a later one: if that was made by others, no Tx
// is stored that is computed from what is known here, and if by this journal, it
// has set all that it changed. An answer that is older counts for nothing; if the
// store sticks to it the stream is read anew.
func (j *Journal) loadProducers(ctx context.Context, s *stream, v view, ps []*producer, stuck bool) error {
	keys := make([]string, len(ps))
	for i, p := range ps {
		keys[i] = p.key
	}
	info, err := j.st.Stream(ctx, s.name, keys...)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case s.gen != v.gen:
	case info.Version < v.version:
		if stuck {
			s.forget()
		}
	default:
		for _, p := range ps {
			if p.loaded {
				continue
			}
			if p.accepted, err = decodeAccepted(s.name, info.State[p.key]); err != nil {
				return err
			}
			p.loaded = true
		}
	}
	return nil
}

// joins notes that a submission of the producer waits to be stored. mu is held.
func (p *producer) joins(sub *submission, now time.Time) {
	p.waiting++
	last := sub.by.Seq
	if !sub.whole {
		last += uint64(len(sub.records) - 1) // each is a request
	}
	if !p.hoping || sub.by.Epoch > p.hope.epoch || sub.by.Epoch == p.hope.epoch && last > p.hope.seq {
		p.hope, p.hoping = accepted{sub.by.Epoch, last, now}, true
	}
}

// leaves undoes joins.
func (j *Journal) leaves(p *producer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p.waiting--
	p.hoping = p.hoping && p.waiting > 0
}

// sweepProducers forgets the producers that have sent nothing for so long.
func (j *Journal) sweepProducers(ctx context.Context, s *stream) error {
	const some = 1000
	var earliest time.Time // at which one of those that stay was last heard of
	for after := ""; ; {
		keys, err := j.st.Keys(ctx, s.name, producerKeys, after, some)
		if err != nil {
			return err
		}
		last := len(keys) < some
		for len(keys) > 0 {
			n := 0
			for size := 0; n < len(keys) && size+len(keys[n]) <= maxChanges; n++ {
				size += len(keys[n])
			}
			if err := j.sweepSome(ctx, s, keys[:n], nil, &earliest); err != nil {
				return err
			}
			after, keys = keys[n-1], keys[n:]
		}
		if last {
			break
		}
	}
	again := j.now()
	if !earliest.IsZero() {
		again = earliest
	}
	again = again.Add(j.producerWindow).Truncate(time.Microsecond)
	return j.sweepSome(ctx, s, nil, &again, &earliest)
}

// sweepSome is sweepProducers for some of them, or says when to look again.
func (j *Journal) sweepSome(ctx context.Context, s *stream, keys []string, again *time.Time, earliest *time.Time) error {
	t := task{raw: true, prepare: func(v view) (*submission, error) {
		if !v.exists() {
			return nil, nil
		}
		sub := newSubmission(s, v)
		sub.whole, sub.sweeps, sub.sweepAgain, sub.raw = true, keys, again, true
		return sub, nil
	}}
	for _, key := range keys {
		p := j.holdProducer(s, key)
		defer j.leaveProducer(s, p)
		t.producers = append(t.producers, p)
	}
	_, _, err := j.do(ctx, s, t)
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, p := range t.producers {
		if a := p.accepted; !a.at.IsZero() && (earliest.IsZero() || a.at.Before(*earliest)) {
			*earliest = a.at
		}
	}
	return err
}
