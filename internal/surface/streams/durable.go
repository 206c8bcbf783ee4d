package streams

import (
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/session"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/internal/upload"
	"github.com/leat-dev/leat/store"
)

// This file has the forms of the Durable Streams protocol in which a stream is
// read: all of them name an offset, or say in which way they are live.

// Fields of these forms alone.
const (
	fieldUpToDate = "Stream-Up-To-Date"        // true: there is nothing more now
	fieldCursor   = "Stream-Cursor"            // against caches that answer the same for ever
	fieldEncoding = "Stream-SSE-Data-Encoding" // of data that is no text
	fieldEarliest = "Leat-Earliest-Offset"     // where who has missed something can read on
)

// The offsets that are words.
const (
	offsetStart = "-1"
	offsetNow   = "now"
)

// The ways to be live.
const (
	livePoll   = "long-poll"
	liveEvents = "sse"
)

// A durableAsk is a request to read in one of these forms.
type durableAsk struct {
	offset leat.Offset // the start for offsetStart
	now    bool        // from the end on, whatever that is
	live   string      // empty: what there is
	cursor string
	seen   bool // an event source says what it has seen
}

// isDurable reports whether a query asks for one of these forms.
func isDurable(q surface.Query) bool { return q.Count("offset") > 0 || q.Count("live") > 0 }

// parseDurable reads what a request asks for. What is not of the protocol is passed
// over, from= and as= too.
func parseDurable(r *http.Request, q surface.Query) (a durableAsk, err error) {
	for _, name := range []string{"offset", "live", "cursor"} {
		if _, err := single(q, name); err != nil {
			return a, err
		}
	}
	switch a.live = q.Get("live"); a.live {
	case livePoll, liveEvents:
	case "":
		if q.Count("live") == 0 {
			break
		}
		fallthrough
	default:
		return a, surface.InvalidParameter("live", a.live, "It is "+livePoll+" or "+liveEvents+", or left out.")
	}
	if q.Count("offset") == 0 {
		return a, leat.Errorf(leat.CodeInvalidParameter, "live=%s needs an offset", a.live).
			Advise("Give offset=-1 for the start, offset=now, or the " + fieldNext + " of an answer.")
	}
	a.cursor = q.Get("cursor")
	switch text := q.Get("offset"); text {
	case offsetStart:
	case offsetNow:
		a.now = true
	default:
		if a.offset, err = leat.ParseOffset(text); err != nil {
			return a, err
		}
	}
	// An event source that comes back repeats the URL: what it has seen is news.
	last, err := leat.ParseOffset(r.Header.Get("Last-Event-ID"))
	if err == nil && a.live == liveEvents && (a.now || last.Compare(a.offset) > 0) {
		a.offset, a.now, a.seen = last, false, true
	}
	return a, nil
}

// A durable is a request under way to read in one of these forms.
type durable struct {
	*Surface
	durableAsk
	w http.ResponseWriter
	r *http.Request

	meta    journal.Meta
	reading session.Reading
}

// readDurable answers GET in one of these forms.
func (s *Surface) readDurable(w http.ResponseWriter, r *http.Request, q surface.Query, name string, in *upload.Body) (rest socket.Rest, err error) {
	d := &durable{Surface: s, w: w, r: r}
	if d.durableAsk, err = parseDurable(r, q); err != nil {
		return nil, err
	}
	if d.live != livePoll {
		return d.answer(name)
	}
	return socket.Later(func() {
		if _, err := d.answer(name); err != nil {
			s.refuse(w, r, in, err)
		}
	}), nil
}

// answer looks the stream up and answers, but for the rest.
func (d *durable) answer(name string) (rest socket.Rest, err error) {
	for before := (journal.Meta{}); ; {
		if d.meta, err = d.o.Journal.Stat(d.r.Context(), name, true); err != nil {
			return nil, err
		}
		if d.now && d.live == "" {
			d.answerNow()
			return nil, nil
		}
		if d.o.Host.Full() {
			contentType := ""
			if d.live == liveEvents {
				contentType = surface.EventStream
			}
			d.o.Host.TurnAway(d.w, d.r, contentType, session.ErrFull())
			return nil, nil
		}
		if err = d.begin(); err == nil {
			if d.live == liveEvents {
				rest, err = d.sendEvents()
			} else {
				err = d.answerChunk()
			}
		}
		m := d.meta
		if leat.CodeOf(err) != leat.CodeGap || !d.fromStart() || m.ID == before.ID && m.Start == before.Start {
			d.explain(err)
			return rest, err
		}
		before = m // perhaps it was trimmed between two looks: then what there is now is the answer
	}
}

// fromStart reports whether what there is is asked for, from the first record on.
func (d *durable) fromStart() bool { return !d.now && d.offset.IsStart() }

