package subscription

import (
	"container/heap"
	"context"
	"strings"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// follow handles the log as it grows, until Close.
func (m *Manager) follow() {
	for b, err := range m.st.Follow(m.ctx, m.seen) {
		if err != nil {
			if m.ctx.Err() == nil {
				m.log.Error("subscriptions do not wake any more: the log cannot be read", "err", err)
			}
			return
		}
		if m.following.take(m.ctx) != nil {
			return
		}
		m.handle(b)
		m.following.give()
	}
}

// handle notes what a batch of the log is to the subscriptions. A stream is linked here
// that was not there before: at its start, so that its first record is work.
func (m *Manager) handle(b store.Batch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for i := range b.Records {
		r := &b.Records[i]
		if strings.HasPrefix(r.Stream, reserved) {
			continue
		}
		gone := isGone(r)
		if !gone {
			m.linkGlobs(r.Stream)
		}
		for s := range m.links[r.Stream] {
			switch {
			case !gone:
				s.setTail(r.Stream, r.Offset.Seq)
			case s.links[r.Stream].Explicit:
				s.setTail(r.Stream, 0) // there is nothing to read
			default:
				m.unlink(s, r.Stream)
			}
			m.rouse(s)
		}
	}
	m.seen = max(m.seen, b.Next)
	if m.moved != nil {
		close(m.moved)
		m.moved = nil
	}
}

// linkGlobs links all subscriptions to a stream whose patterns match it and that are
// not. mu is held.
func (m *Manager) linkGlobs(name string) {
	if _, ok := m.settled[name]; ok || len(m.globs) == 0 {
		return
	}
	for s := range m.globs {
		if s.links[name] == nil && s.glob.match(name) {
			m.linkNew(s, strings.Clone(name), &link{Glob: true})
		}
	}
	if len(m.settled) >= mostSettled {
		clear(m.settled)
	}
	m.settled[strings.Clone(name)] = struct{}{}
}

// catchUp returns when all that was in the log when it was called has been handled, so
// that who appends, and then asks, is answered as if it had been at once.
func (m *Manager) catchUp(ctx context.Context) error {
	head := m.st.Head()
	for {
		m.mu.Lock()
		if m.seen >= head {
			m.mu.Unlock()
			return nil
		}
		if m.moved == nil {
			m.moved = make(chan struct{})
		}
		moved := m.moved
		m.mu.Unlock()
		select {
		case <-moved:
		case <-ctx.Done():
			return ctx.Err()
		case <-m.ctx.Done():
			return errClosed
		}
	}
}

var errClosed = leat.Errorf(leat.CodeUnavailable, "the server is stopping").Advise("Repeat the request in a while.")

// rouse has a subscription settled if it has to be, and the time noted otherwise at
// which it has to. mu is held, here and below.
func (m *Manager) rouse(s *sub) {
	if s.gone || s.hidden {
		return
	}
	unsaved := len(s.dirty) > 0 || len(s.dropped) > 0
	if (unsaved || s.wake.ID == "" && len(s.pending) > 0) && !s.queued && !s.again.After(m.now()) {
		s.queued = true
		m.ready = append(m.ready, s)
		m.toSettle.Signal()
	}
	m.schedule(s)
}

// schedule puts a subscription into the index of what is due, where it belongs.
func (m *Manager) schedule(s *sub) {
	at := s.due()
	if at.Equal(s.at) && (s.place >= 0) == !at.IsZero() {
		return
	}
	if s.place >= 0 {
		heap.Remove(&m.due, s.place)
	}
	if s.at = at; at.IsZero() {
		return
	}
	heap.Push(&m.due, s)
	if s.place == 0 {
		select {
		case m.kick <- struct{}{}:
		default:
		}
	}
}

// keepTime takes what is due out of the index, until Close.
func (m *Manager) keepTime() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(m.takeDue())
		select {
		case <-timer.C:
		case <-m.kick:
		case <-m.ctx.Done():
			return
		}
	}
}

// takeDue hands on what is due, and returns how long nothing else is.
func (m *Manager) takeDue() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for len(m.due) > 0 {
		s := m.due[0]
		if wait := s.at.Sub(now); wait > 0 {
			return wait
		}
		s.again = time.Time{}
		if w := &s.wake; w.ID != "" && w.Next != 0 && w.Next <= now.UnixMilli() && !s.sending {
			s.posted = true
			m.outbox = append(m.outbox, s)
			m.toDeliver.Signal()
		} else {
			s.queued = true
			m.ready = append(m.ready, s)
			m.toSettle.Signal()
		}
		m.schedule(s)
	}
	return time.Hour
}

// settleAll ends leases, begins wakes and stores links where that is to be done, until
// Close.
func (m *Manager) settleAll() {
	for {
		m.mu.Lock()
		for len(m.ready) == 0 && !m.closed {
			m.toSettle.Wait()
		}
		if m.closed {
			m.mu.Unlock()
			return
		}
		s := m.ready[0]
		m.ready = m.ready[1:]
		s.queued = false
		m.mu.Unlock()
		err := m.update(m.ctx, s, func(c *change) error {
			c.wake.expire(c.now)
			if c.wake.ID == "" {
				c.mint()
			}
			return nil
		})
		m.retry(s, "storing a subscription", err)
	}
}

// retry has a subscription looked at again in a second if something failed that has
// to be done.
func (m *Manager) retry(s *sub, what string, err error) {
	if err == nil || m.ctx.Err() != nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.gone {
		return
	}
	m.log.Warn(what+" failed, and is tried again", "subscription", s.id, "err", err)
	m.putOff(s)
}

// putOff has a subscription looked at again in a second. mu is held.
func (m *Manager) putOff(s *sub) {
	s.again = m.now().Add(time.Second)
	m.schedule(s)
}

// A dueIndex is a heap of subscriptions, by the time at which they are due.
type dueIndex []*sub

func (d dueIndex) Len() int           { return len(d) }
func (d dueIndex) Less(i, j int) bool { return d[i].at.Before(d[j].at) }
func (d dueIndex) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].place, d[j].place = i, j
}

func (d *dueIndex) Push(x any) {
	s := x.(*sub)
	s.place = len(*d)
	*d = append(*d, s)
}

func (d *dueIndex) Pop() any {
	last := len(*d) - 1
	s := (*d)[last]
	(*d)[last] = nil
	*d = (*d)[:last]
	s.place = -1
	return s
}
