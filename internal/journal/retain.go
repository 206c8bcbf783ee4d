package journal

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

var allStreams = leat.Everything()

// bounded has a stream trimmed soon if it is over a bound by an eighth, and the
// store if it holds too much. mu is held.
func (j *Journal) bounded(s *stream) {
	r := j.retention(s.name, s.config)
	over := passed(s.records, r.Records) || passed(s.bytes, r.Bytes)
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
// nothing about streams that none of this concerns. A stream for which it fails
// is left for the next time, and holds up no other.
func (j *Journal) Sweep(ctx context.Context) error {
	j.sweeping.Lock()
	defer j.sweeping.Unlock()
	return errors.Join(j.trimAll(ctx), j.tendAll(ctx), j.makeRoom(ctx))
}

// trimAll trims the streams that are over a bound.
func (j *Journal) trimAll(ctx context.Context) error {
	j.mu.Lock()
	full := j.full
	j.full = make(map[string]struct{})
	j.mu.Unlock()
	var first error
	for name := range full {
		if err := j.trim(ctx, name); err != nil {
			first = cmp.Or(first, err)
			j.mu.Lock()
			j.full[name] = struct{}{}
			j.mu.Unlock()
		}
	}
	return first
}

// tendAll tends every stream that is due.
func (j *Journal) tendAll(ctx context.Context) error {
	const some = 100
	var first error
	tended := make(map[string]bool)
	for left := 0; ; {
		// What could not be done is still there, in front of the others.
		names, err := j.st.Due(ctx, j.now(), some+left)
		if err != nil {
			return err
		}
		last := len(names) < some+left
		left = 0
		for _, name := range names {
			if tended[name] {
				left++ // or somebody else was faster: next time
				continue
			}
			tended[name] = true
			if err := j.tend(ctx, name); err != nil {
				first = cmp.Or(first, err)
			}
		}
		if last || ctx.Err() != nil {
			return first
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
	if err != nil || v.version == 0 {
		return err
	}
	j.outdated(s, v)
	switch now := j.now(); {
	case v.over.Gone():
		return j.bury(ctx, s, v, info)
	case v.lives.over(now):
		return j.goes(ctx, s, leat.EndExpired)
	}
	if due := v.census.due; !due.IsZero() && !j.now().Before(due) {
		if err := j.sweepProducers(ctx, s); err != nil {
			return err
		}
		if v, info, err = j.read(ctx, s); err != nil || !v.exists() {
			return err
		}
	}
	age := j.retention(name, v.config).Age
	if age > 0 && v.pins.Deep > 0 {
		age = 0 // when they no longer pin it it is due
	}
	if age > 0 {
		if info, err = j.trimOlder(ctx, s, v, info, age); err != nil {
			return err
		}
	}
	due := v.until()
	if t := v.census.due; !t.IsZero() && (due.IsZero() || t.Before(due)) {
		due = t
	}
	oldest, err := j.oldestOf(ctx, info)
	switch {
	case err != nil:
		return err
	case age <= 0:
	case v.pins.All > 0 && (oldest == nil || oldest.Kind == leat.KindEnd): // its name is not free
	case oldest == nil && v.config == nil && v.census.count == 0:
		return j.drop(ctx, s, v) // an empty topic is as good as none
	case oldest == nil, oldest.Kind == leat.KindEnd && v.config != nil:
		// The next append makes it due again, or there will be none.
	case oldest.Kind == leat.KindEnd && oldest.Time.Add(age).Before(j.now()):
		return j.drop(ctx, s, v)
	default:
		if t := oldest.Time.Add(late(age)); due.IsZero() || t.Before(due) {
			due = t
		}
	}
	return j.setDue(ctx, s, v.version, due)
}

// bury removes what was left of a stream when it went, and the entry that tells
// of it when that is old enough.
func (j *Journal) bury(ctx context.Context, s *stream, v view, info store.Info) error {
	until := info.LastTime.Add(j.tombstone)
	switch {
	case v.kept():
		return j.setDue(ctx, s, v.version, time.Time{}) // the last fork that goes makes it due
	case !j.now().Before(until) && v.fork != nil:
		return j.dropFork(ctx, s, false)
	case !j.now().Before(until):
		return j.drop(ctx, s, v)
	}
	if err := j.clean(ctx, s, v, info); err != nil {
		return err
	}
	return j.setDue(ctx, s, v.version, until)
}

// outdated forgets what is known of a stream if it is not what was read.
func (j *Journal) outdated(s *stream, v view) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if s.known && s.version != v.version {
		s.forget()
	}
}

// read reads a stream, whatever is known of it.
func (j *Journal) read(ctx context.Context, s *stream) (view, store.Info, error) {
	info, err := j.info(ctx, s)
	if err != nil {
		return view{}, info, err
	}
	st, err := stateOf(&info)
	j.mu.Lock()
	defer j.mu.Unlock()
	if st.version != 0 && (s.id == 0 || s.id == st.id) {
		st.access = s.access
	}
	return view{state: st, gen: s.gen}, info, err
}

// trimOlder removes the records that are older than age, but no end, and returns
// what is left.
func (j *Journal) trimOlder(ctx context.Context, s *stream, v view, info store.Info, age time.Duration) (store.Info, error) {
	through, err := j.st.At(ctx, j.now().Add(-age))
	if err != nil {
		return info, err
	}
	if through = min(through, contentEnd(v)); through <= info.Trimmed {
		return info, nil
	}
	if err := j.trimThrough(ctx, s, v, through); err != nil {
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
	_, _, err := j.do(ctx, s, task{raw: true, prepare: func(v view) (*submission, error) {
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
	// An end counts for nothing and stays.
	records, bytes, _, err := j.contentOf(ctx, v, info)
	if err != nil {
		return err
	}
	through, err := j.excess(ctx, v, info, records, bytes)
	if err != nil {
		return err
	}
	return j.trimThrough(ctx, s, v, through)
}

// trimThrough removes the records of the stream that v is a view of up to a
// position, unless a fork has some of them. A fork that loses its own first record
// has by then lost all that it inherited: the oldest go first.
func (j *Journal) trimThrough(ctx context.Context, s *stream, v view, through uint64) error {
	if through > 0 {
		pinned, err := j.trimUnpinned(ctx, s, through)
		if pinned || err != nil {
			return err
		}
		if v.fork != nil && v.fork.Through > 0 {
			if _, err := j.repin(ctx, s.name, v.id, v.fork, true); err != nil {
				return err
			}
		}
	}
	return j.recount(ctx, s)
}

func (j *Journal) trimUnpinned(ctx context.Context, s *stream, through uint64) (pinned bool, err error) {
	j.pinning.Lock()
	defer j.pinning.Unlock()
	for range maxLag {
		v, err := j.know(ctx, s, false)
		if err != nil {
			return false, err
		}
		current, err := j.current(ctx, s, v)
		switch {
		case err != nil:
			return false, err
		case !current:
			continue
		case v.pins.Deep > 0:
			return true, nil
		}
		return false, j.st.Trim(ctx, s.name, through)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.full[s.name] = struct{}{} // it is looked at again
	return true, nil
}

// excess returns the sequence up to which a stream is to be trimmed that holds
// so many records and bytes of content, 0 if it is within its bounds. A record
// is not trimmed before one after it was seen.
func (j *Journal) excess(ctx context.Context, v view, info store.Info, records, bytes int64) (through uint64, err error) {
	r := j.retention(info.Name, v.config)
	over := func() bool { return r.Records > 0 && records > r.Records || r.Bytes > 0 && bytes > r.Bytes }
	var oldest *leat.Record
	for after, end := info.Trimmed, contentEnd(v); over() && after < end; {
		b, err := j.st.ReadStream(ctx, info.Name, after, end, readBytes)
		if err != nil {
			return 0, err
		}
		if others, err := j.trimmedByOthers(ctx, info, b.Order); others || err != nil {
			j.mu.Lock()
			j.full[info.Name] = struct{}{} // to be counted anew
			j.mu.Unlock()
			return 0, err
		}
		for i := range b.Records {
			switch rec := &b.Records[i]; {
			case oldest != nil && over():
				through = oldest.Offset.Seq
				records--
				bytes -= int64(len(oldest.Data))
				fallthrough
			default:
				oldest = rec
			}
		}
		if b.Next <= after {
			break
		}
		after = b.Next
	}
	return through, nil
}

// trimmedByOthers reports whether a stream has lost records since it was counted and
// by when it was read. The position of what is read does not tell: a record may have no
// bytes.
func (j *Journal) trimmedByOthers(ctx context.Context, info store.Info, read uint64) (bool, error) {
	if j.alone {
		return false, nil
	}
	filter, err := leat.ParseFilter(info.Name)
	if err != nil {
		return false, err
	}
	removed, err := j.st.Removed(ctx, filter, max(info.Trimmed, info.ID-1), 0, read)
	return len(removed) > 0, err
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
	if j.unpinned.Swap(false) {
		j.oldest = 0 // what was passed over may go now
	}
	target := j.maxStore - j.maxStore/slack
	size := j.st.Size()
	if j.maxStore <= 0 || size <= j.maxStore {
		j.crowded = j.crowded && size > target
		return nil
	}
	for ; size > target; size = j.st.Size() {
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
		records, next := b.Records, b.Next
		for i, left := 0, size-target; i < len(records); i++ {
			// A record takes that or less: what could stay does not go.
			left -= int64(len(records[i].Data)) + recordBytes
			if left <= 0 && i+1 < len(records) {
				records, next = records[:i+1], records[i].Offset.Seq
			}
		}
		if err := j.trimTopics(ctx, records); err != nil {
			return err
		}
		j.oldest = next
	}
	j.crowded = false
	return nil
}

// trimTopics removes records, the oldest there are, of streams that a publish
// made. An open topic of which nothing is left goes altogether.
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
		err = j.trimTopic(ctx, s, seq)
		j.release(s)
		if err != nil {
			return err
		}
	}
	return nil
}

func (j *Journal) trimTopic(ctx context.Context, s *stream, through uint64) error {
	v, _, err := j.read(ctx, s)
	if err != nil || !v.exists() || v.config != nil {
		return err
	}
	err = j.trimThrough(ctx, s, v, min(through, contentEnd(v)))
	if err == nil && through >= v.last && v.over == "" && v.pins.All == 0 && v.census.count == 0 {
		return j.drop(ctx, s, v)
	}
	return err
}
