package journal

import (
	"context"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

var allStreams = leat.Everything()

// bounded has a stream trimmed soon if it is over a bound by an eighth, and the
// store if it holds too much. mu is held.
func (j *Journal) bounded(s *stream) {
	r := j.retention(s.name, s.config)
	over := r.Records > 0 && s.records > r.Records+r.Records/slack ||
		r.Bytes > 0 && s.bytes > r.Bytes+r.Bytes/slack
	if over {
		j.full[s.name] = struct{}{}
	}
	if !over && (j.maxStore <= 0 || j.st.Size() <= j.maxStore) {
		return
	}
	select {
	case j.tidy <- struct{}{}:
	default:
	}
}

// keep removes what is to go, beside the appends and never in their way, until
// the journal is closed. Its one timer is for all streams.
func (j *Journal) keep(every time.Duration) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-j.tidy:
		case <-ticker.C:
		case <-j.ctx.Done():
			return
		}
		if err := j.Sweep(j.ctx); err != nil && j.ctx.Err() == nil {
			j.log.Error("what is to be removed cannot be; it is tried again", "err", err)
		}
	}
}

// Sweep removes now what is to go: what streams hold beyond their bounds, streams
// whose time has come, and what the store holds beyond its bound. It reads
// nothing about streams that none of this concerns.
func (j *Journal) Sweep(ctx context.Context) error {
	j.sweeping.Lock()
	defer j.sweeping.Unlock()
	j.mu.Lock()
	full := j.full
	j.full = make(map[string]struct{})
	j.mu.Unlock()
	for name := range full {
		if err := j.trim(ctx, name); err != nil {
			return err
		}
	}
	if err := j.tendAll(ctx); err != nil {
		return err
	}
	return j.makeRoom(ctx)
}

// tendAll tends every stream that is due.
func (j *Journal) tendAll(ctx context.Context) error {
	const some = 100
	tended := make(map[string]bool)
	for {
		names, err := j.st.Due(ctx, j.now(), some)
		if err != nil {
			return err
		}
		again := len(names) == some
		for _, name := range names {
			if tended[name] {
				again = false // somebody else was faster: next time
				continue
			}
			tended[name] = true
			if err := j.tend(ctx, name); err != nil {
				return err
			}
		}
		if !again {
			return nil
		}
	}
}

// tend does what is due about a stream, and says when it is due next.
func (j *Journal) tend(ctx context.Context, name string) error {
	s, err := j.hold(name)
	if err != nil {
		return err
	}
	defer j.release(s)
	v, info, err := j.read(ctx, s)
	switch now := j.now(); {
	case err != nil || v.version == 0:
		return err
	case v.over.Gone():
		return j.drop(ctx, s, v)
	case v.lives.over(now):
		return j.goes(ctx, s, leat.EndExpired)
	}
	age := j.retention(name, v.config).Age
	if age > 0 {
		if info, err = j.trimOlder(ctx, v, info, age); err != nil {
			return err
		}
	}
	due := v.until()
	oldest, err := j.oldestOf(ctx, info)
	switch {
	case err != nil:
		return err
	case age <= 0:
	case oldest == nil && v.config == nil:
		return j.drop(ctx, s, v) // an empty topic is as good as none
	case oldest == nil, oldest.Kind == leat.KindEnd && v.config != nil:
		// The next append makes it due again, or there will be none.
	case oldest.Kind == leat.KindEnd && !oldest.Time.Add(age).After(j.now()):
		return j.drop(ctx, s, v)
	default:
		if t := oldest.Time.Add(age + age/slack); due.IsZero() || t.Before(due) {
			due = t
		}
	}
	return j.setDue(ctx, s, v.version, due)
}

// read reads a stream, whatever is known of it.
func (j *Journal) read(ctx context.Context, s *stream) (view, store.Info, error) {
	info, err := j.st.Stream(ctx, s.name, stateKeys...)
	if err != nil {
		return view{}, info, err
	}
	st, err := stateOf(&info)
	j.mu.Lock()
	defer j.mu.Unlock()
	if s.id == 0 || s.id == st.id {
		st.access = s.access
	}
	return view{st, s.gen}, info, err
}

// trimOlder removes the records that are older than age, but no end, and returns
// what is left.
func (j *Journal) trimOlder(ctx context.Context, v view, info store.Info, age time.Duration) (store.Info, error) {
	through, err := j.st.At(ctx, j.now().Add(-age))
	if err != nil {
		return info, err
	}
	if through = min(through, contentEnd(v)); through <= info.Trimmed {
		return info, nil
	}
	if err := j.st.Trim(ctx, info.Name, through); err != nil {
		return info, err
	}
	return j.st.Stream(ctx, info.Name)
}

