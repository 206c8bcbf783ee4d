package server_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/sse"
)

// A follower is a client of the Durable Streams protocol: it reads one stream, in any
// of the protocol's forms, and goes on with the Stream-Next-Offset that it was given.
type follower struct {
	w  *world
	id int
	r  *rand.Rand

	name     string
	at       string // the offset to go on from; "-1" or "now" at first
	query    string // of the newest answer with a tag, and
	tag      string // that
	cursor   string
	finished int
	answers  []*durableAnswer
}

// A durableAnswer is what one request was answered.
type durableAnswer struct {
	who, name, query string
	at, match        string // that it came with
	begun, over      int64
	status           int
	header           http.Header
	body             []byte
	events           []durableEvent
	end              segmentEnd
}

// A durableEvent is an event with what it says, if it is a control event.
type durableEvent struct {
	tick    int64
	id, typ string
	data    []byte
	told    told
	gap     *gap
}

func (x *follower) run() {
	x.renew()
	for {
		l := x.w.next(x.finished)
		if l == nil {
			return
		}
		x.ask(l)
	}
}

// renew makes it a reader of another stream.
func (x *follower) renew() {
	x.at, x.query, x.tag, x.cursor = "-1", "", "", ""
	if x.r.IntN(4) == 0 {
		x.at = "now"
	}
	forks := x.w.forkNames()
	if len(forks) > 0 && x.r.IntN(3) == 0 {
		x.name = forks[len(forks)-1-x.r.IntN(min(len(forks), 8))]
		return
	}
	x.name = []string{"s/0", "s/1", "s/2", "s/3", "s/4", "t/0", "t/1", "t/2"}[x.r.IntN(8)]
}

// ask sends one request and reads the answer.
func (x *follower) ask(l *life) {
	drains := l.target.Load() != nil
	q := url.Values{"offset": {x.at}}
	if form := x.r.IntN(3); form > 0 && !drains {
		q.Set("live", []string{"long-poll", "sse"}[form-1])
	}
	if x.cursor != "" {
		q.Set("cursor", x.cursor)
	}
	a := &durableAnswer{who: fmt.Sprint("follower ", x.id), name: x.name, at: x.at, query: q.Encode()}
	req, err := http.NewRequest("GET", l.url+"/streams/"+x.name+"?"+a.query, nil)
	if err != nil {
		panic(err)
	}
	if a.query == x.query && x.r.IntN(2) == 0 {
		a.match = x.tag
		req.Header.Set("If-None-Match", a.match)
	}
	a.begun = x.w.truth.tick()
	x.answers = append(x.answers, a)
	resp, err := l.clients[x.r.IntN(len(l.clients))].Do(req)
	if err == nil {
		a.header = resp.Header
		left := 1 << 30
		if x.r.IntN(4) == 0 && !drains {
			left = x.r.IntN(3000)
		}
		body := &cutter{resp.Body, left, l, func() bool { return q.Get("live") == "sse" && l.target.Load() != nil }}
		if q.Get("live") == "sse" && resp.StatusCode == 200 {
			err = x.readEvents(a, body)
		} else {
			a.body, err = io.ReadAll(body)
		}
		resp.Body.Close()
		a.status = resp.StatusCode
		switch {
		case errors.Is(err, errLeft):
			a.end = endLeft
		case err == nil || errors.Is(err, io.EOF):
			a.end = endClean
		default:
			a.end = endBroken
		}
	}
	a.over = x.w.truth.tick()
	if l.answers.Add(-1) == 0 {
		l.enoughIf()
	}
	if l.dead.Load() {
		if a.end == endClean {
			a.status = 0 // it may be younger than the power cut
		}
		<-l.stopped
		x.finished = l.n
		return
	}
	if x.goOn(a) && drains {
		x.finished = l.n
	}
}

// readEvents reads an answer that is a stream of events.
func (x *follower) readEvents(a *durableAnswer, body io.Reader) error {
	d := sse.NewDecoder(body, nil)
	for {
		ev, err := d.Next()
		if err != nil {
			return err
		}
		e := durableEvent{tick: x.w.truth.tick(), id: ev.ID, typ: ev.Type, data: append([]byte(nil), ev.Data...)}
		switch ev.Type {
		case "control":
			err = json.Unmarshal(ev.Data, &e.told)
		case "leat.gap":
			e.gap = new(gap)
			err = json.Unmarshal(ev.Data, e.gap)
		}
		if err != nil {
			x.w.t.Errorf("%+v: %v", ev, err)
		}
		a.events = append(a.events, e)
	}
}

