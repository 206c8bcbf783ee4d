package journal

import (
	"context"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// Trim removes the records of a stream up to and including that of an offset. Who
// was owed them is told with a gap. An end stays, and what is trimmed already is no
// error. What a fork begins with cannot be removed: that is an error with
// leat.CodePrecondition, and so is one with leat.CodeInvalidOffset for an offset
// that this log does not have.
func (j *Journal) Trim(ctx context.Context, name string, upTo leat.Offset) error {
	s, err := j.hold(name)
	if err != nil {
		return err
	}
	defer j.release(s)
	v, info, err := j.read(ctx, s)
	switch {
	case err != nil:
		return err
	case !v.exists():
		return v.missing(name)
	}
	through, loss := j.st.Epochs().Resolve(upTo, j.st.Head())
	if loss != store.LossNone {
		return leat.Errorf(leat.CodeInvalidOffset, "the log has no offset %s", upTo).
			Advise("Take the id of an event of the stream, or its Stream-Next-Offset.")
	}
	some := through > 0
	through = min(through, contentEnd(v))
	oldest, err := j.oldestOf(ctx, info)
	if err != nil {
		return err
	}
	if oldest == nil || oldest.Offset.Seq > through {
		if some && v.inherits(&info) != nil {
			return leat.Errorf(leat.CodePrecondition, "the fork %q has what is to be removed from its source only", name).
				Advise("It goes with the first of the fork's own records: trim beyond that.")
		}
		return nil
	}
	if err := j.trimThrough(ctx, s, v, through); err != nil {
		return err
	}
	return j.trimmed(ctx, s, through)
}

// trimmed returns an error if a stream still has records up to a position, and why.
func (j *Journal) trimmed(ctx context.Context, s *stream, through uint64) error {
	v, info, err := j.read(ctx, s)
	if err != nil {
		return err
	}
	oldest, err := j.oldestOf(ctx, info)
	switch {
	case err != nil:
		return err
	case oldest == nil || oldest.Offset.Seq > through || oldest.Kind == leat.KindEnd:
		return nil
	case v.pins.Deep > 0:
		return leat.Errorf(leat.CodePrecondition, "the stream %q has forks, and they begin with what is to be removed", s.name).
			Advise("Delete the forks first.")
	}
	return leat.Errorf(leat.CodeConflict, "the stream %q was changed again and again meanwhile", s.name).Advise("Try again.")
}
