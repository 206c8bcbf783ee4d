package streams

import (
	"net/http"
	"net/url"
	"strconv"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/session"
	"github.com/leat-dev/leat/internal/surface"
)

// read answers GET and HEAD.
func (s *Surface) read(w http.ResponseWriter, r *http.Request, name string) error {
	q, err := surface.ParseQuery(r)
	if err != nil {
		return err
	}
	for _, name := range []string{"offset", "live"} {
		if q.Has(name) {
			return surface.InvalidParameter(name, q.Get(name), "It belongs to the Durable Streams protocol, which this version does not speak yet. from= says where to begin, Accept or as= in which form to read.")
		}
	}
	m, err := s.o.Journal.Stat(r.Context(), name, r.Method == http.MethodGet)
	gone := err
	if err != nil && leat.CodeOf(err) != leat.CodeNotFound {
		return err
	}
	w.Header().Add("Vary", "Accept")
	form, contentType, err := formOf(r, q, m)
	switch {
	case gone != nil && (err != nil || form == nil):
		return gone
	case err != nil:
		return err
	case form != nil:
		return s.readLive(w, r, q, name, form, contentType, gone)
	}
	return s.readContent(w, r, q, m)
}

// formOf returns the form in which the records of a stream are asked for, and its
// media type. There is none where the content itself is meant.
func formOf(r *http.Request, q url.Values, m journal.Meta) (render.Form, string, error) {
	offers := []surface.Offer{
		{As: "bytes", Types: []string{essenceOf(m.ContentType)}},
		{As: "sse", Types: []string{surface.EventStream}},
		{As: "ndjson", Types: surface.NDJSON},
	}
	if m.ContentType == "" {
		offers = offers[1:] // it has gone, but its readers may not know yet
	}
	offer, contentType, err := surface.Choose(r.Header.Values("Accept"), q.Get("as"), offers...)
	switch {
	case err != nil, offer.As == "bytes":
		return nil, "", err
	case offer.As == "sse":
		return render.EventStream, contentType, nil
	}
	return render.Lines, contentType, nil
}

// TurnAway answers a request that cannot be served now, because of err.
func (s *Surface) TurnAway(w http.ResponseWriter, r *http.Request, err error) {
	contentType := ""
	if r.Method == http.MethodGet {
		w.Header().Add("Vary", "Accept")
		q, _ := surface.ParseQuery(r) // what could be read of it
		_, contentType, _ = formOf(r, q, journal.Meta{})
	}
	s.o.Host.TurnAway(w, r, contentType, err)
}

// readLive sends the records of a stream as events or lines, from the beginning if
// nothing else is asked for, until it ends.
func (s *Surface) readLive(w http.ResponseWriter, r *http.Request, q url.Values, name string, f render.Form, contentType string, gone error) error {
	ask, err := session.ParseAsk(r, q, s.o.Heartbeat)
	if err != nil {
		return err
	}
	if gone != nil && !ask.Resumes() {
		return gone
	}
	if ask.From == "" {
		ask.From = "start"
	}
	filter, err := leat.ParseFilter(name)
	if err != nil {
		return err
	}
	if r.Method == http.MethodHead {
		surface.StreamHeader(w.Header(), contentType)
		return nil
	}
	if s.o.Host.Full() {
		s.o.Host.TurnAway(w, r, contentType, session.ErrFull())
		return nil
	}
	reading, err := s.o.Host.Resolve(r.Context(), ask, filter, f)
	if err != nil {
		return err
	}
	reading.Gone = gone
	s.o.Host.Stream(w, r, reading, func(h http.Header) { surface.StreamHeader(h, contentType) })
	return nil
}

