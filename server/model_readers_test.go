package server_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/sse"
)

// A listener is a client that reads events, lines or polls, goes away in the middle
// of anything, and comes back with the last id it has, in whatever form. When it
// has seen the end it begins as somebody else.
type listener struct {
	w    *world
	id   int
	r    *rand.Rand
	past []string // ids that it has had: others may come with them later

	names    []string
	filter   *leat.Filter
	single   bool // it reads /streams/NAME
	from     string
	cursor   string
	finished int // the number of the last life that it has nothing to do in any more
	away     int // lives for which it stays away
	segments []*segment
}

// A segment is what one answer said to a listener.
type segment struct {
	who, form, query string
	names            []string
	filter           *leat.Filter
	cursor, from     string
	begun, over      int64 // ticks
	status           int
	items            []item
	position         string // where it was at the end, "" if that is not known
	end              segmentEnd
	to               *target // where it was to come to
	text             string  // of an error
}

type segmentEnd string

const (
	endClean  segmentEnd = "clean"  // the answer came to its end
	endBroken segmentEnd = "broken" // the connection broke
	endLeft   segmentEnd = "left"   // the listener left
)

// An item is one thing that was said.
type item struct {
	tick int64
	kind itemKind
	id   string
	typ  string // of an event
	data string // of an event
	env  *envelope
	gap  *gap
	end  *endObject
}

type itemKind string

const (
	itemPosition itemKind = "position"
	itemRecord   itemKind = "record"
	itemGap      itemKind = "gap"
	itemEnd      itemKind = "end"
)

type envelope struct {
	ID, Topic, Type, Key, Time, Encoding string
	Data                                 json.RawMessage
	Gap                                  *gap
	End                                  *endObject
	Retry                                *int
}

type endObject struct{ Topic, State, Reason string }

var errLeft = errors.New("the reader has left")

// A cutter is a body that breaks off after some bytes, or with the life.
type cutter struct {
	io.Reader
	left int
	l    *life
	done func() bool // asked between reads, of which heartbeats see to it that there are
}

func (c *cutter) Read(p []byte) (int, error) {
	if c.left == 0 || c.done != nil && c.done() {
		return 0, errLeft
	}
	n, err := c.Reader.Read(p[:min(len(p), c.left)])
	if c.l.dead.Load() {
		return 0, errDead // it may be younger than the power cut
	}
	c.left -= n
	return n, err
}

// run reads as long as there are lives.
func (x *listener) run() {
	x.renew()
	for {
		l := x.w.next(x.finished)
		if l == nil {
			return
		}
		switch {
		case x.away > 0 && l.target.Load() == nil:
			x.away--
			x.finished = l.n
		case x.r.IntN(20) == 0:
			x.away = x.r.IntN(3)
			fallthrough
		default:
			x.ask(l)
		}
	}
}

// renew makes it a reader that asks for something else.
func (x *listener) renew() {
	x.cursor, x.from, x.single = "", "", false
	x.names = nil
	switch x.r.IntN(8) {
	case 0:
		x.names = []string{"q/0"}
	case 1:
		x.names = []string{"**"}
	case 2:
		x.names = []string{"s/*", "t/1"}
	case 3:
		x.names = []string{"t/*"}
	case 4, 5:
		x.names = []string{fmt.Sprint("s/", x.r.IntN(5))}
		x.single = x.r.IntN(2) == 0
	case 6:
		x.names = []string{"s/0", "s/1"}
	default:
		x.names = []string{modelNames[x.r.IntN(len(modelNames))], modelNames[x.r.IntN(len(modelNames))], "q/*"}
	}
	f, err := leat.ParseFilter(x.names...)
	if err != nil {
		panic(err)
	}
	x.filter = f
	switch x.r.IntN(6) {
	case 0, 1:
		x.from = "start"
	case 2:
		x.from = fmt.Sprint("-", x.r.IntN(8))
	case 3:
		if len(x.past) > 0 {
			x.cursor = x.past[x.r.IntN(len(x.past))]
		}
	case 4:
		if x.r.IntN(3) == 0 {
			x.cursor = []string{"7_7", "somebody else's", "9999999999999999_3"}[x.r.IntN(3)]
		}
	}
}

