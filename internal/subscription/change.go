package subscription

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// maxState bounds what one Tx sets, in bytes: the contract of the store allows 4 KiB.
const maxState = 3500

// A change is what is to become of a subscription: computed under mu from what it is,
// stored, and only then so.
type change struct {
	m    *Manager
	s    *sub
	now  time.Time
	wake wake
	acks map[string]uint64
}

// update changes a subscription as f says, which is called with mu held and may be
// called again if another writer was faster. If f fails nothing is changed; where there
// are other writers that is so of what is newest. What the
// subscription was linked to, or not any more, since it was last stored is stored too.
func (m *Manager) update(ctx context.Context, s *sub, f func(*change) error) error {
	if err := s.turn.take(ctx); err != nil {
		return err
	}
	defer s.turn.give()
	newest := m.alone
	if s.stale {
		if err := m.reread(ctx, s, m.readNewest, 0); err != nil {
			return err
		}
		s.stale, newest = false, true
	}
	for range maxTries {
		m.mu.Lock()
		if s.gone {
			m.mu.Unlock()
			return errNone(s.id)
		}
		c := &change{m: m, s: s, now: m.now(), wake: s.wake}
		if err := f(c); err != nil {
			m.mu.Unlock()
			if newest {
				return err
			}
			newest = true
			if err := m.reread(ctx, s, m.readNewest, s.version); err != nil {
				return err
			}
			continue
		}
		p := c.plan()
		m.mu.Unlock()
		err := m.store(ctx, s, p.entries)
		if err == nil {
			m.mu.Lock()
			c.apply(p)
			m.rouse(s)
			m.mu.Unlock()
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			s.stale = true
			m.mu.Lock()
			m.putOff(s)
			m.mu.Unlock()
			return err
		}
		if err := m.reread(ctx, s, m.read, s.version+1); err != nil {
			return err
		}
	}
	return leat.Errorf(leat.CodeConflict, "others changed the subscription %q again and again", s.id).Advise("Repeat the request.")
}

// reread reads a subscription that others may have changed, or removed.
func (m *Manager) reread(ctx context.Context, s *sub, read func(context.Context, *sub, uint64) (bool, error), least uint64) error {
	there, err := read(ctx, s, least)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if there {
		m.rouse(s)
	} else {
		m.leave(s)
	}
	return nil
}

// A plan is what is stored of a change, and what it makes true of the links.
type plan struct {
	entries []store.Entry
	saved   map[string]*link
	dropped []string
}

// plan returns what is to be stored. The wake comes last: what is acknowledged is
// stored with it or before.
func (c *change) plan() plan {
	s, p := c.s, plan{saved: make(map[string]*link)}
	for _, name := range slices.Sorted(maps.Keys(s.dropped)) {
		p.dropped = append(p.dropped, name)
		p.entries = append(p.entries, store.Entry{Key: linkKey + name})
	}
	for name := range s.dirty {
		p.saved[name] = s.links[name]
	}
	for name, seq := range c.acks {
		if l := s.links[name]; l != nil && seq > l.Acked {
			p.saved[name] = l
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.saved)) {
		l := p.saved[name]
		acked := max(l.Acked, c.acks[name])
		p.entries = append(p.entries, store.Entry{Key: linkKey + name, Value: encode(link{Explicit: l.Explicit, Glob: l.Glob, Acked: acked})})
	}
	if c.wake != s.wake {
		p.entries = append(p.entries, store.Entry{Key: wakeKey, Value: encode(c.wake)})
	}
	return p
}

// apply makes what was stored true.
func (c *change) apply(p plan) {
	s := c.s
	for name, l := range p.saved {
		if s.links[name] == l { // else it is another one by now
			delete(s.dirty, name)
		}
	}
	for _, name := range p.dropped {
		if s.links[name] == nil {
			delete(s.dropped, name)
		}
	}
	for name, seq := range c.acks {
		s.ack(name, seq)
	}
	s.wake = c.wake
	s.again = time.Time{}
}

// store stores entries, in as many Txs as that takes. The caller holds the turn.
func (m *Manager) store(ctx context.Context, s *sub, entries []store.Entry) error {
	for len(entries) > 0 {
		n, size := 0, 0
		for ; n < len(entries); n++ {
			size += len(entries[n].Key) + len(entries[n].Value)
			if n > 0 && size > maxState {
				break
			}
		}
		version, err := commit(ctx, m.st, store.Tx{Stream: s.stream, Version: s.version, ContentType: stateType, State: entries[:n]})
		if err != nil {
			return err
		}
		s.version, entries = version, entries[n:]
	}
	return nil
}

// pending returns a stream that there is something to do in once the acknowledgements
// are true; empty if there is none.
func (c *change) pending() string {
	first := ""
	for name := range c.s.pending {
		if c.s.links[name].tail > c.acks[name] && (first == "" || name < first) {
			first = name
		}
	}
	return first
}

// mint begins a wake if there is something to do, and reports whether it did.
func (c *change) mint() bool {
	name := c.pending()
	if name == "" {
		return false
	}
	c.wake = wake{Generation: c.wake.Generation + 1, ID: newWakeID(), Stream: name, Next: max(1, c.now.UnixMilli()), Failures: c.wake.Failures}
	return true
}