// readContent sends the bytes of a stream: all there are, those of a range, or on
// and on.
func (s *Surface) readContent(w http.ResponseWriter, r *http.Request, q url.Values, m journal.Meta) error {
	follow, err := surface.ParseFlag(q, "follow")
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("ETag", tagOf(m).String())
	if m.Kind == leat.KindJSON {
		return s.readArray(w, r, m, follow)
	}
	h.Set("Accept-Ranges", "bytes")
	if tagOf(m).matches(r.Header.Values("If-None-Match")) && !follow {
		return notModified(w)
	}
	b, err := boundsOf(m, r.Header.Get("Range"), r.Header.Get("If-Range"), follow)
	if err != nil {
		h.Del("ETag")
		if leat.CodeOf(err) == leat.CodeRange {
			h.Set("Content-Range", "bytes */"+strconv.FormatInt(m.End, 10))
		}
		return err
	}
	start, err := s.startAt(r, m, b.start)
	if err != nil {
		return err
	}
	reading := &session.Reading{Form: render.Raw, Start: start, Limit: b.end - b.start}
	// A stream that broke off must not look complete: there is no length, and
	// its last byte is followed by no end.
	broken := m.Over != "" && m.Over != leat.EndComplete && b.end == m.End
	if b.live || broken {
		reading.Limit = 0
	}
	status := http.StatusOK
	if b.partial {
		h.Set("Content-Range", b.text)
		status = http.StatusPartialContent
	}
	return s.send(w, r, m, reading, status, b.end == b.start && !b.live && !broken)
}

// startAt returns the start of a reader of bytes.
func (s *Surface) startAt(r *http.Request, m journal.Meta, pos int64) (live.Start, error) {
	seq, start, err := s.o.Journal.Seek(r.Context(), m, pos)
	if err != nil {
		return live.Start{}, err
	}
	if seq == 0 {
		// Never from position 0, where what was removed is no gap: a stream
		// that has no record yet begins after it was made.
		return live.Start{After: max(m.Last.Seq, m.ID)}, nil
	}
	return live.Start{After: seq - 1, Next: seq, Sent: int(pos - start)}, nil
}

// readArray sends the records of a JSON stream as an array.
func (s *Surface) readArray(w http.ResponseWriter, r *http.Request, m journal.Meta, follow bool) error {
	h := w.Header()
	h.Set("Accept-Ranges", "none")
	if follow {
		return surface.InvalidParameter("follow", "1", "A JSON array has no end to wait for; ask for as=ndjson or as=sse.")
	}
	if tagOf(m).matches(r.Header.Values("If-None-Match")) {
		return notModified(w)
	}
	reading := &session.Reading{Form: render.Array, Head: []byte("["), Tail: []byte("]")}
	if n := m.Records; n > 0 {
		// Each element has a comma in front; that of the first is sent already.
		reading.Limit = m.End - m.Start + n - 1
		start, err := s.startAt(r, m, m.Start)
		if err != nil {
			return err
		}
		start.Sent = 1
		reading.Start = start
	}
	return s.send(w, r, m, reading, http.StatusOK, m.Records == 0)
}

// send answers with content. If it is empty no reader is needed.
func (s *Surface) send(w http.ResponseWriter, r *http.Request, m journal.Meta, rd *session.Reading, status int, empty bool) error {
	if s.o.Host.Full() && r.Method != http.MethodHead {
		s.o.Host.TurnAway(w, r, m.ContentType, session.ErrFull())
		return nil
	}
	h := w.Header()
	setMeta(h, m)
	if rd.Limit > 0 || empty {
		h.Set("Content-Type", m.ContentType)
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Length", strconv.FormatInt(int64(len(rd.Head))+rd.Limit+int64(len(rd.Tail)), 10))
	} else {
		surface.StreamHeader(h, m.ContentType)
	}
	if empty || r.Method == http.MethodHead {
		w.WriteHeader(status)
		_, _ = w.Write(append(rd.Head, rd.Tail...))
		return nil
	}
	filter, err := leat.ParseFilter(m.Name)
	if err != nil {
		return err
	}
	rd.Filter, rd.Heartbeat, rd.Status = filter, s.o.Heartbeat, status
	s.o.Host.Stream(w, r, rd, func(http.Header) {})
	return nil
}

func notModified(w http.ResponseWriter) error {
	w.WriteHeader(http.StatusNotModified)
	return nil
}
