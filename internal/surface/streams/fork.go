package streams

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

// Fields of a PUT that forks a stream.
const (
	fieldForkedFrom = "Stream-Forked-From"     // the path of the source
	fieldForkOffset = "Stream-Fork-Offset"     // the last record that is inherited
	fieldForkSub    = "Stream-Fork-Sub-Offset" // how much of what follows it is too
)

// forkOf returns the fork that the head of a PUT asks for, nil for none.
func (s *Surface) forkOf(h http.Header) (*journal.Fork, error) {
	from, at, sub := field(h, fieldForkedFrom), field(h, fieldForkOffset), field(h, fieldForkSub)
	if from == "" {
		for name, text := range map[string]string{fieldForkOffset: at, fieldForkSub: sub} {
			if text != "" {
				return nil, badField(name, text, "there is no "+fieldForkedFrom, "Send the path of the source too, such as "+fieldForkedFrom+": /streams/orders.")
			}
		}
		return nil, nil
	}
	u, err := url.Parse(from)
	if err != nil {
		return nil, badField(fieldForkedFrom, from, "it is no path", "Send one such as /streams/orders.")
	}
	f := &journal.Fork{}
	var ok bool
	if f.Source, ok = s.Name(u.Path); !ok {
		return nil, badField(fieldForkedFrom, from, "it is not the path of a stream of this server", "Send one such as /streams/orders.")
	}
	if at != "" {
		o, err := leat.ParseOffset(at)
		if err != nil {
			return nil, badField(fieldForkOffset, at, "it is no offset", "Send one that the server has given, or none to fork at the newest record.")
		}
		f.At = &o
	}
	if sub != "" {
		n, err := strconv.ParseUint(sub, 10, 63)
		if err != nil || strconv.FormatUint(n, 10) != sub {
			return nil, badField(fieldForkSub, sub, "it is no number", "Send decimal digits: how many bytes of the next record, or how many records of a JSON stream.")
		}
		if f.Sub = int64(n); n > 0 && f.At == nil {
			return nil, badField(fieldForkSub, sub, "there is no "+fieldForkOffset+" that it counts from", "Send that too.")
		}
	}
	return f, nil
}

// createAs makes a stream, or a fork.
func (s *Surface) createAs(ctx context.Context, f *journal.Fork, c journal.Config, w journal.Write) (made bool, written journal.Written, err error) {
	if f == nil {
		return s.o.Journal.Create(ctx, c, w)
	}
	return s.o.Journal.Fork(ctx, *f, c, w)
}

// kindOf returns how the body of a PUT reads: as the content type given says, or, of
// a fork that is to inherit it, that of the fork if it is there already, or that of
// the source. Without any the fork is refused whatever the body is.
func (s *Surface) kindOf(ctx context.Context, name string, f *journal.Fork, contentType string) (leat.Kind, error) {
	if f == nil || contentType != "" {
		return journal.KindOf(essenceOf(contentType)), nil
	}
	for _, name := range []string{name, f.Source} {
		m, err := s.o.Journal.Stat(ctx, name, false)
		switch leat.CodeOf(err) {
		case "":
			return m.Kind, nil
		case leat.CodeNotFound, leat.CodeGone:
		default:
			return 0, err
		}
	}
	return leat.KindBinary, nil
}
