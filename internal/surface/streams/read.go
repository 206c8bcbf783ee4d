package streams

import (
	"net/http"
	"strconv"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/session"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/internal/upload"
)

// read answers GET and HEAD.
func (s *Surface) read(w http.ResponseWriter, r *http.Request, name string, in *upload.Body) (socket.Rest, error) {
	q, err := surface.ParseQuery(r)
	if err != nil {
		return nil, err
	}
	if isDurable(q) && r.Method == http.MethodGet {
		return s.readDurable(w, r, q, name, in)
	}
	follow, err := surface.ParseFlag(q, "follow")
	if err != nil {
		return nil, err
	}
	w.Header().Add("Vary", "Accept")
	use := r.Method == http.MethodGet
	for before := (journal.Meta{}); ; use = false {
		m, gone := s.o.Journal.Stat(r.Context(), name, use)
		if gone != nil && leat.CodeOf(gone) != leat.CodeNotFound {
			return nil, gone
		}
		form, contentType, err := formOf(r, q, m)
		switch {
		case gone != nil && (err != nil || form == nil):
			return nil, gone
		case err != nil:
			return nil, err
		case form != nil:
			return s.readLive(w, r, q, name, form, contentType, m, gone)
		}
		rest, err := s.readContent(w, r, m, follow)
		if leat.CodeOf(err) != leat.CodeGap || m.ID == before.ID && m.Start == before.Start {
			explain(w.Header(), m, err)
			return rest, err
		}
		before = m // perhaps it was trimmed between two looks: then what there is now is the answer
	}
}

// formOf returns the form in which the records of a stream are asked for, and its
// media type. There is none where the content itself is meant.
func formOf(r *http.Request, q surface.Query, m journal.Meta) (render.Form, string, error) {
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

// kindStreams is the surface that readers are counted for.
const kindStreams = "streams"

// formatOf returns the name of a form to count its readers by.
func formatOf(f render.Form) string {
	switch f {
	case render.EventStream:
		return "sse"
	case render.Lines:
		return "ndjson"
	case render.Array:
		return "json"
	}
	return "bytes"
}

// TurnAway answers a request that cannot be served now, because of err.
func (s *Surface) TurnAway(w http.ResponseWriter, r *http.Request, err error) {
	if r.Method == http.MethodPost || r.Method == http.MethodPut {
		s.o.Refused.Add(string(leat.CodeOf(err)))
	}
	contentType := ""
	q, _ := surface.ParseQuery(r) // what could be read of it
	switch {
	case r.Method != http.MethodGet:
	case isDurable(q):
		if q.Get("live") == liveEvents {
			contentType = surface.EventStream
		}
	default:
		w.Header().Add("Vary", "Accept")
		// Who takes anything gets bytes, and must not take an event for some.
		_, contentType, _ = formOf(r, q, journal.Meta{ContentType: "application/octet-stream"})
	}
	s.o.Host.TurnAway(w, r, contentType, err)
}

// readLive sends the records of a stream as events or lines, from the beginning if
// nothing else is asked for, until it ends.
func (s *Surface) readLive(w http.ResponseWriter, r *http.Request, q surface.Query, name string, f render.Form, contentType string, m journal.Meta, gone error) (socket.Rest, error) {
	ask, err := session.ParseAsk(r, q, s.o.Heartbeat)
	if err != nil {
		return nil, err
	}
	if gone != nil && !ask.Resumes() {
		return nil, gone
	}
	if ask.Lineage, err = s.o.Journal.Lineage(r.Context(), m); err != nil {
		return nil, err
	}
	if ask.From == "" {
		ask.From = "start"
	}
	filter, err := leat.ParseFilter(name)
	if err != nil {
		return nil, err
	}
	if r.Method != http.MethodHead && s.o.Host.Full() {
		s.o.Host.TurnAway(w, r, contentType, session.ErrFull())
		return nil, nil
	}
	reading, err := s.o.Host.Resolve(r.Context(), ask, filter, f)
	if err != nil {
		return nil, err
	}
	reading.Gone = gone
	reading.Kind = session.KindOf(kindStreams, formatOf(f), r)
	return s.o.Host.Stream(w, r, reading, func(h http.Header) { surface.StreamHeader(h, contentType) }), nil
}

// content is what is sent of the bytes of a stream.
type content struct {
	meta    journal.Meta
	tag     tag
	bounds  bounds
	reading session.Reading
	ranges  string // the field Accept-Ranges
}

// readContent sends the bytes of a stream: all there are, those of a range, or on
// and on.
func (s *Surface) readContent(w http.ResponseWriter, r *http.Request, m journal.Meta, follow bool) (socket.Rest, error) {
	if m.Kind == leat.KindJSON && follow {
		return nil, surface.InvalidParameter("follow", "1", "A JSON array has no end to wait for; ask for as=ndjson or as=sse.")
	}
	h := w.Header()
	if !follow && tagOf(m).matches(r.Header.Values("If-None-Match")) {
		h.Set("ETag", tagOf(m).String())
		h.Set("Cache-Control", "no-cache")
		w.WriteHeader(http.StatusNotModified)
		return nil, nil
	}
	c := &content{meta: m, tag: tagOf(m)}
	find := s.findBytes
	if m.Kind == leat.KindJSON {
		find = s.findElements
	}
	if err := find(r, c, follow); err != nil {
		return nil, err
	}
	return s.send(w, r, c)
}

// explain sets what a reader needs to know of a stream that does not have the bytes
// it asks for.
func explain(h http.Header, m journal.Meta, err error) {
	switch leat.CodeOf(err) {
	case leat.CodeRange:
		h.Set("Content-Range", "bytes */"+strconv.FormatInt(m.End, 10))
		setMeta(h, m)
	case leat.CodeGap:
		setMeta(h, m)
	}
}

// findBytes finds the bytes that a request asks for.
func (s *Surface) findBytes(r *http.Request, c *content, follow bool) (err error) {
	ranges, ifRange := r.Header.Values("Range"), r.Header.Get("If-Range")
	rng := ""
	if len(ranges) == 1 {
		rng = ranges[0]
	}
	if rng != "" && ifRange != "" {
		same, err := s.continues(r, c.meta, ifRange, rng)
		if err != nil {
			return err
		}
		if !same {
			rng = ""
		}
	}
	if c.bounds, err = boundsOf(c.meta, rng, ifRange != "", follow); err != nil {
		return err
	}
	c.ranges = "bytes"
	c.reading = session.Reading{Form: render.Raw, Limit: c.bounds.end - c.bounds.start, Within: c.bounds.start > 0}
	if c.bounds.live {
		c.reading.Limit = 0
		c.tag.epoch = s.o.Journal.Epoch()
	}
	c.reading.Start, err = s.startAt(r, c.meta, c.bounds.start)
	return err
}

// continues reports whether the stream has every byte that it had under the tag in
// an If-Range, but for those that were trimmed: appending keeps every prefix, so
// what a later request gets is exactly what comes next. A range that begins behind
// these bytes is asked for by who was sent more in one answer: that must be there
// too. A date never matches: there is none.
func (s *Surface) continues(r *http.Request, m journal.Meta, ifRange, rng string) (bool, error) {
	t, ok := parseTag(ifRange)
	if !ok || t.end > m.End || !s.o.Journal.Continues(m, t.mark) {
		return false, nil
	}
	first, _, ok := parseRange(rng)
	if !ok || first <= t.end {
		return true, nil
	}
	return s.o.Journal.Followed(r.Context(), m, max(t.epoch, t.mark.Epoch), first)
}

// findElements finds the records of a JSON stream, which are sent as an array.
func (s *Surface) findElements(r *http.Request, c *content, _ bool) (err error) {
	m := c.meta
	c.ranges = "none"
	c.bounds = bounds{start: m.Start, end: m.End, broken: m.Over != "" && m.Over != leat.EndComplete}
	c.reading = session.Reading{Form: render.Array, Head: []byte("["), Tail: []byte("]"), Within: m.Start > 0}
	if m.Records == 0 {
		return nil
	}
	// Each element has a comma in front; that of the first is sent already.
	c.reading.Limit = m.End - m.Start + m.Records - 1
	c.reading.Start, err = s.startAt(r, m, m.Start)
	c.reading.Start.Sent = 1
	return err
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
		return live.Start{After: m.Mark.Seq}, nil
	}
	return live.Start{After: seq - 1, Next: seq, Sent: int(pos - start)}, nil
}

