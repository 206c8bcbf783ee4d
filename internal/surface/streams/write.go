package streams

import (
	"context"
	"mime"
	"net/http"
	"net/url"
	"strings"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/ingest"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/internal/upload"
)

// create answers PUT: 201 for a stream that it made, 200 for one that is there
// as it is asked for.
func (s *Surface) create(w http.ResponseWriter, r *http.Request, name string) error {
	config, err := configOf(r.Header)
	if err != nil {
		return err
	}
	end, err := endingOf(r.Header)
	if err != nil {
		return err
	}
	body := upload.NewBody(w, r, s.o.BodyTimeout).Ingest(r, s.o.Journal.MaxRecord())
	appends, err := recordsOf(body, isJSON(essenceOf(config.ContentType)))
	if err != nil {
		return err
	}
	write := journal.Write{Stream: name, Appends: appends, End: end.state, Reason: end.reason}
	made, written, err := s.o.Journal.Create(r.Context(), config, write)
	if err != nil {
		return err
	}
	m, err := s.o.Journal.Stat(r.Context(), name, false)
	if err != nil && leat.CodeOf(err) != leat.CodeNotFound { // it may have gone by now
		return err
	}
	h := w.Header()
	if m.ContentType != "" {
		h.Set("Content-Type", m.ContentType)
	}
	setEnd(h, written.Last, end.state)
	if !made {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	h.Set("Location", r.URL.EscapedPath())
	w.WriteHeader(http.StatusCreated)
	return nil
}

// recordsOf returns the records that a body makes which is stored as a whole:
// none if it is empty, those of its elements if it is JSON, and otherwise one.
func recordsOf(body ingest.Body, isJSON bool) ([]journal.Append, error) {
	if isJSON {
		return ingest.Array(body)
	}
	a, err := ingest.Record(body)
	if err != nil || len(a.Data) == 0 {
		return nil, err
	}
	a.Cut = true
	return []journal.Append{a}, nil
}

// append answers POST.
func (s *Surface) append(w http.ResponseWriter, r *http.Request, name string) error {
	q, err := surface.ParseQuery(r)
	if err != nil {
		return err
	}
	end, err := endingOf(r.Header)
	if err != nil {
		return err
	}
	m, err := s.o.Journal.Stat(r.Context(), name, false)
	if err != nil {
		return err
	}
	in := upload.NewBody(w, r, s.o.BodyTimeout)
	up := &uploading{s: s, r: r, q: q, name: name, end: end, stream: m, in: in, body: in.Ingest(r, s.o.Journal.MaxRecord())}
	return up.store(w)
}

// uploading is a POST under way.
type uploading struct {
	s      *Surface
	r      *http.Request
	q      url.Values
	name   string
	end    ending
	stream journal.Meta
	in     *upload.Body
	body   ingest.Body
}

// Media types of bodies that are many records of a stream of another type.
const (
	typeEvents = "text/event-stream"
	typeForm   = "application/x-www-form-urlencoded"
)

func isLines(essence string) bool {
	switch essence {
	case "application/x-ndjson", "application/ndjson", "application/jsonl":
		return true
	}
	return false
}

func isJSON(essence string) bool {
	return essence == "application/json" || strings.HasSuffix(essence, "+json")
}

func essenceOf(contentType string) string {
	essence, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return strings.ToLower(strings.TrimSpace(contentType))
	}
	return essence
}

// store stores the body in the way that its type and that of the stream ask for,
// and answers.
func (u *uploading) store(w http.ResponseWriter) error {
	essence, own := essenceOf(u.body.ContentType), essenceOf(u.stream.ContentType)
	streamed := u.q.Get("append") == "stream"
	if mode := u.q.Get("append"); mode != "" && !streamed {
		return surface.InvalidParameter("append", mode, "It is stream, or left out.")
	}
	switch {
	case streamed && u.stream.Kind == leat.KindJSON:
		return surface.InvalidParameter("append", "stream", "A JSON stream takes JSON texts, one on each line, as application/x-ndjson.")
	case streamed:
		return u.chunks(w)
	case essence == own:
	case u.stream.Kind == leat.KindJSON && isLines(essence):
		u.in.SetPace(upload.Line)
		u.body.ContentType = u.stream.ContentType
		return u.many(w, ingest.NewValues(u.body), ingest.AtLine)
	case u.stream.Kind != leat.KindBinary && essence == typeEvents:
		u.in.SetPace(upload.Line)
		u.body.ContentType = u.stream.ContentType
		return u.many(w, ingest.NewEvents(u.body), ingest.AtEvent)
	}
	return u.whole(w)
}

