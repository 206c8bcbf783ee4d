package events

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/ingest"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/surface"
)

// published is the answer to a publish of one record.
type published struct {
	ID        leat.Offset `json:"id"`
	Topic     string      `json:"topic"`
	Duplicate bool        `json:"duplicate,omitempty"`
}

// counted is the answer to a publish of lines.
type counted struct {
	Count      int          `json:"count"`
	Duplicates int          `json:"duplicates,omitempty"`
	Last       *leat.Offset `json:"last,omitempty"` // of the last line, nil if there was none
}

// publish answers POST /events.
func (s *Surface) publish(w http.ResponseWriter, r *http.Request) {
	answer, err := s.takeBody(w, r)
	if err != nil {
		surface.WriteError(w, r, s.o.Logger, err)
		return
	}
	surface.WriteJSON(w, http.StatusOK, answer)
}

// takeBody reads and stores what the request has, and returns the answer.
func (s *Surface) takeBody(w http.ResponseWriter, r *http.Request) (answer any, err error) {
	q, err := parseQuery(r)
	if err != nil {
		return nil, err
	}
	body := ingest.Body{
		Reader:      &patient{from: r.Body, rc: http.NewResponseController(w), limit: s.o.BodyTimeout},
		ContentType: r.Header.Get("Content-Type"),
		Encoding:    r.Header.Get("Content-Encoding"),
		Length:      r.ContentLength,
		MaxRecord:   s.o.Journal.MaxRecord(),
	}
	if q.Has("topic") {
		return s.publishTo(r, q, body)
	}
	shape, err := ingest.ShapeOf(body.ContentType)
	if err != nil {
		return nil, err
	}
	switch shape {
	case ingest.ShapeForm:
		a, err := ingest.Form(body)
		return s.publishOne(r, a, err)
	case ingest.ShapeEnvelope:
		a, err := ingest.Envelope(body)
		return s.publishOne(r, a, err)
	default:
		body.Reader.(*patient).lines = true
		return s.publishLines(r, ingest.NewLines(body))
	}
}

// publishTo stores the body as a record of the topic in the URL.
func (s *Surface) publishTo(r *http.Request, q url.Values, body ingest.Body) (any, error) {
	for _, name := range []string{"topic", "type", "key"} {
		if len(q[name]) > 1 {
			return nil, leat.Errorf(leat.CodeInvalidParameter, "%s occurs %d times", name, len(q[name])).
				Advise("A record has one topic, type and key. To publish many records send envelopes as application/x-ndjson.")
		}
	}
	a, err := ingest.Record(body)
	a.Stream, a.Type, a.Key = q.Get("topic"), q.Get("type"), q.Get("key")
	return s.publishOne(r, a, err)
}

// publishOne stores a record, unless reading it has failed.
func (s *Surface) publishOne(r *http.Request, a journal.Append, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	got, err := s.o.Journal.Append(r.Context(), a)
	if err != nil {
		return nil, err
	}
	return published{ID: got[0].Offset, Topic: a.Stream, Duplicate: got[0].Duplicate}, nil
}

// publishLines stores lines as they arrive, those that arrived together in one
// call. It stops at the first that is wrong; the error says which, and how many
// were stored.
func (s *Surface) publishLines(r *http.Request, lines *ingest.Lines) (any, error) {
	var answer counted
	for {
		group, readErr := lines.Next()
		got, err := s.o.Journal.Append(r.Context(), group.Appends...)
		for _, a := range got {
			answer.add(a)
		}
		switch {
		case err != nil:
			return nil, answer.explain(ingest.AtLine(err, group.Numbers[len(got)]))
		case errors.Is(readErr, io.EOF):
			return answer, nil
		case readErr != nil:
			return nil, answer.explain(readErr)
		}
	}
}

func (c *counted) add(a journal.Appended) {
	c.Count++
	if a.Duplicate {
		c.Duplicates++
	}
	c.Last = &a.Offset
}

// explain adds to an error what was stored before it. It leaves err, which
// others may share, as it is.
func (c *counted) explain(err error) error {
	e := *leat.AsError(err)
	e.Fields = maps.Clone(e.Fields)
	e.With("count", c.Count)
	if c.Duplicates > 0 {
		e.With("duplicates", c.Duplicates)
	}
	if c.Last != nil {
		e.With("last", *c.Last)
	}
	return &e
}

// patient reads a body whose sender has a limited time: for all of it, or, if
// the body is lines, for each line from its first byte on.
type patient struct {
	from  io.Reader
	rc    *http.ResponseController
	limit time.Duration // negative: none
	lines bool
	armed bool
}

func (p *patient) Read(b []byte) (int, error) {
	if !p.armed && p.limit > 0 && !p.lines {
		p.arm(time.Now().Add(p.limit))
	}
	n, err := p.from.Read(b)
	switch {
	case err != nil, p.lines && n > 0 && b[n-1] == '\n':
		p.disarm()
	case p.lines && n > 0 && p.limit > 0 && (!p.armed || bytes.IndexByte(b[:n], '\n') >= 0):
		p.arm(time.Now().Add(p.limit)) // a line has begun
	}
	return n, err
}

// arm sets the deadline. Where it cannot be set there is none: the caller's
// middleware decides over that.
func (p *patient) arm(t time.Time) {
	_ = p.rc.SetReadDeadline(t)
	p.armed = true
}

func (p *patient) disarm() {
	if p.armed {
		_ = p.rc.SetReadDeadline(time.Time{})
		p.armed = false
	}
}
