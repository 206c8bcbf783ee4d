package events

import (
	"encoding/json"
	"net/http"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/ingest"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/render"
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
	answer, err := s.takeBody(r, in)
	if err != nil {
		in.Leave()
		s.o.Refused.Add(string(surface.WriteError(w, r, s.o.Logger, err)))
		return
	}
	surface.WriteLine(w, http.StatusOK, answer)
}

// takeBody reads and stores what the request has, and returns the answer, in JSON.
func (s *Surface) takeBody(r *http.Request, in *upload.Body) (answer []byte, err error) {
	q, err := parseQuery(r)
	if err != nil {
		return nil, err
	}
	body := in.Ingest(r, s.o.Journal.MaxRecord())
	if q.Count("topic") > 0 {
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
		in.SetPace(upload.Line)
		return s.publishLines(r, ingest.NewLines(body))
	}
}

// publishTo stores the body as a record of the topic in the URL.
func (s *Surface) publishTo(r *http.Request, q surface.Query, body ingest.Body) ([]byte, error) {
	for _, name := range []string{"topic", "type", "key"} {
		if q.Count(name) > 1 {
			return nil, leat.Errorf(leat.CodeInvalidParameter, "%s occurs %d times", name, q.Count(name)).
				Advise("A record has one topic, type and key. To publish many records send envelopes as application/x-ndjson.")
		}
	}
	a, err := ingest.Record(body)
	a.Stream, a.Type, a.Key = q.Get("topic"), q.Get("type"), q.Get("key")
	return s.publishOne(r, a, err)
}

// publishOne stores a record, unless reading it has failed.
func (s *Surface) publishOne(r *http.Request, a journal.Append, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	got, err := s.o.Journal.Append(r.Context(), a)
	if err != nil {
		return nil, err
	}
	return published(a.Stream, got[0]), nil
}

// publishLines stores lines as they arrive. It stops at the first that is wrong;
// the error says which, and how many were stored.
func (s *Surface) publishLines(r *http.Request, lines *ingest.Lines) ([]byte, error) {
	count, err := upload.Store(r.Context(), s.o.Journal, lines, func(*journal.Append) {}, ingest.AtLine)
	if err != nil {
		return nil, err
	}
	return json.Marshal(count)
}