// begin finds where the reader begins.
func (d *durable) begin() (err error) {
	rd := session.Reading{Form: render.Raw, Heartbeat: d.o.Heartbeat, Kind: session.KindOf(kindStreams, d.format(), d.r)}
	if d.meta.Kind == leat.KindJSON {
		rd.Form = render.Array
	}
	if rd.Filter, err = leat.ParseFilter(d.meta.Name); err != nil {
		return err
	}
	lineage, err := d.o.Journal.Lineage(d.r.Context(), d.meta)
	if err != nil {
		return err
	}
	switch {
	case d.now:
		rd.Start, rd.Within = live.Start{After: d.meta.Mark.Seq}, d.meta.Last.Seq > 0
	case d.fromStart():
		rd.Within = d.meta.Start > 0
		if rd.Start, err = d.startAt(d.r, d.meta, d.meta.Start); err != nil {
			return err
		}
	default:
		rd.Within = d.meta.Last.Seq > 0
		rd.Asked = d.offset.String()
		rd.Start, rd.Loss = d.o.Host.ResumeAt(d.offset, lineage)
	}
	rd.Start.Lineage = lineage
	d.reading = rd
	return nil
}

// format is the name of the form to count its readers by.
func (d *durable) format() string {
	switch d.live {
	case liveEvents:
		return "durable-sse"
	case livePoll:
		return "durable-poll"
	}
	return "durable"
}

// explain says where who has missed something can read on.
func (d *durable) explain(err error) {
	if leat.CodeOf(err) != leat.CodeGap {
		return
	}
	earliest := leat.Offset{} // of another store's offset nothing is known
	gap := leat.AsError(err).Advise(fieldEarliest + " is the offset with which reading goes on, with what there is; offset=now is its end.")
	fields := gap.Fields
	if fields["reason"] == render.ReasonReplaced {
		fields = nil // there is another stream: all of it is new
	}
	if next, ok := fields["next"].(leat.Offset); ok && d.reading.Loss != store.LossForeign {
		earliest = next
	}
	topics, _ := fields["topics"].([]render.GapTopic)
	for _, t := range topics {
		if earliest.Compare(t.Through) < 0 {
			earliest = t.Through
		}
	}
	d.w.Header().Set(fieldEarliest, earliest.String())
}

// answerNow tells who wants nothing of what there is where the end is.
func (d *durable) answerNow() {
	h := d.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set(fieldUpToDate, "true")
	setEnd(h, d.meta.Last, ending{d.meta.Over, d.meta.Reason})
	d.write(nil, nil)
}

// write answers with frames, of a JSON stream as an array. If rest is not nil what it
// is due comes behind them.
func (d *durable) write(pieces [][]byte, rest *session.Reading) {
	var end [][]byte
	if d.meta.Kind == leat.KindJSON {
		if len(pieces) > 0 {
			pieces[0] = pieces[0][1:] // each element has a comma in front
		}
		pieces, end = append([][]byte{[]byte("[")}, pieces...), [][]byte{[]byte("]")}
	}
	h := d.w.Header()
	h.Set("Content-Type", d.meta.ContentType)
	if rest == nil {
		size := 0
		pieces = append(pieces, end...)
		for _, p := range pieces {
			size += len(p)
		}
		h.Set("Content-Length", strconv.Itoa(size))
	}
	d.w.WriteHeader(http.StatusOK)
	d.o.Host.Answer(d.w, pieces)
	if rest != nil {
		d.o.Host.Copy(d.w, d.r, rest)
		d.o.Host.Answer(d.w, end)
	}
}

// collectBytes is how much of an answer without a bound is looked at before it begins.
const collectBytes = 256 << 10

