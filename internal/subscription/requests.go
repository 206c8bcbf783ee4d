package subscription

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// newWakeID returns a name that no other wake has.
func newWakeID() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails
	return "w_" + hex.EncodeToString(b)
}

// A View is what there is to say of a subscription.
type View struct {
	ID, Type, Pattern, URL, WakeStream, Description, Created string

	Lease   time.Duration
	Streams []Stream
	Failed  bool // the last delivery of a wake failed
	Full    bool // there are streams that it would be linked to if there were room
}

// viewOf returns it. mu is held.
func (m *Manager) viewOf(s *sub) View {
	d := &s.doc
	return View{
		ID: s.id, Type: d.Type, Pattern: d.Pattern, URL: d.URL, WakeStream: d.WakeStream, Description: d.Description, Created: d.Created,
		Lease: d.lease(), Streams: m.streamsOf(s), Failed: s.wake.Failures > 0, Full: s.full,
	}
}

// Get returns what there is to say of a subscription.
func (m *Manager) Get(ctx context.Context, id string) (View, error) {
	if err := m.catchUp(ctx); err != nil {
		return View{}, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.subs[id]; s != nil {
		return m.viewOf(s), nil
	}
	return View{}, errNone(id)
}

// Create makes a subscription, and reports whether it did: one that is there and was
// made of the same Config is left as it is. The root is the URL of the streams as the
// request had it, with a slash at its end.
func (m *Manager) Create(ctx context.Context, id, root string, c Config) (View, bool, error) {
	if err := checkID(id); err != nil {
		return View{}, false, err
	}
	c, err := m.normal(c)
	if err != nil {
		return View{}, false, err
	}
	doc, err := c.document(root, m.now())
	if err != nil {
		return View{}, false, err
	}
	// One at a time, and the log is not handled meanwhile: what is appended from now on
	// comes after where the streams are found to end.
	if err := m.following.take(ctx); err != nil {
		return View{}, false, err
	}
	defer m.following.give()
	m.mu.Lock()
	old, number := m.subs[id], len(m.subs)
	m.mu.Unlock()
	if old != nil {
		v, err := m.confirm(old, doc)
		return v, false, err
	}
	if number >= m.most {
		return View{}, false, leat.Errorf(leat.CodeSubscriptionLimit, "there are %d subscriptions, as many as may be", number).
			Advise("Delete one, or start the server with a larger --max-subscriptions.")
	}
	s := newSub(id)
	made, err := m.make(ctx, s, doc, c.Streams)
	m.mu.Lock()
	if err != nil {
		m.leave(s)
		m.mu.Unlock()
		return View{}, false, err
	}
	s.hidden = false
	m.enter(s)
	m.rouse(s)
	m.mu.Unlock()
	v, err := m.confirm(s, doc)
	return v, made, err
}

// confirm returns a subscription that is there if it was made of the same Config.
func (m *Manager) confirm(s *sub, doc document) (View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s.doc.Hash != doc.Hash {
		return View{}, leat.Errorf(leat.CodeExists, "the subscription %q exists and is not what is asked for", s.id).
			Advise("Take another id, or delete it first.")
	}
	return m.viewOf(s), nil
}

// make stores a new subscription, and reports whether it did: another writer may have
// made it. Its document comes last, so that what is half made is none.
func (m *Manager) make(ctx context.Context, s *sub, doc document, streams []string) (bool, error) {
	if err := m.clear(ctx, s); err != nil {
		return false, err
	}
	if s.doc.Type != "" {
		return false, m.linkMatches(ctx, s, false) // to what was made since
	}
	g, err := parseGlob(doc.Pattern)
	if err != nil {
		return false, err
	}
	m.mu.Lock()
	s.hidden, s.doc, s.glob = true, doc, g
	m.mu.Unlock()
	if err := m.linkExplicit(ctx, s, streams); err != nil {
		return false, err
	}
	if err := m.linkMatches(ctx, s, true); err != nil {
		return false, err
	}
	m.mu.Lock()
	p := (&change{m: m, s: s, wake: s.wake}).plan()
	m.mu.Unlock()
	if err := m.store(ctx, s, append(p.entries, store.Entry{Key: docKey, Value: encode(doc)})); err != nil {
		return false, err
	}
	info, err := m.info(ctx, s.stream, s.version)
	if err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.made = info.ID
	clear(s.dirty)
	return true, nil
}

// clear removes what is left of a subscription whose making was not finished. One that
// is whole is read.
func (m *Manager) clear(ctx context.Context, s *sub) error {
	for range maxTries {
		there, err := m.read(ctx, s, 0)
		if err != nil || there || s.version == 0 {
			return err
		}
		if err := m.st.Drop(ctx, s.stream, s.version); err != nil && !errors.Is(err, store.ErrConflict) {
			return err
		}
	}
	return store.ErrConflict
}

// linkExplicit links a subscription to streams by name, at their tail. The caller keeps
// the log from being handled.
func (m *Manager) linkExplicit(ctx context.Context, s *sub, names []string) error {
	for _, name := range names {
		tail, _, err := m.tail(ctx, name)
		if err != nil {
			return err
		}
		m.mu.Lock()
		if s.gone {
			m.mu.Unlock()
			return errNone(s.id)
		}
		l := &link{Explicit: true, Glob: s.glob.match(name), Acked: tail, tail: tail}
		if old := s.links[name]; old != nil {
			l.Acked, l.tail = old.Acked, old.tail
			m.link(s, name, l)
			s.dirty[name] = struct{}{}
		} else if !m.linkNew(s, name, l) {
			m.mu.Unlock()
			return m.errStreams()
		}
		m.mu.Unlock()
	}
	return nil
}

// AddStreams links a subscription to streams by name.
func (m *Manager) AddStreams(ctx context.Context, id string, streams []string) error {
	streams, err := normalStreams(streams)
	if err != nil {
		return err
	}
	if len(streams) == 0 {
		return invalid("no stream is named")
	}
	s, err := m.find(id)
	if err != nil {
		return err
	}
	if err := m.following.take(ctx); err != nil {
		return err
	}
	err = m.linkExplicit(ctx, s, streams)
	m.following.give()
	if err != nil {
		return err
	}
	return m.update(ctx, s, func(*change) error { return nil })
}

// RemoveStream ends a link that was made by name. One that the pattern makes stays.
func (m *Manager) RemoveStream(ctx context.Context, id, name string) error {
	name = relative(name)
	s, err := m.find(id)
	if err != nil {
		return err
	}
	return m.update(ctx, s, func(*change) error {
		switch l := s.links[name]; {
		case l == nil || !l.Explicit:
		case l.Glob:
			m.link(s, name, &link{Glob: true, Acked: l.Acked, tail: l.tail})
			s.dirty[name] = struct{}{}
		default:
			m.unlink(s, name)
		}
		return nil
	})
}

// Delete removes a subscription. One that is not there is no error.
func (m *Manager) Delete(ctx context.Context, id string) error {
	s, err := m.find(id)
	if err != nil {
		return nil
	}
	if err := s.turn.take(ctx); err != nil {
		return err
	}
	defer s.turn.give()
	for range maxTries {
		err := m.st.Drop(ctx, s.stream, s.version)
		if err == nil {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.leave(s)
			return nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return err
		}
		info, err := m.info(ctx, s.stream, s.version+1)
		if err != nil {
			return err
		}
		s.version = info.Version
	}
	return store.ErrConflict
}

// An Ack says how far a stream is done.
type Ack struct {
	Stream string
	Offset string
}

// A Report is what a worker says of the wake that it is at work on.
type Report struct {
	Token      string
	WakeID     string
	Generation uint64
	Acks       []Ack
	Done       bool // it has nothing more to say
}

// Report takes what the worker of a subscription of the type given says, and reports
// whether there is a next wake already. If it is not done its lease begins anew.
func (m *Manager) Report(ctx context.Context, id, typ string, r Report) (next bool, err error) {
	if err := m.catchUp(ctx); err != nil {
		return false, err
	}
	s, err := m.find(id)
	if err != nil {
		return false, err
	}
	err = m.update(ctx, s, func(c *change) error {
		if err := c.fence(typ, &r); err != nil {
			return err
		}
		if err := c.ack(r.Acks); err != nil {
			return err
		}
		c.wake.delivered(c.now.Add(s.doc.lease()))
		next = false
		if r.Done {
			c.wake.clear()
			next = c.mint()
		}
		return nil
	})
	return next, err
}

// Release gives a claimed wake back, without an acknowledgement.
func (m *Manager) Release(ctx context.Context, id string, r Report) error {
	s, err := m.find(id)
	if err != nil {
		return err
	}
	return m.update(ctx, s, func(c *change) error {
		if err := c.fence(PullWake, &r); err != nil {
			return err
		}
		c.wake.clear()
		c.mint()
		return nil
	})
}

// fence returns an error unless it is the worker of the wake in flight that speaks.
func (c *change) fence(typ string, r *Report) error {
	s := c.s
	if s.doc.Type != typ {
		return invalid("the subscription %q is of type %s", s.id, s.doc.Type)
	}
	generation, err := c.m.signer.generation(s.made, r.Token, c.now)
	if err != nil {
		return err
	}
	c.wake.expire(c.now)
	w := &c.wake
	if w.ID == "" || generation != w.Generation || r.Generation != w.Generation || r.WakeID != w.ID || typ == PullWake && w.Holder == "" {
		return leat.Errorf(leat.CodeFenced, "the wake is over").
			Advise("Stop: what was not acknowledged is in the next wake.").With("generation", w.Generation)
	}
	return nil
}

// ack notes acknowledgements, all or none.
func (c *change) ack(acks []Ack) error {
	c.acks = make(map[string]uint64, len(acks))
	for _, a := range acks {
		name := relative(a.Stream)
		l := c.s.links[name]
		if l == nil {
			return leat.Errorf(leat.CodeInvalidOffset, "the subscription is not linked to the stream %.128q", a.Stream)
		}
		o, err := leat.ParseOffset(a.Offset)
		if err != nil {
			return err
		}
		seq, loss := c.m.st.Epochs().Resolve(o, c.m.st.Head())
		switch {
		case loss != store.LossNone, seq > l.tail:
			return leat.Errorf(leat.CodeInvalidOffset, "the offset %s is beyond the end of the stream %q", a.Offset, name)
		case seq < l.Acked:
			return leat.Errorf(leat.CodeInvalidOffset, "the offset %s of the stream %q is before what was acknowledged", a.Offset, name)
		}
		c.acks[name] = max(c.acks[name], seq)
	}
	return nil
}

// A Claim is a wake that a worker has taken.
type Claim struct {
	WakeID     string
	Generation uint64
	Token      string
	Streams    []Stream
	Lease      time.Duration
}

// Claim has a worker take the wake of a subscription, for the time of a lease. If there
// is something to do, and no wake yet, it begins one.
func (m *Manager) Claim(ctx context.Context, id, worker string) (Claim, error) {
	if worker == "" || len(worker) > MaxWorker || !isText(worker) {
		return Claim{}, invalid("the worker's name is not text of 1 to %d bytes", MaxWorker)
	}
	if err := m.catchUp(ctx); err != nil {
		return Claim{}, err
	}
	s, err := m.find(id)
	if err != nil {
		return Claim{}, err
	}
	var claim Claim
	var none error
	err = m.update(ctx, s, func(c *change) error {
		if s.doc.Type != PullWake {
			return invalid("the subscription %q is of type %s", id, s.doc.Type)
		}
		c.wake.expire(c.now)
		if w := &c.wake; w.Holder != "" {
			return leat.Errorf(leat.CodeClaimed, "a worker has claimed the wake").
				Advise("Wait for the next one.").With("current_holder", w.Holder).With("generation", w.Generation)
		}
		if none = nil; c.pending() == "" {
			// A wake that was announced, and whose work has gone since, is over: what
			// comes next is announced again.
			c.wake.clear()
			none = leat.Errorf(leat.CodeNoWork, "the subscription %q has nothing to do", id).Advise("Wait for a wake.")
			return nil
		}
		if c.wake.ID == "" {
			c.mint()
		}
		c.wake.Holder = strings.Clone(worker)
		c.wake.delivered(c.now.Add(s.doc.lease()))
		claim = Claim{
			WakeID: c.wake.ID, Generation: c.wake.Generation, Token: m.signer.token(s.made, c.wake.Generation, c.now),
			Streams: m.streamsOf(s), Lease: s.doc.lease(),
		}
		return nil
	})
	if err == nil {
		err = none
	}
	return claim, err
}