// ask sends one request and reads the answer.
func (x *listener) ask(l *life) {
	if x.r.IntN(6) == 0 && x.canAskHere() {
		x.askHere(l)
		return
	}
	target := l.target.Load()
	form := []string{"sse", "sse", "envelope", "ndjson", "ndjson", "json", "websocket"}[x.r.IntN(7)]
	if x.single && (form == "json" || form == "envelope" || form == "websocket") {
		form = "ndjson"
	}
	q := url.Values{"topic": x.names}
	path := "/events"
	if x.single {
		q, path = url.Values{}, "/streams/"+x.names[0]
	}
	switch form {
	case "envelope":
		q.Set("as", "sse")
		q.Set("envelope", "1")
	case "json":
		q.Set("as", "json")
		q.Set("wait", fmt.Sprint(x.r.IntN(30), "ms"))
	case "websocket":
	default:
		q.Set("as", form)
	}
	req, err := http.NewRequest("GET", l.url+path, nil)
	if err != nil {
		panic(err)
	}
	switch {
	case x.cursor == "":
		if x.from != "" {
			q.Set("from", x.from)
		}
	case x.r.IntN(2) == 0:
		q.Set("last_event_id", x.cursor)
	default:
		req.Header.Set("Last-Event-ID", x.cursor)
	}
	if x.r.IntN(10) == 0 && form != "websocket" { // whose client keeps too little of an error
		q.Set("gap", "error")
	}
	req.URL.RawQuery = q.Encode()
	s := &segment{
		who: fmt.Sprint("listener ", x.id), form: form, query: path + "?" + req.URL.RawQuery, names: x.names, filter: x.filter,
		cursor: x.cursor, from: x.from, begun: x.w.truth.tick(),
	}
	if x.single && s.from == "" {
		s.from = "start"
	}
	s.to = target
	x.segments = append(x.segments, s)
	resp, err := l.send(req, form, l.clients[x.r.IntN(len(l.clients))])
	if err != nil || l.dead.Load() {
		if err == nil {
			resp.Body.Close()
		}
		s.end, s.over = endBroken, x.w.truth.tick()
		<-l.stopped
		x.finished = l.n
		return
	}
	s.status = resp.StatusCode
	left := 1 << 30
	switch x.r.IntN(4) {
	case 0, 1:
		left = x.r.IntN(1500)
	case 2:
		left = x.r.IntN(30_000)
	}
	x.read(s, &cutter{resp.Body, left, l, func() bool { return s.come(l.target.Load()) }})
	resp.Body.Close()
	if l.answers.Add(-1) == 0 {
		l.enoughIf()
	}
	s.to, s.over = l.target.Load(), x.w.truth.tick()
	x.goOn(l, s)
}

// send sends a request. A WebSocket is a response whose body has its messages; one that
// is closed before the first of them says, as 204 does, that there is nothing to come.
func (l *life) send(req *http.Request, form string, client *http.Client) (*http.Response, error) {
	if form != "websocket" {
		return client.Do(req)
	}
	ws, resp, err := dial(req.Context(), l.websockets, req.URL.String(), req.Header)
	switch {
	case ws == nil && resp != nil:
		return resp, nil
	case err != nil:
		return nil, err
	}
	resp.StatusCode, resp.Body = http.StatusOK, ws
	if _, err := ws.Read(nil); errors.Is(err, io.EOF) {
		resp.StatusCode = http.StatusNoContent
	}
	return resp, nil
}

// goOn decides what comes after an answer.
func (x *listener) goOn(l *life, s *segment) {
	if s.position != "" {
		x.cursor = s.position
		if x.r.IntN(10) == 0 {
			x.past = append(x.past, x.cursor)
		}
	}
	switch {
	case l.dead.Load():
		<-l.stopped
		x.finished = l.n
		return
	case s.status == 204, s.status == 404:
		if s.to != nil { // it has seen the end of all
			x.finished = l.n
		}
		x.renew()
		return
	case s.reached():
		x.finished = l.n
		return
	}
	if s.to == nil && x.r.IntN(25) == 0 {
		x.renew()
	}
}

// reached reports whether the listener has come to where it was to come.
func (s *segment) reached() bool { return s.end == endLeft && s.come(s.to) }

