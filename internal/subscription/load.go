package subscription

import (
	"context"
	"errors"
	"strings"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// maxTries bounds how often in a row a change meets that of another writer.
const maxTries = 256

// How much of a list, and of the state of a subscription, is read at once.
const page = 256

// stateType is the content type of the streams that hold state, whose values are JSON.
const stateType = "application/json"

// commit does one Tx.
func commit(ctx context.Context, st store.Store, tx store.Tx) (uint64, error) {
	results, err := st.Commit(ctx, []store.Tx{tx})
	if err != nil {
		return 0, err
	}
	return results[0].Version, results[0].Err
}

// maxLag is how often in a row a store may answer with what was before something that
// is known. Then it is taken at its word: others may have removed the stream.
const maxLag = 16

// info reads the state of a stream, which has at least the version given.
func (m *Manager) info(ctx context.Context, stream string, least uint64, keys ...string) (info store.Info, err error) {
	for range maxLag {
		info, err = m.st.Stream(ctx, stream, keys...)
		if err != nil || info.Version >= least {
			break
		}
	}
	return info, err
}

// load reads all subscriptions, and links them to the streams that were made, and not
// yet handled, when the store was closed. Nobody else has the Manager yet.
func (m *Manager) load(ctx context.Context) error {
	for after := ""; ; {
		infos, err := m.st.Streams(ctx, subStreams, after, page)
		if err != nil {
			return err
		}
		for _, info := range infos {
			after = info.Name
			s := newSub(strings.TrimPrefix(info.Name, subStreams))
			there, err := m.readNewest(ctx, s, info.Version)
			if err != nil {
				return err
			}
			if !there {
				continue // its making was not finished; who makes it again removes it
			}
			m.mu.Lock()
			m.enter(s)
			m.mu.Unlock()
		}
		if len(infos) < page {
			break
		}
	}
	for s := range m.globs {
		// A link that it does not have is to a stream that was made since.
		if err := m.linkMatches(ctx, s, false); err != nil {
			return err
		}
	}
	for _, s := range m.subs {
		m.rouse(s)
	}
	return nil
}

// readNewest is read for who does not know what the newest is. A store whose answers lag,
// or that may be about to store something, is asked for a Tx that changes nothing: it is stored if there is nothing newer.
func (m *Manager) readNewest(ctx context.Context, s *sub, least uint64) (there bool, err error) {
	for range maxTries {
		if there, err = m.read(ctx, s, least); err != nil || !there || m.alone && !s.stale {
			return there, err
		}
		s.version, err = commit(ctx, m.st, store.Tx{Stream: s.stream, Version: s.version, ContentType: stateType})
		if !errors.Is(err, store.ErrConflict) {
			return there, err
		}
		least = s.version + 1
	}
	return false, store.ErrConflict
}

// read reads a subscription from the store, of at least the version given, and reports
// whether it is there. The caller holds its turn, or is alone.
func (m *Manager) read(ctx context.Context, s *sub, least uint64) (bool, error) {
	info, err := m.info(ctx, s.stream, least, docKey, wakeKey)
	if err != nil {
		return false, err
	}
	var doc document
	var w wake
	err = errors.Join(decode(&info, docKey, &doc), decode(&info, wakeKey, &w))
	if err != nil || doc.Type == "" {
		s.version = info.Version
		return false, err
	}
	links, err := m.readLinks(ctx, s, info.Version)
	if err != nil {
		return false, err
	}
	g, err := parseGlob(doc.Pattern)
	if err != nil {
		return false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	s.version, s.made, s.doc, s.glob, s.wake = info.Version, info.ID, doc, g, w
	for name := range s.links {
		if _, ours := s.dirty[name]; links[name] == nil && !ours {
			m.unlink(s, name)
			delete(s.dropped, name)
		}
	}
	for name, l := range links {
		if _, ours := s.dropped[name]; ours {
			continue
		}
		if old := s.links[name]; old != nil {
			l.tail = max(l.tail, old.tail)
		}
		m.link(s, name, l)
		if l.missing && !l.Explicit {
			m.unlink(s, name)
		}
	}
	return true, nil
}

// readLinks reads the links of a subscription, and where their streams end.
func (m *Manager) readLinks(ctx context.Context, s *sub, version uint64) (map[string]*link, error) {
	links := make(map[string]*link)
	for after := ""; ; {
		keys, err := m.st.Keys(ctx, s.stream, linkKey, after, page)
		if err != nil {
			return nil, err
		}
		info, err := m.info(ctx, s.stream, version, keys...)
		if err != nil {
			return nil, err
		}
		for _, key := range keys {
			after = key
			name := strings.TrimPrefix(key, linkKey)
			l := new(link)
			if err := decode(&info, key, l); err != nil {
				return nil, err
			}
			if info.State[key] == nil {
				continue // it was removed in between
			}
			there := false
			if l.tail, there, err = m.tail(ctx, name); err != nil {
				return nil, err
			}
			l.missing = !there
			links[name] = l
		}
		if len(keys) < page {
			return links, nil
		}
	}
}

// tail returns the sequence of the newest entry of a stream, and whether it exists.
func (m *Manager) tail(ctx context.Context, name string) (tail uint64, there bool, err error) {
	meta, err := m.journal.Stat(ctx, name, false)
	switch status := leat.CodeOf(err).Status(); {
	case err == nil:
		tail, there = meta.Last.Seq, true
	case status != 404 && status != 410:
		return 0, false, err
	}
	if m.alone {
		return tail, there, nil
	}
	// The answers of this store may lag, but not what is read up to the head.
	for head := m.st.Head(); ; {
		b, err := m.st.ReadStream(ctx, name, tail, head, 1<<20)
		if err != nil || len(b.Records) == 0 {
			return tail, there, err
		}
		r := &b.Records[len(b.Records)-1]
		if tail, there = r.Offset.Seq, !isGone(r); !there {
			return 0, false, nil
		}
	}
}

// isGone reports whether a record says that there is nothing left of its stream.
func isGone(r *leat.Record) bool {
	return r.Kind == leat.KindEnd && leat.EndState(r.Type).Gone()
}

// linkMatches links a subscription to the streams there are that match its pattern: at
// their tail, or else at their start. The caller keeps the log from being handled.
func (m *Manager) linkMatches(ctx context.Context, s *sub, atTail bool) error {
	if len(s.glob) == 0 {
		return nil
	}
	for after := ""; ; {
		infos, err := m.st.Streams(ctx, s.glob.prefix(), after, page)
		if err != nil {
			return err
		}
		for _, info := range infos {
			after = info.Name
			if strings.HasPrefix(info.Name, reserved) || !s.glob.match(info.Name) {
				continue
			}
			tail, there, err := m.tail(ctx, info.Name)
			if err != nil {
				return err
			}
			if !there {
				continue
			}
			m.mu.Lock()
			l := &link{Glob: true, tail: tail}
			if atTail {
				l.Acked = l.tail
			}
			if old := s.links[info.Name]; old != nil {
				old.Glob = true
				s.dirty[info.Name] = struct{}{}
			} else if !m.linkNew(s, info.Name, l) && atTail {
				m.mu.Unlock()
				return m.errStreams()
			}
			m.mu.Unlock()
		}
		if len(infos) < page {
			return nil
		}
	}
}

func (m *Manager) errStreams() error {
	return leat.Errorf(leat.CodeSubscriptionLimit, "a subscription may be linked to %d streams", m.streams).
		Advise("Make several with narrower patterns, or start the server with a larger --max-subscription-streams.")
}

// enter adds a subscription that has been read. mu is held, here and below.
func (m *Manager) enter(s *sub) {
	m.subs[s.id] = s
	if len(s.glob) > 0 {
		m.globs[s] = struct{}{}
		clear(m.settled)
	}
}

// leave undoes enter.
func (m *Manager) leave(s *sub) {
	for name := range s.links {
		m.unlink(s, name)
	}
	delete(m.globs, s)
	if m.subs[s.id] == s {
		delete(m.subs, s.id)
	}
	s.gone = true
	m.schedule(s)
}

// link links a subscription to a stream.
func (m *Manager) link(s *sub, name string, l *link) {
	of := m.links[name]
	if of == nil {
		of = make(map[*sub]struct{})
		m.links[name] = of
	}
	of[s] = struct{}{}
	s.links[name] = l
	delete(s.dropped, name)
	s.look(name, l)
}

// linkNew is link if there is room.
func (m *Manager) linkNew(s *sub, name string, l *link) bool {
	if len(s.links) >= m.streams {
		if !s.full {
			m.log.Warn("a subscription is linked to as many streams as may be; more do not wake it", "subscription", s.id, "streams", m.streams, "first", name)
		}
		s.full = true
		return false
	}
	m.link(s, name, l)
	s.dirty[name] = struct{}{}
	return true
}

// unlink removes a link.
func (m *Manager) unlink(s *sub, name string) {
	delete(s.links, name)
	delete(s.pending, name)
	delete(s.dirty, name)
	s.full = false
	s.dropped[name] = struct{}{}
	delete(m.links[name], s)
	if len(m.links[name]) == 0 {
		delete(m.links, name)
	}
	clear(m.settled)
}