// answerChunk answers with what there is, as far as one answer goes, or with what is
// waited for.
func (d *durable) answerChunk() error {
	want := session.Want{Most: d.o.ReadChunk, Known: d.meta.Last.Seq}
	if want.Most == 0 {
		want.Most = collectBytes
	}
	if d.live == livePoll && d.meta.Over == "" {
		want.Wait = d.o.LongPollTimeout
	}
	c, err := d.o.Host.Collect(d.r.Context(), &d.reading, want)
	switch {
	case err != nil:
		return err
	case c.End.Gone():
		return leat.Errorf(leat.CodeNotFound, "the stream %q has been removed in this moment", d.meta.Name).
			Advise("Nothing more of it will come. One of that name that is made anew begins with offset=-1.")
	case c.End != "" && d.meta.Over == "":
		d.learnEnd(c.End)
	case c.End == "" && d.meta.Over != "" && d.next(c) == d.meta.Last:
		c.End, c.UpToDate = d.meta.Over, true // and it is removed in this moment
	}
	var rest *session.Reading
	if !c.UpToDate && d.o.ReadChunk == 0 {
		if rest, err = d.rest(c); err != nil {
			return err
		}
	}
	h := d.w.Header()
	next := d.next(c)
	setEnd(h, next, ending{c.End, d.meta.Reason})
	if c.UpToDate {
		h.Set(fieldUpToDate, "true")
	}
	if d.live != "" && c.End == "" {
		h.Set(fieldCursor, strconv.FormatUint(nextCursor(d.cursor, time.Now(), 1), 10))
	}
	if d.live != "" && c.Bytes == 0 && c.UpToDate {
		h.Set("Cache-Control", "no-store")
		d.w.WriteHeader(http.StatusNoContent)
		return nil
	}
	tag := d.tag(next, c.End != "")
	h.Set("ETag", tag)
	h.Set("Cache-Control", d.caching(c))
	if matchesTag(d.r.Header.Values("If-None-Match"), tag) {
		d.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	d.write(c.Pieces, rest)
	return nil
}

// rest is what comes behind a chunk that is not all there is: up to the newest entry as
// it is now known, so that the answer can say where it goes before it is there. It makes
// c say that.
func (d *durable) rest(c *session.Chunk) (*session.Reading, error) {
	m, err := d.o.Journal.Stat(d.r.Context(), d.meta.Name, false)
	if err != nil {
		return nil, err
	}
	if m.ID != d.meta.ID || m.Last.Seq <= c.Next {
		return nil, nil // what was collected is an answer too
	}
	rest := d.reading
	rest.Start = live.Start{After: c.Next, Until: m.Last.Seq, Lineage: rest.Start.Lineage}
	rest.Within = true
	d.meta = m
	c.Next, c.UpToDate, c.End = m.Last.Seq, true, m.Over
	return &rest, nil
}

// learnEnd finds out why the stream has ended meanwhile.
func (d *durable) learnEnd(end leat.EndState) {
	d.meta.Over = end
	if end == leat.EndComplete {
		return
	}
	if m, err := d.o.Journal.Stat(d.r.Context(), d.meta.Name, false); err == nil && m.ID == d.meta.ID {
		d.meta.Reason = m.Reason
	}
}

// next is the offset to go on from after a chunk. Without anything in it that is what
// was asked for, or the end if that was a word.
func (d *durable) next(c *session.Chunk) leat.Offset {
	switch {
	case c.Next > 0:
		return d.o.Host.Offset(c.Next)
	case d.now, d.fromStart():
		return d.meta.Last
	}
	return d.offset
}

// tag is the entity tag of a chunk.
func (d *durable) tag(next leat.Offset, ended bool) string {
	return chunkTag{d.o.Host.Offset(d.meta.ID), d.o.Host.Offset(d.reading.Start.After), next, ended}.String()
}

// caching says for how long a chunk may be given to others. What more will follow, or
// nothing ever, is the same for ever; at the end of an open stream it is asked again.
// A poll has a cursor in its URL, and who is told something goes on from there.
func (d *durable) caching(c *session.Chunk) string {
	switch {
	case !c.UpToDate, c.End != "":
		return "public, max-age=60, stale-while-revalidate=300"
	case d.live == livePoll:
		return "public, max-age=20"
	}
	return "no-cache"
}

// cursorStep is what the cursors of event streams are multiples of if they are ahead of
// time, so that the readers with such a cursor share few feeds.
const cursorStep = 18

// nextCursor returns the cursor for a client that came with the one given. It is the
// present one, or a later one if the client's is not before that: so no two requests
// in a row are the same for a cache. It is ahead by at most an hour, a multiple of step.
func nextCursor(had string, now time.Time, step uint64) uint64 {
	const most, tooFar = 3600 / 20, 24 * 3600 / 20
	present := render.Interval(now)
	n, err := strconv.ParseUint(had, 10, 63)
	if err != nil || n < present || n > present+tooFar {
		return present
	}
	return (n/step + 1 + rand.Uint64N(most/step)) * step
}

// sendEvents sends the stream as events until it ends.
func (d *durable) sendEvents() (socket.Rest, error) {
	rd, m := &d.reading, d.meta
	if rd.Loss != store.LossNone || !d.fromStart() {
		if err := d.o.Host.RefuseGap(d.r.Context(), rd); err != nil {
			return nil, err
		}
	}
	control := render.Control{Next: d.offset, Cursor: nextCursor(d.cursor, time.Now(), cursorStep), UpToDate: true}
	floor := control.Cursor
	if floor == render.Interval(time.Now()) {
		floor = 0
	}
	latest := &render.Durable{Latest: true, Floor: floor}
	rd.Form, rd.GapError, rd.Beat = latest, true, session.BeatComment
	switch newest := m.Last.Seq; {
	case rd.Start.After >= newest && m.Over == "":
		if d.now || d.fromStart() {
			control.Next = m.Last
		}
		latest.Opening = control.Append(nil)
	case rd.Start.After+1 < newest:
		// All but the newest entry is not the latest.
		rd.Form, rd.Then, rd.Start.Until = &render.Durable{Floor: floor}, latest, newest-1
	}
	rd.Resumes, rd.CloseAfter, rd.Known = d.seen, d.o.SSECloseAfter, m.Last.Seq
	return d.o.Host.Stream(d.w, d.r, rd, func(h http.Header) {
		surface.StreamHeader(h, surface.EventStream)
		if m.Kind == leat.KindBinary {
			h.Set(fieldEncoding, "base64")
		}
	}), nil
}
