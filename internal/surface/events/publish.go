package events

import (
	"net/http"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/ingest"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/repeat"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/internal/upload"
)

// published returns the answer to a publish of one record, a JSON object.
func published(topic string, got journal.Appended) []byte {
	b := make([]byte, 0, 96+len(topic)) // enough for nearly all
	b = got.Offset.AppendTo(append(b, `{"id":"`...))
	b = render.AppendString(append(b, `","topic":`...), topic)
	if got.Duplicate {
		b = append(b, `,"duplicate":true`...)
	}
	return append(b, '}')
}

// publish answers POST /events.
func (s *Surface) publish(w http.ResponseWriter, r *http.Request) {
	in := upload.NewBody(w, r, s.o.BodyTimeout)
	a, lines, err := s.take(r, in)
	switch {
	case err != nil:
		s.refuse(w, r, in, err)
	case lines != nil:
		in.SetPace(upload.Line)
		s.publishLines(w, r, in, lines)
	default:
		s.publishOne(w, r, in, a)
	}
}

// refuse answers a publish that was refused.
func (s *Surface) refuse(w http.ResponseWriter, r *http.Request, in *upload.Body, err error) {
	in.Leave()
	s.o.Refused.Add(string(surface.WriteError(w, r, s.o.Logger, err)))
}

// take reads the record that a request has, or returns the lines that have many.
func (s *Surface) take(r *http.Request, in *upload.Body) (a journal.Append, lines *ingest.Lines, err error) {
	q, err := parseQuery(r)
	if err != nil {
		return a, nil, err
	}
	body := in.Ingest(r, s.o.Journal.MaxRecord())
	if q.Count("topic") > 0 {
		a, err = toTopic(q, body)
		return a, nil, err
	}
	switch shape, err := ingest.ShapeOf(body.ContentType); {
	case err != nil:
		return a, nil, err
	case shape == ingest.ShapeLines:
		return a, ingest.NewLines(body), nil
	case shape == ingest.ShapeForm:
		a, err = ingest.Form(body)
		return a, nil, err
	default:
		a, err = ingest.Envelope(body)
		return a, nil, err
	}
}

// toTopic returns the body as a record of the topic in the URL.
func toTopic(q surface.Query, body ingest.Body) (journal.Append, error) {
	for _, name := range []string{"topic", "type", "key"} {
		if q.Count(name) > 1 {
			return journal.Append{}, leat.Errorf(leat.CodeInvalidParameter, "%s occurs %d times", name, q.Count(name)).
				Advise("A record has one topic, type and key. To publish many records send envelopes as application/x-ndjson.")
		}
	}
	a, err := ingest.Record(body)
	a.Stream, a.Type, a.Key = q.Get("topic"), q.Get("type"), q.Get("key")
	return a, err
}

// publishOne stores a record. If the goroutine may not wait for that, the answer comes
// later.
func (s *Surface) publishOne(w http.ResponseWriter, r *http.Request, in *upload.Body, a journal.Append) {
	answer := func(got []journal.Appended, err error) {
		if err != nil {
			s.refuse(w, r, in, err)
		} else {
			surface.WriteLine(w, http.StatusOK, published(a.Stream, got[0]))
		}
	}
	if finish, ok := repeat.PutOff(w); ok {
		s.o.Journal.Post(r.Context(), a, func(got []journal.Appended, err error) {
			finish(func() { answer(got, err) })
		})
		return
	}
	answer(s.o.Journal.Append(r.Context(), a))
}

// IsPrompt reports whether a POST that has arrived is answered without waiting for anything
// but the journal, whatever its query and its body are.
func IsPrompt(r *http.Request) bool {
	shape, err := ingest.ShapeOf(r.Header.Get("Content-Type"))
	return r.URL.Path == "/events" && (err != nil || shape != ingest.ShapeLines)
}

// publishLines stores lines as they arrive. It stops at the first that is wrong;
// the error says which, and how many were stored.
func (s *Surface) publishLines(w http.ResponseWriter, r *http.Request, in *upload.Body, lines *ingest.Lines) {
	count, err := upload.Store(r.Context(), s.o.Journal, lines, func(*journal.Append) {}, ingest.AtLine)
	if err != nil {
		s.refuse(w, r, in, err)
		return
	}
	surface.WriteJSON(w, http.StatusOK, count)
}
