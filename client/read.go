package client

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/sse"
)

// readTexts hands over lines, or the texts of a sequence, until the response
// ends. With FormAny the lines may turn out to be the answer to a poll.
func (s *subscription) readTexts(ctx context.Context, t *texts, form Form) ending {
	next, what := t.line, "line"
	if form == FormSequence {
		next, what = t.sequenceText, "text"
	}
	ofLeat := false
	for first := true; ; {
		text, err := next()
		last := err == io.EOF
		if err == nil || last {
			err = ctx.Err() // more may be buffered than the caller wants
		}
		if err != nil {
			return s.broken(ctx, err)
		}
		// In a sequence a number has to be followed by white space, and so has
		// the last line.
		cut := (last || form == FormSequence) && !whole(text)
		text = bytes.Trim(text, " \t\r\n")
		valid := json.Valid(text)
		switch {
		case len(text) == 0:
		case last && (cut || !valid):
			e := leat.Errorf(CodeTruncated, "the response ended in the middle of %s %d", what, t.n)
			return ending{err: e.With("line", t.n), again: s.resumes || s.options.Repeat}
		case cut || !valid:
			first = false
			s.delivered++
			if !s.yield(Event{Data: bytes.Clone(text)}, wrongText(what, t.n, text)) {
				return ending{stop: true}
			}
		case first && form == FormAny && parsePoll(text) != nil:
			return s.answered(parsePoll(text))
		case first && form != FormSequence && isPosition(text):
			ofLeat, first = true, false
			s.resumes = true
			s.object(text)
		case ofLeat:
			if !s.object(text) {
				return ending{stop: true}
			}
		default:
			first = false
			if !s.deliver(Event{Data: bytes.Clone(text)}) {
				return ending{stop: true}
			}
		}
		if last {
			return ended()
		}
	}
}

// object takes an object of a Leat server, and reports whether more is wanted.
func (s *subscription) object(text []byte) bool {
	var o object
	if json.Unmarshal(text, &o) != nil {
		o = object{Topic: "?"} // no Leat wrote it: hand it over as it is
	}
	if o.ID != "" {
		s.lastID = o.ID
	}
	if o.Retry > 0 {
		s.setRetry(time.Duration(min(o.Retry, int64(maxRetry/time.Millisecond))) * time.Millisecond)
	}
	e := Event{ID: s.lastID, Type: o.Type}
	switch {
	case o.Topic != "":
		e.Data = bytes.Clone(text)
	case o.Gap != nil:
		e = newEvent(&sse.Event{ID: s.lastID, Type: gapType, Data: o.Gap})
	case o.End != nil:
		e = newEvent(&sse.Event{ID: s.lastID, Type: endType, Data: o.End})
	default:
		if o.ID != "" {
			s.notify(Notice{Kind: Moved, LastEventID: s.lastID})
		}
		return true
	}
	return s.deliver(e)
}

// readPoll takes the answer to a poll.
func (s *subscription) readPoll(ctx context.Context, t *texts) ending {
	text, err := t.all()
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return s.broken(ctx, err)
	}
	p := parsePoll(text)
	if p == nil {
		e := leat.Errorf(CodeAnswer, "the answer of %s is not that to a poll: it needs events and a next position", s.url)
		return ending{err: e.Advise("Check the address, or use another form.")}
	}
	return s.answered(p)
}

// answered hands over what a poll has brought.
func (s *subscription) answered(p *poll) ending {
	s.resumes = true
	for _, text := range p.Events {
		if !s.object(text) {
			return ending{stop: true}
		}
	}
	moved := s.lastID != p.Next
	if moved {
		s.lastID = p.Next
		s.notify(Notice{Kind: Moved, LastEventID: s.lastID})
	}
	end := ended()
	// A server that does not let its client wait would be asked all the time.
	end.soon = len(p.Events) > 0 || moved || time.Since(s.asked) >= minPoll
	return end
}

// minPoll is how long a poll has to wait to be followed by the next at once if
// it brings nothing.
const minPoll = time.Second

// readArray hands over the elements of an array until it ends.
func (s *subscription) readArray(ctx context.Context, t *texts) ending {
	for {
		text, err := t.element()
		if err == nil {
			err = ctx.Err()
		}
		switch {
		case err == io.EOF:
			return ended()
		case leat.CodeOf(err) == CodeLine, err == errNoEnd:
			// The same will be there the next time.
			return ending{err: err}
		case err != nil:
			return s.broken(ctx, err)
		case !s.deliver(Event{Data: bytes.Clone(text)}):
			return ending{stop: true}
		}
	}
}
