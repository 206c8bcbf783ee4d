package memstore

import (
	"context"
	"strings"
	"time"

	"github.com/leat-dev/leat/store"
)

// Stream implements [store.Store].
func (s *Store) Stream(ctx context.Context, name string, keys ...string) (store.Info, error) {
	if err := ctx.Err(); err != nil {
		return store.Info{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.open(); err != nil {
		return store.Info{}, err
	}
	st := s.streams[name]
	if st == nil {
		return store.Info{Name: name}, nil
	}
	in := st.info()
	for _, k := range keys {
		if v, ok := st.state.get(k); ok {
			if in.State == nil {
				in.State = make(map[string][]byte, len(keys))
			}
			in.State[k] = v
		}
	}
	return in, nil
}

// Keys implements [store.Store].
func (s *Store) Keys(ctx context.Context, name, prefix, after string, limit int) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.open(); err != nil {
		return nil, err
	}
	st := s.streams[name]
	if st == nil {
		return nil, nil
	}
	return st.state.keys(prefix, after, limit), nil
}

// Streams implements [store.Store].
func (s *Store) Streams(ctx context.Context, prefix, after string, limit int) ([]store.Info, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.open(); err != nil {
		return nil, err
	}
	var infos []store.Info
	// Names with a prefix lie together: the first of them, or the first
	// behind after, whichever comes later, and on until one has it not.
	p := s.names.seek(func(st *stream) bool { return st.name < prefix || st.name <= after })
	for st, ok := s.names.get(p); ok && len(infos) < limit; st, ok = s.names.get(p) {
		if !strings.HasPrefix(st.name, prefix) {
			break
		}
		infos = append(infos, st.info())
		p = s.names.next(p)
	}
	return infos, nil
}

// Due implements [store.Store].
func (s *Store) Due(ctx context.Context, now time.Time, limit int) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.open(); err != nil {
		return nil, err
	}
	var names []string
	p, until := pos{}, now.UnixMicro()
	for d, ok := s.due.get(p); ok && d.at <= until && len(names) < limit; d, ok = s.due.get(p) {
		names = append(names, d.stream.name)
		p = s.due.next(p)
	}
	return names, nil
}