// come reports whether the listener may leave for good: it has all that there is.
// One that names streams which have all ended is to be told that there is no more.
func (s *segment) come(to *target) bool {
	if to == nil || s.position == "" || s.position < to.at {
		return false
	}
	if len(s.filter.Patterns()) > 0 {
		return true
	}
	for _, name := range s.names {
		if !to.ended[name] {
			return true
		}
	}
	return false
}

// read reads an answer until it ends or the listener leaves.
func (x *listener) read(s *segment, body io.Reader) {
	if s.status != 200 {
		text, err := io.ReadAll(body)
		s.text, s.end = string(text), endClean
		if err != nil {
			s.end = endBroken
			s.status = 0 // nothing was understood
			return
		}
		if s.status == 410 && strings.Contains(s.text, `"gone"`) {
			s.status = 404 // kept for its forks
		}
		if s.status == 410 {
			s.items = append(s.items, item{tick: x.w.truth.tick(), kind: itemGap, gap: new(gap)})
			s.end = endClean
			if err := json.Unmarshal(text, s.items[0].gap); err != nil {
				x.w.t.Errorf("%q: %v", text, err)
			}
		}
		return
	}
	var err error
	switch s.form {
	case "json":
		err = x.readPoll(s, body)
	case "ndjson", "websocket":
		err = x.readLines(s, body)
	default:
		err = x.readEvents(s, body)
	}
	switch {
	case errors.Is(err, errLeft):
		s.end = endLeft
	case err == nil || errors.Is(err, io.EOF):
		s.end = endClean
	default:
		s.end = endBroken
	}
}

// told notes an item.
func (x *listener) told(s *segment, it item) {
	it.tick = x.w.truth.tick()
	s.items = append(s.items, it)
	s.position = it.id
}

func (x *listener) readEvents(s *segment, body io.Reader) error {
	d := sse.NewDecoder(body, nil)
	for {
		ev, err := d.Next()
		if err != nil {
			return err
		}
		it := item{kind: itemRecord, id: ev.ID, typ: ev.Type, data: string(ev.Data)}
		switch {
		case ev.Type == "leat.cursor":
			it.kind = itemPosition
		case ev.Type == "leat.gap":
			it.kind, it.gap = itemGap, new(gap)
			err = json.Unmarshal(ev.Data, it.gap)
		case ev.Type == "leat.end":
			it.kind, it.end = itemEnd, new(endObject)
			err = json.Unmarshal(ev.Data, it.end)
		case s.form == "envelope":
			it.env = new(envelope)
			err = json.Unmarshal(ev.Data, it.env)
		}
		if err != nil {
			x.w.t.Errorf("%+v: %v", ev, err)
		}
		x.told(s, it)
	}
}

// itemOf returns what a line says.
func itemOf(env *envelope) item {
	it := item{kind: itemRecord, id: env.ID, env: env}
	switch {
	case env.Gap != nil:
		it.kind, it.gap = itemGap, env.Gap
	case env.End != nil:
		it.kind, it.end = itemEnd, env.End
	case env.Topic == "":
		it.kind = itemPosition
	}
	return it
}

func (x *listener) readLines(s *segment, body io.Reader) error {
	in := bufio.NewReader(body)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return err // and what was begun does not count
		}
		if line == "\n" || line == "{}\n" { // a sign of life
			continue
		}
		env := new(envelope)
		if err := json.Unmarshal([]byte(line), env); err != nil {
			// This client takes a message for whole whose connection broke between two
			// of its fragments, and hears of it next.
			if _, isSocket := body.(*socket); isSocket {
				if _, broken := in.Peek(1); broken != nil {
					return broken
				}
			}
			x.w.t.Errorf("the line %q: %v", line, err)
		}
		x.told(s, itemOf(env))
	}
}

func (x *listener) readPoll(s *segment, body io.Reader) error {
	text, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	var doc struct {
		Events []*envelope
		Next   string
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		x.w.t.Errorf("the poll %q: %v", text, err)
	}
	for _, env := range doc.Events {
		if env.ID == "" || strings.Contains(string(text), "\n\n") {
			x.w.t.Errorf("the poll %q", text)
		}
		x.told(s, itemOf(env))
	}
	x.told(s, item{kind: itemPosition, id: doc.Next})
	if s.come(s.to) {
		return errLeft
	}
	return nil
}