// header writes the header of the answer.
func (c *content) header(w http.ResponseWriter) {
	c.fields(w.Header())
	w.WriteHeader(c.status())
}

// status is that of the answer.
func (c *content) status() int {
	if c.bounds.contentRange != "" {
		return http.StatusPartialContent
	}
	return http.StatusOK
}

// fields sets the fields of the answer.
func (c *content) fields(h http.Header) {
	setMeta(h, c.meta)
	h.Set("ETag", c.tag.String())
	h.Set("Accept-Ranges", c.ranges)
	if c.bounds.contentRange == "" && !c.bounds.live {
		h.Set(fieldUpToDate, "true")
	}
	if c.bounds.live || c.bounds.broken {
		surface.StreamHeader(h, c.meta.ContentType) // without a length
	} else {
		h.Set("Content-Type", c.meta.ContentType)
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Length", strconv.FormatInt(int64(len(c.reading.Head))+c.reading.Limit+int64(len(c.reading.Tail)), 10))
	}
	if c.bounds.contentRange != "" {
		h.Set("Content-Range", c.bounds.contentRange)
	}
}

// send answers with content. One that has no bytes needs no reader, and a request
// with HEAD neither. A stream that broke off must not look complete: there is no
// length, and its last byte is followed by no end.
func (s *Surface) send(w http.ResponseWriter, r *http.Request, c *content) (rest socket.Rest, err error) {
	rd := &c.reading
	switch {
	case r.Method == http.MethodHead:
		c.fields(w.Header())
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(c.status())
		return nil, nil
	case rd.Limit == 0 && !c.bounds.live:
		c.header(w)
		_, _ = w.Write(append(rd.Head, rd.Tail...)) // the client may be gone
		if c.bounds.broken {
			session.Abort(w)
		}
		return nil, nil
	case s.o.Host.Full():
		s.o.Host.TurnAway(w, r, "", session.ErrFull())
		return nil, nil
	}
	if rd.Filter, err = leat.ParseFilter(c.meta.Name); err != nil {
		return nil, err
	}
	if rd.Start.Lineage, err = s.o.Journal.Lineage(r.Context(), c.meta); err != nil {
		return nil, err
	}
	rd.Kind = session.KindOf(kindStreams, formatOf(rd.Form), r)
	rd.Heartbeat, rd.Broken, rd.Status = s.o.Heartbeat, c.bounds.broken, c.status()
	return s.o.Host.Stream(w, r, rd, c.fields), nil
}
