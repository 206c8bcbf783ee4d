package pebblestore

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leat-dev/leat/store"
)

// Stream returns what is known of a stream. See [store.Store].
func (s *Store) Stream(ctx context.Context, name string, keys ...string) (store.Info, error) {
	v, err := s.acquire(ctx)
	if err != nil {
		return store.Info{}, err
	}
	defer s.release(v)
	info, err := v.stream(name, keys)
	return info, s.wrap("reading a stream", err)
}

// stream reads the row and the values from one snapshot: the version is that
// of exactly this state.
func (v *view) stream(name string, keys []string) (store.Info, error) {
	r, err := getRow(v.snap, nil, name)
	if err != nil || r.version == 0 {
		return store.Info{Name: name}, err
	}
	info := r.info(name)
	var buf []byte
	for _, key := range keys {
		buf = stateKey(buf, r.id, key)
		value, closer, err := v.snap.Get(buf)
		if errors.Is(err, pebble.ErrNotFound) {
			continue
		}
		if err != nil {
			return store.Info{}, err
		}
		value, err = decodeState(value)
		value = slices.Clone(value)
		_ = closer.Close()
		if err != nil {
			return store.Info{}, err
		}
		if info.State == nil {
			info.State = make(map[string][]byte, len(keys))
		}
		info.State[key] = value
	}
	return info, nil
}

// Keys lists keys of a stream's state. See [store.Store].
func (s *Store) Keys(ctx context.Context, name, prefix, after string, limit int) ([]string, error) {
	v, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer s.release(v)
	keys, err := v.keys(name, prefix, after, limit)
	return keys, s.wrap("listing what is known of a stream", err)
}

func (v *view) keys(name, prefix, after string, limit int) ([]string, error) {
	r, err := getRow(v.snap, nil, name)
	if err != nil || r.version == 0 {
		return nil, err
	}
	lower := stateKey(nil, r.id, prefix)
	upper := successor(nil, lower)
	if after >= prefix && after != "" {
		lower = append(stateKey(nil, r.id, after), 0)
	}
	it, err := v.newIter(lower, upper)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var keys []string
	for it.First(); it.Valid() && len(keys) < limit; it.Next() {
		keys = append(keys, string(it.Key()[len(stateKey(nil, r.id, "")):]))
	}
	return keys, it.Error()
}

// Streams lists streams by name. See [store.Store].
func (s *Store) Streams(ctx context.Context, prefix, after string, limit int) ([]store.Info, error) {
	v, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer s.release(v)
	list, err := v.streams(prefix, after, limit)
	return list, s.wrap("listing streams", err)
}

func (v *view) streams(prefix, after string, limit int) ([]store.Info, error) {
	it, err := v.rows(prefix, after)
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var list []store.Info
	for it.First(); it.Valid() && len(list) < limit; it.Next() {
		r, err := rowAt(it)
		if err != nil {
			return nil, err
		}
		list = append(list, r.info(string(it.Key()[1:])))
	}
	return list, it.Error()
}

// Due lists streams by due time. See [store.Store].
func (s *Store) Due(ctx context.Context, now time.Time, limit int) ([]string, error) {
	v, err := s.acquire(ctx)
	if err != nil {
		return nil, err
	}
	defer s.release(v)
	names, err := v.due(now.UnixMicro(), limit)
	return names, s.wrap("listing due streams", err)
}

// due reads the due index, which is sorted by time and has nothing of streams
// that are never due: it touches what it returns and no more.
func (v *view) due(micros int64, limit int) ([]string, error) {
	it, err := v.newIter([]byte{kindDue}, dueKey(nil, micros+1, ""))
	if err != nil {
		return nil, err
	}
	defer it.Close()
	var names []string
	for it.First(); it.Valid() && len(names) < limit; it.Next() {
		names = append(names, string(it.Key()[9:]))
	}
	return names, it.Error()
}
