package journal

import (
	"context"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A Fork is where a new stream begins: with what another one has up to a point.
// The records up to there are the source's, with their offsets and positions, and
// stay where they are: nothing is copied but the part of a record that the point
// may be inside of.
type Fork struct {
	// Source is the name of the stream that is forked.
	Source string

	// At is the offset of the last record that the fork has of it. nil is the
	// newest one.
	At *leat.Offset

	// Sub is how much the fork has of what follows At: so many records if the
	// stream is JSON, otherwise so many bytes of the one that comes next.
	Sub int64
}

// An Origin is what is kept of how a fork was made. It is immutable, and true for
// as long as the fork is there: the source is pinned, so what is inherited stays.
type Origin struct {
	Source string `json:"source"`
	ID     uint64 `json:"id"` // of the source

	// At and Sub are the point as it was asked for. Own says that the time
	// to live was asked for too, and not the source's.
	At  uint64 `json:"at,omitzero"`
	Sub int64  `json:"sub,omitzero"`
	Own bool   `json:"own,omitzero"`

	// Through is the position up to which the records are inherited. Start
	// and Base bound their bytes, Records counts them if they are JSON.
	Through uint64 `json:"through,omitzero"`
	Start   int64  `json:"start,omitzero"`
	Base    int64  `json:"base,omitzero"`
	Records int64  `json:"records,omitzero"`

	// Depth counts the sources behind each other.
	Depth int `json:"depth"`

	// Claim tells two makings of one name apart that race in two processes.
	Claim uint64 `json:"claim"`
}

func (o *Origin) equal(p *Origin) bool { return o == p || o != nil && p != nil && *o == *p }

// inherits returns the origin of a fork that still has what it inherited: the
// oldest records go first, so if one of its own is gone all of that is.
func (st *state) inherits(info *store.Info) *Origin {
	if info.Trimmed > 0 || st.fork == nil || st.fork.Through == 0 {
		return nil
	}
	return st.fork
}

// kept reports whether a stream has gone and is there only for its forks.
func (st *state) kept() bool { return st.over.Gone() && st.pins.All > 0 }

// missing is the error for a stream that does not exist.
func (v *view) missing(name string) error {
	if v.kept() {
		return leat.Errorf(leat.CodeGone, "the stream %q was deleted, and what it held is kept for its forks alone", name).
			Advise("Read a fork of it. The name is free again once the last of them has been deleted.")
	}
	return errNoStream(name)
}

// errKept is the error of who wants to make a stream of a name that is not free yet.
func errKept(name string) error {
	return leat.Errorf(leat.CodeExists, "the stream %q was deleted, and its name is not free: what it held is kept for its forks", name).
		Advise("Take another name, or delete its forks first.")
}

// lastOf returns the last position that a stream, or what it inherits, has a
// record at.
func (st *state) lastOf() uint64 {
	if st.last == 0 && st.fork != nil {
		return st.fork.Through
	}
	return st.last
}

// A making is a fork on its way.
type making struct {
	j      *Journal
	fork   Fork
	config Config
	write  Write
	s      *stream // the one to be made
	own    bool    // the config says how long it lives

	// Found in the source.
	origin Origin
	typ    contentType
	tail   string       // the unfinished character that the text ends with
	cut    *leat.Record // the part of a record that the point is inside of
	trim   uint64       // what was removed of the source by then
}

// pendingTime is after what time it is looked after a fork that is not there yet.
const pendingTime = time.Minute

// Fork makes a stream as Create does, one that begins with what another has. Its
// content type is that of the source; one that is given must be the same. A time
// to live is the source's if none is given. A stream that was forked in the same
// way before is left as it is, whatever has become of its source.
//
// Two streams take part and a commit is atomic for one. So the fork is first made
// as one that has gone, which the source is then pinned for, and which comes to
// life with all that it has: whatever comes between, the source has lost nothing
// that a fork needs, and what is left over is what is left of any fork that has
// gone, and is cleared away in the same way.
func (j *Journal) Fork(ctx context.Context, f Fork, c Config, w Write) (made bool, written Written, err error) {
	err = c.check()
	if err == nil {
		err = w.check()
	}
	if err == nil {
		err = leat.CheckName(f.Source)
	}
	if err != nil {
		return false, Written{}, err
	}
	c = c.normal()
	s, err := j.hold(w.Stream)
	if err != nil {
		return false, Written{}, err
	}
	defer j.release(s)
	release, err := j.claim(ctx, w.Stream)
	if err != nil {
		return false, Written{}, err
	}
	defer release()
	m := &making{j: j, fork: f, config: c, write: w, s: s, own: c.TTL > 0 || !c.Expires.IsZero()}
	for range maxTries {
		there, err := m.look(ctx)
		switch {
		case err != nil:
			return false, Written{}, err
		case there != nil:
			return false, j.writtenOf(there), nil
		}
		if err := m.find(ctx); err != nil {
			return false, Written{}, err
		}
		written, err := m.carryOut(ctx)
		switch {
		case err != nil:
			return false, Written{}, err
		case written != nil:
			return true, *written, nil
		}
	}
	return false, Written{}, errBusy(w.Stream)
}

// look returns the stream of that name if it is the fork that is asked for, nil if
// there is none; what is left of one that has gone is cleared away.
func (m *making) look(ctx context.Context) (*state, error) {
	_, now, err := m.j.do(ctx, m.s, task{make: true, claimed: true, prepare: func(v view) (*submission, error) {
		if v.version == 0 {
			return nil, nil
		}
		return nil, m.differs(v)
	}})
	if err != nil || now.version == 0 {
		return nil, err
	}
	return &now, nil
}

// differs returns an error unless the stream that is there is the fork asked for.
func (m *making) differs(v view) error {
	c := m.config
	if c.ContentType == "" {
		c.ContentType = v.typ.text
	}
	o := v.fork
	what := ""
	switch {
	case v.kept():
		return errKept(m.write.Stream)
	case m.write.Anew:
		return errThere(m.write.Stream)
	case o == nil:
		what = "it is no fork"
	case o.Source != m.fork.Source:
		what = "it is a fork of " + o.Source
	case m.fork.At != nil && m.fork.At.Seq != o.At, m.fork.Sub != o.Sub:
		what = "it was forked at another point"
	case o.Own != m.own:
		what = "it is kept in another way"
	default:
		if !m.own {
			c.TTL = v.config.TTL
			c.expiresAs(v.config)
		}
		return m.j.differs(v, c, m.write)
	}
	return errExists(m.write.Stream, what)
}

// carryOut makes the fork. It returns nil if something has come between and it is
// to be tried again.
func (m *making) carryOut(ctx context.Context) (*Written, error) {
	m.origin.Claim = rand.Uint64()
	sub, err := m.prepare(&submission{stream: m.s, typ: m.typ, tail: m.tail, after: m.tail, made: true})
	if err != nil {
		return nil, err // before anything has happened
	}
	id, err := m.announce(ctx)
	if id == 0 || err != nil {
		return nil, err
	}
	var written *Written
	pinned, err := m.j.pinSource(ctx, m, id)
	if pinned && err == nil {
		written, err = m.bringToLife(ctx, sub, id)
	}
	if written == nil {
		// If this fails too it is done when the stream is due.
		ctx = context.WithoutCancel(ctx)
		if e := m.j.unpinSource(ctx, m.write.Stream, id, &m.origin); e == nil {
			e = m.forsake(ctx)
			if err == nil {
				err = e
			}
		} else if err == nil {
			err = e
		}
	}
	return written, err
}

// prepare completes the submission that brings the fork to life.
func (m *making) prepare(sub *submission) (*submission, error) {
	sub, err := m.j.prepareWrite(sub, m.write)
	if err != nil || m.cut == nil {
		return sub, err
	}
	sub.records = append([]leat.Record{*m.cut}, sub.records...)
	return sub, nil
}

// announce makes the stream as one that has gone, and returns its ID, 0 if somebody
// else was faster.
func (m *making) announce(ctx context.Context) (uint64, error) {
	j := m.j
	sub, _, err := j.do(ctx, m.s, task{claimed: true, prepare: func(v view) (*submission, error) {
		if v.version != 0 {
			return nil, nil
		}
		due := j.now().Add(pendingTime)
		sub := newSubmission(m.s, v)
		sub.typ, sub.whole, sub.due, sub.pending = m.typ, true, &due, m
		return sub, nil
	}})
	if sub == nil || err != nil {
		return 0, err
	}
	v, info, err := j.read(ctx, m.s)
	if err != nil || !m.mine(&v.state) {
		return 0, err
	}
	return info.ID, nil
}

// mine reports whether st is that of the stream that was announced.
func (m *making) mine(st *state) bool {
	return st.over.Gone() && st.fork != nil && st.fork.Claim == m.origin.Claim
}

// bringToLife makes the stream that was announced the one that is asked for.
func (m *making) bringToLife(ctx context.Context, ready *submission, id uint64) (*Written, error) {
	sub, now, err := m.j.do(ctx, m.s, task{raw: true, claimed: true, prepare: func(v view) (*submission, error) {
		if !m.mine(&v.state) {
			return nil, nil
		}
		sub := *ready
		sub.whole, sub.revive, sub.create, sub.exact = true, true, &m.config, v.version
		return &sub, nil
	}})
	switch {
	case err != nil, sub == nil:
		return nil, err
	case len(sub.records) == 0:
		now = state{fork: &m.origin, end: m.origin.Base}
		w := m.j.writtenOf(&now)
		return &w, nil
	}
	return &sub.written, nil
}

// forsake removes what was announced.
func (m *making) forsake(ctx context.Context) error {
	v, _, err := m.j.read(ctx, m.s)
	if err != nil || !m.mine(&v.state) {
		return err
	}
	return m.j.drop(ctx, m.s, v)
}

// claim waits until nobody in this process makes or clears away a fork of that
// name, and keeps others from it until release. Another process that does so meets
// conflicts.
func (j *Journal) claim(ctx context.Context, name string) (release func(), err error) {
	for {
		j.mu.Lock()
		other := j.claims[name]
		if other == nil {
			mine := make(chan struct{})
			j.claims[strings.Clone(name)] = mine
			j.mu.Unlock()
			return func() {
				j.mu.Lock()
				delete(j.claims, name)
				j.mu.Unlock()
				close(mine)
			}, nil
		}
		j.mu.Unlock()
		select {
		case <-other:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