// goOn decides what comes after an answer, and reports whether there is no more to get.
func (x *follower) goOn(a *durableAnswer) (done bool) {
	next := a.header.Get("Stream-Next-Offset")
	switch {
	case a.status == 404, a.status == 410 && a.header.Get("Leat-Earliest-Offset") == "":
		x.renew()
		return true
	case a.status == 410:
		x.at = a.header.Get("Leat-Earliest-Offset")
	case a.isEvents():
		for _, ev := range a.events {
			if ev.typ == "control" {
				x.at, x.cursor = ev.told.Next, ev.told.Cursor
			}
			done = done || ev.told.Closed
		}
	case a.end == endClean && (a.status == 200 || a.status == 204 || a.status == 304):
		x.query, x.tag = a.query, a.header.Get("ETag")
		if a.header.Get("Stream-Up-To-Date") == "" || x.r.IntN(4) > 0 { // else it looks again at the same
			x.at = next
		}
		x.cursor = a.header.Get("Stream-Cursor")
		done = a.header.Get("Stream-Up-To-Date") == "true"
	}
	if done && a.header.Get("Stream-Closed") == "true" || x.r.IntN(30) == 0 {
		x.renew()
	}
	return done
}

// A durableCheck holds an answer to a follower against the truth.
type durableCheck struct {
	w     *world
	l     *life
	a     *durableAnswer
	story []*entry // all that there ever was under the name, in order
	own   int      // the first of them that the name did not inherit
}

func (w *world) checkDurable(l *life, a *durableAnswer) {
	c := &durableCheck{w: w, l: l, a: a}
	c.story, c.own = w.story(a.name)
	w.meets("GET ", a.status, a.isEvents(), c.own > 0)
	if a.status == 0 || a.status == 404 || l.ending.Load() > 0 && a.over >= l.ending.Load() && a.status >= 500 {
		return
	}
	switch {
	case a.status == 410 && a.end == endClean:
		c.refused()
	case a.status == 410: // it says more than was read
	case a.status == 200 && a.isEvents():
		c.heard()
	case a.status == 200 || a.status == 204 || a.status == 304:
		c.chunk()
	default:
		c.fail("%s", a.body)
	}
}

func (c *durableCheck) fromStart() bool { return c.a.at == "-1" || c.a.at == leat.Offset{}.String() }

func (a *durableAnswer) isEvents() bool { return strings.Contains(a.query, "live=sse") }

func (c *durableCheck) fail(format string, args ...any) {
	c.w.t.Helper()
	text := ""
	near, _ := leat.ParseOffset(c.a.at)
	for i, e := range c.story {
		if e.Offset.Seq+25 < near.Seq || e.Offset.Seq > near.Seq+60 && !near.IsStart() {
			continue
		}
		text += fmt.Sprintf("  %d %s %s %s %q, stored %d-%d, gone %d\n", i-c.own, e.Offset, e.Stream, e.Kind, e.Data[:min(len(e.Data), 30)], e.begun, e.stored, e.gone)
	}
	for _, ev := range c.a.events {
		text += fmt.Sprintf("  event at %d: %s %s %.60q\n", ev.tick, ev.typ, ev.id, ev.data)
	}
	c.w.t.Fatalf("life %d, %s, GET /streams/%s?%s, If-None-Match %s, ticks %d to %d, status %d %v, %d bytes, it ended %s: %s\nepochs %v\n%s",
		c.l.n, c.a.who, c.a.name, c.a.query, c.a.match, c.a.begun, c.a.over, c.a.status, c.a.header, len(c.a.body), c.a.end, fmt.Sprintf(format, args...), c.w.truth.epochs, text)
}

// from returns the offset that the answer is to go on from, and whether there is one.
func (c *durableCheck) from() (o leat.Offset, known bool) {
	if c.fromStart() || c.a.at == "now" {
		return o, c.fromStart()
	}
	o = c.parse(c.a.at)
	if _, loss := c.w.truth.wentOn(o); loss != "" && c.a.status != 410 {
		c.fail("what it has is lost or foreign (%s), and it is not told", loss)
	}
	return o, true
}

func (c *durableCheck) parse(text string) leat.Offset {
	o, err := leat.ParseOffset(text)
	if err != nil {
		c.fail("%q is no offset", text)
	}
	return o
}

// gone reports whether an entry of the story may be missing at a tick. What a fork has
// inherited goes with the first of its own.
func (c *durableCheck) gone(i int, tick int64) bool {
	if i < c.own && c.own < len(c.story) {
		if e := c.story[c.own]; e.gone > 0 && e.gone <= tick {
			return true
		}
	}
	e := c.story[i]
	return e.gone > 0 && e.gone <= tick
}

// skips reports whether the entries between two offsets, both not with, may all be
// missing at a tick; what is wrong with it otherwise.
func (c *durableCheck) skips(from, to leat.Offset, tick int64) error {
	for i, e := range c.story {
		if e.Offset.Compare(from) > 0 && e.Offset.Compare(to) < 0 && !c.gone(i, tick) {
			return fmt.Errorf("%s %.40q is skipped", e.Offset, e.Data)
		}
	}
	return nil
}