// whole stores a body as one record, or the elements of a JSON array, all or
// none of them.
func (u *uploading) whole(w http.ResponseWriter) error {
	if u.body.ContentType == "" {
		if u.end.state == "" || u.r.ContentLength != 0 {
			return leat.Errorf(leat.CodeInvalidParameter, "there is no Content-Type").
				Advise("Send the type of the stream, Content-Type: " + u.stream.ContentType + ".")
		}
	}
	asJSON := u.stream.Kind == leat.KindJSON && isJSON(essenceOf(u.body.ContentType))
	appends, err := recordsOf(u.body, asJSON)
	if err != nil {
		return err
	}
	if len(appends) == 0 && u.end.state == "" {
		return leat.Errorf(leat.CodeInvalidBody, "there is nothing to append").
			Advise("Send a body that is not empty, or " + fieldClosed + ": true to end the stream.")
	}
	typ, key := u.q.Get("type"), u.q.Get("key")
	if len(appends) > 1 && (typ != "" || key != "") {
		return leat.Errorf(leat.CodeInvalidParameter, "type and key are those of one record, and the body is %d", len(appends)).
			Advise("Send the records one by one, or as text/event-stream with an event and an id each.")
	}
	for i := range appends {
		appends[i].Type, appends[i].Key = typ, key
	}
	if key != "" && len(appends) == 1 {
		return u.keyed(w, appends[0])
	}
	written, err := u.s.o.Journal.Write(u.r.Context(), journal.Write{
		Stream: u.name, Appends: appends, End: u.end.state, Reason: u.end.reason,
	})
	if err != nil {
		return err
	}
	setEnd(w.Header(), written.Last, u.end.state)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// keyed stores a record that may be there already, by its key. Ending the stream
// is a step of its own then: it can be repeated too.
func (u *uploading) keyed(w http.ResponseWriter, a journal.Append) error {
	u.complete(&a)
	got, err := u.s.o.Journal.Append(u.r.Context(), a)
	if err != nil {
		return err
	}
	last, err := u.finish(u.r.Context(), u.end.state, got[0].Offset)
	if err != nil {
		return err
	}
	setEnd(w.Header(), last, u.end.state)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// complete makes an append one of this stream, which must exist.
func (u *uploading) complete(a *journal.Append) {
	a.Stream, a.Existing = u.name, true
}

// many stores records as they arrive.
func (u *uploading) many(w http.ResponseWriter, from upload.Source, at func(error, int) error) error {
	count, err := upload.Store(u.r.Context(), u.s.o.Journal, from, u.complete, at)
	return u.answer(w, count, err)
}

// chunks stores bytes as they arrive.
func (u *uploading) chunks(w http.ResponseWriter) error {
	if u.body.ContentType != "" && essenceOf(u.body.ContentType) != typeForm && essenceOf(u.body.ContentType) != essenceOf(u.stream.ContentType) {
		return leat.Errorf(leat.CodeTypeMismatch, "the stream %q holds %s and this is %s", u.name, u.stream.ContentType, u.body.ContentType).
			Advise("Send that type, or append to another stream.")
	}
	u.in.SetPace(upload.Byte)
	u.body.ContentType = u.stream.ContentType
	from := ingest.NewChunks(u.body, u.in.Interrupt)
	defer from.Close()
	count, err := upload.StoreChunks(u.r.Context(), u.s.o.Journal, from, func(a *journal.Append) {
		u.complete(a)
		a.Cut = true
	})
	return u.answer(w, count, err)
}

// answer ends the stream if that was asked for and answers an upload that was
// stored as it arrived. If it broke, and was to be the last, the stream has ended
// too: as truncated, never as complete.
func (u *uploading) answer(w http.ResponseWriter, count upload.Count, err error) error {
	if err != nil {
		if u.end.state != "" && leat.CodeOf(err) != leat.CodeEnded {
			// The request may have been given up: its context is no limit.
			_, _ = u.finish(context.WithoutCancel(u.r.Context()), leat.EndTruncated, leat.Offset{})
		}
		return err
	}
	last := u.stream.Last
	if count.Last != nil {
		last = *count.Last
	}
	if last, err = u.finish(u.r.Context(), u.end.state, last); err != nil {
		return count.Explain(err)
	}
	setEnd(w.Header(), last, u.end.state)
	surface.WriteJSON(w, http.StatusOK, count)
	return nil
}

// finish ends the stream in a state, if that is not empty, and returns where the
// stream then stands, as far as this request knows.
func (u *uploading) finish(ctx context.Context, state leat.EndState, last leat.Offset) (leat.Offset, error) {
	if state == "" {
		return last, nil
	}
	written, err := u.s.o.Journal.Write(ctx, journal.Write{Stream: u.name, End: state, Reason: u.end.reason})
	return written.Last, err
}