// contentEnd returns the sequence up to which records may be removed: an end is
// kept for as long as its stream.
func contentEnd(v view) uint64 {
	if v.over != "" && v.last > 0 {
		return v.last - 1
	}
	return v.last
}

// oldestOf returns the oldest record that is retained, nil if there is none.
func (j *Journal) oldestOf(ctx context.Context, info store.Info) (*leat.Record, error) {
	if info.Records == 0 {
		return nil, nil
	}
	b, err := j.st.ReadStream(ctx, info.Name, info.Trimmed, 0, 1)
	if err != nil || len(b.Records) == 0 {
		return nil, err
	}
	return &b.Records[0], nil
}

// setDue sets when a stream is due, unless it has changed since a version: then
// it stays as it was, and is found again.
func (j *Journal) setDue(ctx context.Context, s *stream, version uint64, due time.Time) error {
	_, err := j.do(ctx, s, task{raw: true, prepare: func(v view) (*submission, error) {
		if v.version != version {
			return nil, nil
		}
		sub := newSubmission(s, v)
		sub.whole, sub.exact, sub.due = true, version, &due
		return sub, nil
	}})
	return err
}

// trim removes the oldest records of a stream until it is within its bounds. The
// newest record stays whatever its size.
func (j *Journal) trim(ctx context.Context, name string) error {
	s, err := j.hold(name)
	if err != nil {
		return err
	}
	defer j.release(s)
	v, info, err := j.read(ctx, s)
	if err != nil || v.version == 0 {
		return err
	}
	r := j.retention(name, v.config)
	var records, bytes int64 // to go
	if r.Records > 0 {
		records = info.Records - r.Records
	}
	if r.Bytes > 0 {
		bytes = info.Bytes - r.Bytes
	}
	after, through, end := info.Trimmed, uint64(0), contentEnd(v)
	for (records > 0 || bytes > 0) && after < end {
		b, err := j.st.ReadStream(ctx, name, after, end, readBytes)
		if err != nil {
			return err
		}
		for i := range b.Records {
			if rec := &b.Records[i]; (records > 0 || bytes > 0) && rec.Offset.Seq < end {
				through = rec.Offset.Seq
				records--
				bytes -= int64(len(rec.Data))
			}
		}
		if b.Next <= after {
			break
		}
		after = b.Next
	}
	if through == 0 {
		return nil
	}
	if err := j.st.Trim(ctx, name, through); err != nil {
		return err
	}
	return j.recount(ctx, s)
}

// recount takes notice of what is retained of a stream.
func (j *Journal) recount(ctx context.Context, s *stream) error {
	info, err := j.st.Stream(ctx, s.name)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if s.known && s.version == info.Version {
		s.records, s.bytes = info.Records, info.Bytes
	} else {
		s.forget()
	}
	return nil
}

// makeRoom removes the oldest records of topics while the store holds more than
// it may, until an eighth is free.
func (j *Journal) makeRoom(ctx context.Context) error {
	if j.maxStore <= 0 || j.st.Size() <= j.maxStore {
		return nil
	}
	target := j.maxStore - j.maxStore/slack
	for size := j.st.Size(); size > target; size = j.st.Size() {
		b, err := j.st.ReadLog(ctx, allStreams, j.oldest, 0, int(min(size-target, 1<<20)))
		if err != nil {
			return err
		}
		if b.Next <= j.oldest {
			if !j.crowded {
				j.log.Warn("the store holds more than it is to, and all of it is in streams that were made on purpose", "bytes", size, "max-store", j.maxStore)
			}
			j.crowded = true
			return nil
		}
		if err := j.trimTopics(ctx, b.Records); err != nil {
			return err
		}
		j.oldest = b.Next
	}
	j.crowded = false
	return nil
}

// trimTopics removes records, the oldest there are, of streams that a publish
// made.
func (j *Journal) trimTopics(ctx context.Context, records []leat.Record) error {
	through := make(map[string]uint64)
	for i := range records {
		through[records[i].Stream] = records[i].Offset.Seq
	}
	for name, seq := range through {
		s, err := j.hold(name)
		if err != nil {
			return err
		}
		v, _, err := j.read(ctx, s)
		if err == nil && v.exists() && v.config == nil {
			if err = j.st.Trim(ctx, name, min(seq, contentEnd(v))); err == nil {
				err = j.recount(ctx, s)
			}
		}
		j.release(s)
		if err != nil {
			return err
		}
	}
	return nil
}
