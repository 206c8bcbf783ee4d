package journal

import (
	"context"

	"github.com/leat-dev/leat"
)

// A Meta is what there is to say of a stream.
type Meta struct {
	Name        string
	ID          uint64 // tells streams of one name apart
	ContentType string // in normal form
	Kind        leat.Kind

	// Start and End bound the content that is there, in bytes.
	Start, End int64

	// Last is the offset of the newest entry that there ever was, the start
	// if there was none.
	Last leat.Offset

	// Records and Bytes count what is retained: entries, bytes of payload.
	Records, Bytes int64

	// Over is how the stream ended, empty while it is open.
	Over leat.EndState

	// Config is how the stream is kept if it was made on purpose, else nil.
	// It must not be changed.
	Config *Config
}

// Stat returns what there is to say of a stream. With use it counts as a use,
// from which a TTL begins anew. A stream that does not exist, or is gone, is an
// error with leat.CodeNotFound.
func (j *Journal) Stat(ctx context.Context, name string, use bool) (Meta, error) {
	s, err := j.hold(name)
	if err != nil {
		return Meta{}, err
	}
	defer j.release(s)
	v, info, err := j.read(ctx, s)
	if err != nil {
		return Meta{}, err
	}
	if !v.exists() || v.lives.over(j.now()) {
		return Meta{}, errNoStream(name)
	}
	if use && v.ttl > 0 {
		if err := j.touch(ctx, s); err != nil {
			return Meta{}, err
		}
	}
	m := Meta{
		Name: name, ID: v.id, ContentType: v.typ.text, Kind: v.typ.kind, Start: v.end, End: v.end,
		Records: info.Records, Bytes: info.Bytes, Over: v.over, Config: v.config,
		Last: j.written(v.last, 0).Last,
	}
	seq, start, err := j.st.Seek(ctx, name, 0)
	if seq > 0 && seq <= v.last {
		m.Start = start
	}
	return m, err
}

// touch notes a use of a stream with a TTL, in the store only if it knows of none
// in the last eighth.
func (j *Journal) touch(ctx context.Context, s *stream) error {
	j.mu.Lock()
	now := j.now()
	s.access = now
	j.mu.Unlock()
	_, err := j.do(ctx, s, task{prepare: func(v view) (*submission, error) {
		if _, worth := v.renewal(now); !worth || !v.exists() {
			return nil, nil
		}
		sub := newSubmission(s, v)
		sub.whole = true
		return sub, nil
	}})
	return err
}
