package journal

import (
	"bytes"
	"context"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A source is the stream that is forked, as it is found.
type source struct {
	meta    Meta
	lineage *Lineage
	state   state
}

// find looks into the source for the point that is asked for.
func (m *making) find(ctx context.Context) error {
	j, f := m.j, &m.fork
	src, err := j.source(ctx, f.Source)
	if err != nil {
		return err
	}
	m.typ = src.state.typ
	if text := m.config.ContentType; text != "" && storedType(text).essence != m.typ.essence {
		return leat.Errorf(leat.CodeTypeMismatch, "the stream %q holds %s, so a fork of it cannot hold %s", f.Source, m.typ.text, text).
			Advise("Leave the Content-Type out, or send that of the source.")
	}
	depth := 1
	if src.state.fork != nil {
		depth += src.state.fork.Depth
	}
	if j.forkDepth >= 0 && depth > j.forkDepth {
		return leat.Errorf(leat.CodeInvalidParameter, "a fork of %q would have %d sources behind each other, and the limit is %d", f.Source, depth, j.forkDepth).
			Advise("Fork one of the sources, or copy what the stream has into a new one.")
	}
	at, err := j.forkAt(f, src)
	if err != nil {
		return err
	}
	m.config.ContentType = m.typ.text
	if !m.own && src.state.config != nil {
		m.config.TTL = src.state.config.TTL
		m.config.expiresAs(src.state.config)
	}
	m.origin = Origin{
		Source: f.Source, ID: src.meta.ID, At: at, Sub: f.Sub, Own: m.own,
		Through: at, Start: src.meta.Start, Base: src.meta.End, Depth: depth,
	}
	m.tail, m.cut, m.trim = src.state.tail, nil, src.meta.trimmed
	if err := m.pass(ctx, src); err != nil {
		return err
	}
	m.origin.Start = min(m.origin.Start, m.origin.Base)
	if err := m.last(ctx, src); err != nil {
		return err
	}
	return m.count(ctx, src)
}

// source returns the stream that is to be forked.
func (j *Journal) source(ctx context.Context, name string) (*source, error) {
	meta, err := j.Stat(ctx, name, false)
	if leat.CodeOf(err) == leat.CodeGone {
		return nil, leat.Errorf(leat.CodeEnded, "the stream %q was deleted: nothing can be forked from it any more", name).
			Advise("Fork one of its forks.")
	}
	if err != nil {
		return nil, err
	}
	lineage, err := j.Lineage(ctx, meta)
	return &source{meta, lineage, meta.state}, err
}

// forkAt returns the position that is asked for.
func (j *Journal) forkAt(f *Fork, src *source) (uint64, error) {
	if f.At == nil {
		return src.state.lastOf(), nil
	}
	at, loss := j.st.Epochs().Resolve(*f.At, j.st.Head())
	switch {
	case loss != store.LossNone:
		return 0, leat.Errorf(leat.CodeInvalidOffset, "the stream %q has nothing at %s", f.Source, *f.At).
			Advise("Fork at an offset that the server has given, or leave it out to fork at the newest record.")
	case at > 0 && at < src.meta.trimmed:
		return 0, leat.Errorf(leat.CodeGap, "what the stream %q had up to %s has been removed", f.Source, *f.At).
			Advise("Fork at a later offset.").With("start", src.meta.Start)
	}
	return at, nil
}

// pass finds what follows the position of the fork, and moves the point by the
// sub-offset.
func (m *making) pass(ctx context.Context, src *source) error {
	o, left := &m.origin, m.fork.Sub
	err := src.each(ctx, m.j.st, o.At, func(r *leat.Record) (more bool) {
		o.Base, m.tail = r.Pos, string(r.Carry)
		switch {
		case left == 0:
			return false
		case r.Kind == leat.KindJSON:
			left--
		case left < int64(len(r.Data)):
			m.cut = &leat.Record{
				Stream: m.write.Stream, Kind: r.Kind, Type: r.Type,
				Carry: r.Carry, Data: bytes.Clone(r.Data[:left]),
			}
			left = 0
			return false
		case left == int64(len(r.Data)):
			left = 0
		default:
			return false // it is beyond the record that comes next
		}
		o.Through, o.Base, m.tail = r.Offset.Seq, r.End(), tailOf(r)
		return left > 0
	})
	if err == nil && left > 0 {
		what := "bytes of the record"
		if m.typ.kind == leat.KindJSON {
			what = "records"
		}
		err = leat.Errorf(leat.CodeInvalidParameter, "there are no %d %s after the point at which %q is to be forked", m.fork.Sub, what, src.meta.Name).
			Advise("Name a smaller sub-offset, or a later offset.")
	}
	return err
}

// last makes the point that of the last record that is inherited, if it is behind it.
func (m *making) last(ctx context.Context, src *source) error {
	o, last := &m.origin, uint64(0)
	if o.Base > o.Start {
		seq, _, err := m.j.Seek(ctx, src.meta, o.Base-1)
		if err != nil {
			return err
		}
		last = seq
	}
	// There may be records without a byte.
	err := src.each(ctx, m.j.st, last, func(r *leat.Record) bool {
		if r.Offset.Seq > o.Through {
			return false
		}
		last = r.Offset.Seq
		return true
	})
	o.Through = last
	return err
}

// count counts the records that a fork of a JSON stream inherits. What is on the
// shorter side of the point, by its bytes, is read for that.
func (m *making) count(ctx context.Context, src *source) error {
	o := &m.origin
	if m.typ.kind != leat.KindJSON || o.Through == 0 {
		return nil
	}
	n := int64(0)
	if src.meta.End-o.Base <= o.Base-o.Start {
		err := src.each(ctx, m.j.st, o.Through, func(*leat.Record) bool { n++; return true })
		o.Records = src.meta.Records - n
		return err
	}
	err := src.each(ctx, m.j.st, 0, func(r *leat.Record) bool {
		if r.Offset.Seq > o.Through {
			return false
		}
		n++
		return true
	})
	o.Records = n
	return err
}

// each calls do for the records after a position that there were when the stream
// was looked at, inherited ones too, for as long as it wants more.
func (src *source) each(ctx context.Context, st store.Store, after uint64, do func(*leat.Record) (more bool)) error {
	for after < src.state.lastOf() {
		b, err := src.read(ctx, st, after)
		if err != nil {
			return err
		}
		for i := range b.Records {
			if r := &b.Records[i]; r.Kind != leat.KindEnd && !do(r) {
				return nil
			}
		}
		if b.Next <= after {
			return lagging(src.meta.Name, src.state.lastOf())
		}
		after = b.Next
	}
	return nil
}

func (src *source) read(ctx context.Context, st store.Store, after uint64) (store.Batch, error) {
	if after < src.lineage.Through() {
		return src.lineage.Read(ctx, st, after, src.state.lastOf(), readBytes)
	}
	return st.ReadStream(ctx, src.meta.Name, after, src.state.lastOf(), readBytes)
}