// newest returns the newest entry that the stream had at an offset, nil if it had none.
func (c *durableCheck) newest(at leat.Offset) (found *entry) {
	for _, e := range c.story {
		if e.Offset.Compare(at) <= 0 {
			found = e
		}
	}
	return found
}

// ended reports whether an offset is that of the end of the stream, and the newest entry
// at a later one: the beginning of an epoch is behind the end of what ended before.
func (c *durableCheck) ended(end, at leat.Offset) bool {
	e := c.newest(at)
	return e != nil && e.Offset == end && e.Kind == leat.KindEnd
}

// honest holds what was said of a position against what there was before the request:
// that there is nothing more, and whether that is the end.
func (c *durableCheck) honest(next leat.Offset, upToDate, closed bool, end string) {
	for i, e := range c.story {
		if upToDate && e.Offset.Compare(next) > 0 && e.stored < c.a.begun && !c.gone(i, c.a.over) {
			c.fail("it is up to date at %s, and there was %s %.40q", next, e.Offset, e.Data)
		}
	}
	e := c.w.truth.at(next)
	ends := e != nil && e.Kind == leat.KindEnd && e.Stream == c.a.name
	if e == nil { // the beginning of an epoch, where who has lost something goes on
		e = c.newest(next) // and what went before has been made anew
		ends = e != nil && e.Kind == leat.KindEnd && e.Stream == c.a.name && !leat.EndState(e.Type).Gone()
	}
	switch {
	case closed != ends:
		c.fail("closed is %v at %s, where %+v is", closed, next, e)
	case ends && (e.Type == "complete") != (end == ""):
		c.fail("it ended with %q, and the end is %+v", end, e)
	}
}

// chunk checks an answer with a piece of content.
func (c *durableCheck) chunk() {
	from, known := c.from()
	h := c.a.header
	next := c.parse(h.Get("Stream-Next-Offset"))
	upToDate := h.Get("Stream-Up-To-Date") == "true"
	c.honest(next, upToDate, h.Get("Stream-Closed") == "true", h.Get("Leat-End"))
	if known && (next.Compare(from) < 0 || next == from && !upToDate) {
		c.fail("it goes from %s to %s", from, next)
	}
	if c.a.status == 304 {
		if h.Get("ETag") != c.a.match {
			c.fail("304 with another tag")
		}
		return
	}
	if known && !c.fromStart() {
		c.content(from, next)
	} else {
		c.suffix(next)
	}
	if tag := h.Get("ETag"); tag != "" && c.a.end == endClean {
		key := c.a.name + " " + tag
		if was, ok := c.w.tags[key]; ok && was != string(c.a.body) {
			c.fail("the tag was that of %.200q, and is that of %.200q", was, c.a.body)
		}
		c.w.tags[key] = string(c.a.body)
	}
}

// content checks that an answer has all between two offsets.
func (c *durableCheck) content(from, next leat.Offset) {
	var entries []*entry
	for _, e := range c.story {
		if e.Offset.Compare(from) > 0 && e.Offset.Compare(next) <= 0 {
			entries = append(entries, e)
		}
	}
	if want := c.join(entries); !c.has(want) {
		c.fail("it has\n%.300q, want\n%.300q", c.a.body, want)
	}
}

// suffix checks that an answer has all up to an offset, but for what is gone at the
// front, or, from now on, for what there was before.
func (c *durableCheck) suffix(next leat.Offset) {
	var entries []*entry
	for _, e := range c.story {
		if e.Offset.Compare(next) <= 0 {
			entries = append(entries, e)
		}
	}
	for i := range len(entries) + 1 {
		if c.has(c.join(entries[i:])) && (c.a.at != "now" || i == len(entries) || entries[i].stored >= c.a.begun) {
			return
		}
		if i < len(entries) && c.a.at != "now" && !c.gone(i, c.a.over) {
			break
		}
	}
	c.fail("it has\n%.300q, want the end of\n%.300q", c.a.body, c.join(entries))
}

// has reports whether an answer has the body that is wanted, or its beginning if it broke.
func (c *durableCheck) has(want string) bool {
	if c.a.end == endClean {
		return string(c.a.body) == want
	}
	return len(c.a.body) <= len(want) && string(c.a.body) == want[:len(c.a.body)]
}

// join returns the content of entries.
func (c *durableCheck) join(entries []*entry) string {
	text, isJSON := "", c.w.typeOf(c.a.name) == "application/json"
	for _, e := range entries {
		switch {
		case e.Kind == leat.KindEnd:
		case isJSON && text != "":
			text += "," + string(e.Data)
		default:
			text += string(e.Data)
		}
	}
	if isJSON && c.a.status != 204 {
		return "[" + text + "]"
	}
	return text
}

