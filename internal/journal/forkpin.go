package journal

import (
	"context"
	"strconv"

	"github.com/leat-dev/leat/store"
)

// pins counts the forks of a stream. With any, what is left of it when it has gone
// stays, and with some that inherit records nothing is trimmed.
type pins struct {
	All  int64 `json:"all,omitzero"`
	Deep int64 `json:"deep,omitzero"` // of these, those that inherit records
}

func (p pins) add(q pins) pins { return pins{p.All + q.All, p.Deep + q.Deep} }

// A pinning changes the pins of a stream. Each fork has an entry in the state of
// its source, so that it is counted once, whoever repeats what after a crash.
type pinning struct {
	entry store.Entry
	delta pins
}

// statePin is what the key of such an entry begins with; the name of the fork
// follows. The value says which stream of that name it is, and what it pins.
const statePin = "fork/"

func pinValue(id uint64, deep bool) []byte {
	value := strconv.AppendUint(nil, id, 10)
	if deep {
		value = append(value, " deep"...)
	}
	return value
}

// pinSource counts a fork with the ID given in its source. It reports whether the source
// still is what was found.
func (j *Journal) pinSource(ctx context.Context, m *making, id uint64) (bool, error) {
	deep := m.origin.Through > 0
	change := &pinning{store.Entry{Key: statePin + m.write.Stream, Value: pinValue(id, deep)}, pins{All: 1}}
	if deep {
		change.delta.Deep = 1
	}
	s, err := j.hold(m.origin.Source)
	if err != nil {
		return false, err
	}
	defer j.release(s)
	// Nothing is trimmed between the look at what is there and the pin.
	j.pinning.RLock()
	defer j.pinning.RUnlock()
	sub, _, err := j.do(ctx, s, task{raw: true, prepare: func(v view) (*submission, error) {
		info, err := j.info(ctx, s)
		switch {
		case err != nil:
			return nil, err
		case !v.exists() || v.lives.over(j.now()) || info.ID != m.origin.ID || info.Trimmed > m.trim && deep:
			return nil, nil
		}
		sub := newSubmission(s, v)
		sub.whole, sub.pin = true, change
		return sub, nil
	}})
	return sub != nil, err
}

// unpinSource takes a fork with the ID given out of the count of its source, if it is in
// it. A source that has gone, and has no other fork, then goes altogether.
func (j *Journal) unpinSource(ctx context.Context, name string, id uint64, o *Origin) error {
	left, err := j.repin(ctx, name, id, o, false)
	if err != nil || !left {
		return err
	}
	s, err := j.hold(o.Source)
	if err != nil {
		return err
	}
	defer j.release(s)
	v, info, err := j.read(ctx, s)
	if err != nil || !v.over.Gone() || v.kept() || v.id != o.ID {
		return err
	}
	return j.clean(ctx, s, v, info)
}

// repin makes a fork one that pins nothing any more, or, to stay, one that inherits
// nothing any more. It reports whether it did.
func (j *Journal) repin(ctx context.Context, name string, id uint64, o *Origin, stay bool) (bool, error) {
	s, err := j.hold(o.Source)
	if err != nil {
		return false, err
	}
	defer j.release(s)
	// Of those in this process who want to do it one does.
	j.pinning.Lock()
	defer j.pinning.Unlock()
	key := statePin + name
	for tries := range maxTries {
		v, err := j.know(ctx, s, false)
		if err != nil {
			return false, err
		}
		info, err := j.st.Stream(ctx, s.name, key)
		if err != nil {
			return false, err
		}
		if !j.alone && (info.Version != v.version || info.Version == 0 && tries < maxLag) {
			j.forget(s, v.gen) // what is pinned is there, so this is not of now
			continue
		}
		change := unpinned(key, string(info.State[key]), id, stay)
		if info.ID != o.ID || change == nil {
			if current, err := j.current(ctx, s, v); current || err != nil {
				return false, err
			}
			continue
		}
		sub := newSubmission(s, v)
		now := j.now() // what was pinned may have to go
		sub.whole, sub.raw, sub.pin, sub.due = true, true, change, &now
		if !j.alone {
			sub.exact = v.version // there is nothing else that proves what was read
		}
		if err := j.submit(ctx, sub); err != nil {
			return false, err
		}
		if sub.stored {
			j.unpinned.Store(true)
			return true, nil
		}
	}
	return false, errBusy(o.Source)
}

// unpinned returns what changes when a fork, which has the entry was, pins nothing any
// more, or, to stay, no records; nil if that is so.
func unpinned(key, was string, id uint64, stay bool) *pinning {
	p := &pinning{entry: store.Entry{Key: key}, delta: pins{All: -1}}
	switch {
	case was == string(pinValue(id, true)):
		p.delta.Deep = -1
	case was != string(pinValue(id, false)) || stay:
		return nil
	}
	if stay {
		p.entry.Value, p.delta.All = pinValue(id, false), 0
	}
	return p
}

// current reports whether v is a view of what the stream is now. If nobody else writes
// to the store, what was read is.
func (j *Journal) current(ctx context.Context, s *stream, v view) (bool, error) {
	if j.alone {
		return true, nil
	}
	proved, err := j.prove(ctx, s, v)
	if err == nil && !proved {
		j.forget(s, v.gen)
	}
	return proved, err
}

// clean removes what a stream that has gone held, and then counts as no fork of its
// source. The entry that tells how it went stays.
func (j *Journal) clean(ctx context.Context, s *stream, v view, info store.Info) error {
	if info.Records > 1 {
		if err := j.st.Trim(ctx, s.name, v.last-1); err != nil {
			return err
		}
	}
	if v.fork == nil {
		return nil
	}
	return j.unpinSource(ctx, s.name, v.id, v.fork)
}

// dropFork removes what is left of a fork that has gone, or has never come to life,
// once nothing pins its source any more.
func (j *Journal) dropFork(ctx context.Context, s *stream, claimed bool) error {
	if !claimed {
		release, err := j.claim(ctx, s.name)
		if err != nil {
			return err
		}
		defer release()
	}
	v, _, err := j.read(ctx, s)
	if err != nil {
		return err
	}
	j.outdated(s, v)
	if !v.over.Gone() || v.kept() || v.fork == nil {
		return nil // it is not what it was
	}
	if err := j.unpinSource(ctx, s.name, v.id, v.fork); err != nil {
		return err
	}
	return j.drop(ctx, s, v)
}
