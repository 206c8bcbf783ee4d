package journal

import (
	"context"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
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

	// Mark names this state of the stream: it is Last, or where the stream was
	// made if there is nothing in it. See Continues.
	Mark leat.Offset

	// Records counts the records that are retained, without an end, and of a
	// fork those it inherits only if they are JSON.
	Records int64

	// Over is how the stream ended, empty while it is open, and Reason why.
	Over   leat.EndState
	Reason string

	// Config is how the stream is kept if it was made on purpose, else nil.
	// It must not be changed.
	Config *Config

	state   state
	trimmed uint64
	origin  *Origin // nil if it inherits nothing
}

// EndedBy reports whether it was this request of a producer that ended the stream.
func (m *Meta) EndedBy(p *Producer) bool { return p != nil && m.state.closer == p.request() }

// Ended returns the error for what cannot be done because the stream has ended, nil if
// it is open.
func (m *Meta) Ended() error {
	if m.Over == "" {
		return nil
	}
	return errEnded(m.Name, m.Over)
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
	now := j.now()
	if !v.exists() || v.lives.over(now) {
		return Meta{}, v.missing(name)
	}
	if use && v.ttl > 0 {
		if err := j.touch(ctx, s, v, now); err != nil {
			return Meta{}, err
		}
	}
	m := Meta{
		Name: name, ID: v.id, ContentType: v.typ.text, Kind: v.typ.kind, End: v.end,
		Over: v.over, Config: v.config, Last: j.writtenOf(&v.state).Last,
		Mark: j.mark(&v.state), state: v.state, trimmed: info.Trimmed,
	}
	records, content, reason, err := j.contentOf(ctx, v, info)
	if err != nil {
		return Meta{}, err
	}
	// All of it is of one moment, whatever is trimmed meanwhile.
	m.Records, m.Start, m.Reason = records, m.End-content, reason
	if m.origin = v.inherits(&info); m.origin != nil {
		m.Records, m.Start = m.Records+m.origin.Records, m.origin.Start
	}
	return m, nil
}

// contentOf returns how many records and bytes of content are retained of a stream,
// which an end is none of, and the reason of the end.
func (j *Journal) contentOf(ctx context.Context, v view, info store.Info) (records, bytes int64, reason string, err error) {
	records, bytes = info.Records, info.Bytes
	if v.over == "" {
		return records, bytes, "", nil
	}
	b, err := j.st.ReadStream(ctx, info.Name, v.last-1, v.last, 1)
	if err != nil {
		return 0, 0, "", err
	}
	if len(b.Records) > 0 { // otherwise it is being removed, and nothing of it is left
		reason = string(b.Records[0].Data)
		records--
		bytes -= int64(len(reason))
	}
	return records, bytes, reason, nil
}

// Continues reports whether a stream that had the Mark given has become the one
// that m is of by appending and trimming alone: then each byte that both have is
// the same. It has not if it was made anew, if the store lost the end of its log
// and took other records in its place, or if it is another store's.
func (j *Journal) Continues(m Meta, mark leat.Offset) bool {
	_, loss := j.st.Epochs().Resolve(mark, m.Mark.Seq)
	return loss == store.LossNone && mark.Seq >= m.ID
}

// Epoch is that of all that is stored from now on.
func (j *Journal) Epoch() uint64 {
	es := j.st.Epochs()
	return es[len(es)-1].Epoch
}

// Followed reports whether who was sent the stream that m is of in an epoch, up to, not
// with, a position beyond what there was at first, was sent the bytes that are there: the
// last of them is of a record that is no younger than the epoch. A younger one has taken
// the place of one that the store lost.
func (j *Journal) Followed(ctx context.Context, m Meta, epoch uint64, pos int64) (bool, error) {
	seq := m.trimmed
	if pos != m.Start || m.origin != nil {
		var err error
		if seq, _, err = j.Seek(ctx, m, pos-1); err != nil && leat.CodeOf(err) != leat.CodeGap {
			return false, err
		}
	}
	return seq > 0 && j.st.Epochs().Offset(seq).Epoch <= epoch, nil
}

// Seek returns the record that has a byte of the content of the stream that m is
// of, and the position of its first byte. It is the end, 0 and 0, if the content
// does not reach that far. The error has leat.CodeGap if the byte is gone.
func (j *Journal) Seek(ctx context.Context, m Meta, pos int64) (seq uint64, start int64, err error) {
	in := m.Name
	if m.origin != nil && pos < m.origin.Base {
		lineage, err := j.Lineage(ctx, m)
		if err != nil {
			return 0, 0, err
		}
		in = lineage.at(pos)
	}
	seq, start, err = j.st.Seek(ctx, in, pos)
	if err != nil {
		return 0, 0, err
	}
	info, err := j.st.Stream(ctx, m.Name)
	if err != nil {
		return 0, 0, err
	}
	if info.ID != m.ID || m.origin != nil && info.Trimmed > 0 || seq > 0 && start > pos || seq == 0 && pos < m.End {
		return 0, 0, leat.Errorf(leat.CodeGap, "byte %d of the stream %q has been removed in this moment", pos, m.Name).
			Advise("Ask again: the answer says what there is.")
	}
	return seq, start, nil
}

// touch notes a use of a stream with a TTL, in the store only if it knows of none
// in the last eighth. A store that takes no writes can be read nevertheless.
func (j *Journal) touch(ctx context.Context, s *stream, v view, now time.Time) error {
	j.use(s, v, now)
	if _, worth := v.renewal(now); !worth {
		return nil
	}
	_, _, err := j.do(ctx, s, task{prepare: func(v view) (*submission, error) {
		if _, worth := v.renewal(now); !worth || !v.exists() {
			return nil, nil
		}
		sub := newSubmission(s, v)
		sub.whole, sub.exact = true, v.version // of many at a time one is enough
		return sub, nil
	}})
	if code := leat.CodeOf(err); code == leat.CodeStoreFull || code == leat.CodeStoreFailed {
		return nil
	}
	return err
}

// use notes in memory that the stream that v is a view of was used. If others
// write to the store, what they know of its uses is not known here: then only
// what the store says counts.
func (j *Journal) use(s *stream, v view, now time.Time) {
	j.mu.Lock()
	defer j.mu.Unlock()
	switch {
	case !j.alone, v.id < s.id:
		return
	case s.id == 0 && !s.known:
		s.id = v.id
	case s.id != 0 && s.id != v.id:
		s.forget()
		s.state = state{id: v.id}
	}
	s.access = later(s.access, now)
}