// heard checks an answer with events.
func (c *durableCheck) heard() {
	at, known := c.from()
	first := c.fromStart() // nothing that is gone is owed
	var data *durableEvent
	for i := range c.a.events {
		ev := &c.a.events[i]
		switch ev.typ {
		case "data":
			id := c.parse(ev.id)
			e := c.w.truth.at(id)
			if data != nil {
				c.fail("no control event is behind data")
			}
			if e == nil || c.sseData(e) != string(ev.data) || known && id.Compare(at) <= 0 {
				c.fail("at %s it heard %s %q, and there is %+v", at, id, ev.data, e)
			}
			tick := int64(0)
			if first {
				tick = ev.tick
			}
			if err := c.skips(at, id, tick); known && err != nil {
				c.fail("on the way to %s: %v", id, err)
			}
			data, at, known, first = ev, id, true, false
		case "control":
			next := c.parse(ev.told.Next)
			if data != nil && ev.told.Next != data.id {
				c.fail("the control event says %s behind %s", ev.told.Next, data.id)
			}
			if known && data == nil && next.Compare(at) < 0 && !(ev.told.Closed && c.ended(next, at)) {
				c.fail("it goes back from %s to %s", at, next)
			}
			tick := int64(0)
			if first {
				tick = ev.tick
			}
			to := next
			if !ev.told.Closed && data == nil {
				to.Seq++ // it was to come itself
			}
			if err := c.skips(at, to, tick); known && err != nil {
				c.fail("on the way to %s: %v", next, err)
			}
			c.honest(next, ev.told.UpToDate, ev.told.Closed, ev.told.End)
			if ev.told.Closed == (ev.told.Cursor != "") {
				c.fail("closed and a cursor, or neither: %s", ev.data)
			}
			data, at, known, first = nil, next, true, first || next.IsStart()
		case "leat.gap":
			if rest := c.a.events[i:]; rest[len(rest)-1].gap == nil {
				c.fail("something comes after a gap")
			}
		default:
			c.fail("an event of type %q", ev.typ)
		}
	}
	if c.a.end == endClean {
		c.closed()
	}
}

// closed checks why a stream of events has come to its end.
func (c *durableCheck) closed() {
	var last durableEvent
	if len(c.a.events) > 0 {
		last = c.a.events[len(c.a.events)-1]
	}
	if last.told.Closed || last.gap != nil || c.l.ending.Load() > 0 && c.a.over >= c.l.ending.Load() {
		return
	}
	// It was removed: that has an entry, which is told by 404 to who comes back.
	for _, e := range c.story {
		if e.Kind == leat.KindEnd && (e.Type == "deleted" || e.Type == "expired") && e.begun <= c.a.over {
			return
		}
	}
	c.fail("it ended, and the stream has not")
}

// sseData returns the data of an entry as the protocol has it.
func (c *durableCheck) sseData(e *entry) string {
	if e.Kind == leat.KindJSON {
		return "[" + string(e.Data) + "]"
	}
	text := contentOf("sse", e)
	return text[len(e.Type)+1:]
}

// refused checks a 410: what it is about is gone, or lost, or kept for forks.
func (c *durableCheck) refused() {
	earliest := c.a.header.Get("Leat-Earliest-Offset")
	if earliest == "" {
		for _, f := range c.w.forks {
			if f.source == c.a.name {
				return
			}
		}
		c.fail("410 without Leat-Earliest-Offset, of what has no fork: %s", c.a.body)
	}
	if c.fromStart() || c.a.at == "now" {
		return // something went in between
	}
	at, to := c.parse(c.a.at), c.parse(earliest)
	if _, loss := c.w.truth.wentOn(at); loss != "" {
		return
	}
	if strings.Contains(string(c.a.body), `"replaced"`) {
		gens := c.w.truth.gens[c.a.name]
		dropped := slices.ContainsFunc(c.story, func(e *entry) bool { return e.dropped > 0 && e.dropped <= c.a.over })
		if n := len(gens); !to.IsStart() || n > 0 && gens[n-1].id <= at.Seq && !dropped {
			c.fail("it was not replaced, or is not to be read from the start: %s", c.a.body)
		}
		return
	}
	told := false
	for i, e := range c.story {
		if e.gone >= c.a.begun && e.gone <= c.a.over {
			told = true // it was removed while it was read: asked again it is told more
		}
		if e.Offset.Compare(at) > 0 && e.Offset.Compare(to) <= 0 {
			if told = true; !c.gone(i, c.a.over) {
				c.fail("a false gap: %s %.40q is there", e.Offset, e.Data)
			}
		}
	}
	if !told {
		c.fail("a false gap, up to %s: %s", to, c.a.body)
	}
}
