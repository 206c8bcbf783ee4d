package server_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/leat-dev/leat"
)

// A repeater is a producer: it numbers its requests, and repeats each until it is answered, some
// more often, over restarts of the server and losses of the store.
type repeater struct {
	id    string
	epoch uint64
	next  map[string]uint64 // the sequence for a stream
	last  *request
	owes  bool // last has not been answered
}

// A request is one POST of a producer.
type request struct {
	name   string
	epoch  uint64
	seq    uint64
	lines  [][]byte // each has a sequence of its own if there are several
	header http.Header
}

// A condition is what a record was to be stored only if: that its Stream-Seq is greater
// than the one before, that the stream stands at an offset.
type condition struct {
	order, match string
	tag          bool // it was an entity tag that said so
}

// A fork is a stream that was made of another one.
type fork struct {
	source string
	at     leat.Offset
	sub    int
}

// produce sends the next request of a producer, or the last one again.
func (x *writer) produce() {
	p := x.producer
	again := p.last != nil && (p.owes || x.r.IntN(3) == 0)
	if !again {
		p.last, p.owes = x.newRequest(), true
	}
	q := p.last
	resp, text, ok := x.send("POST", "/streams/"+q.name, bytes.NewReader(bytes.Join(q.lines, []byte("\n"))), q.header.Clone())
	if !ok || resp.StatusCode == 503 || resp.StatusCode == 429 {
		return
	}
	p.owes = false
	x.w.meets("producer ", resp.StatusCode)
	switch code := resp.StatusCode; {
	case code == 200 || code == 204:
		newest, err := strconv.ParseUint(resp.Header.Get("Producer-Seq"), 10, 64)
		if end := q.seq + uint64(len(q.lines)); err != nil || newest+1 < end || resp.Header.Get("Producer-Epoch") != fmt.Sprint(q.epoch) {
			x.w.t.Errorf("%+v was answered %s %v", q, resp.Status, resp.Header)
		} else if q.epoch == p.epoch {
			p.next[q.name] = max(p.next[q.name], end)
		}
		for _, data := range q.lines {
			x.acks = append(x.acks, ack{who: x.who(), name: q.name, data: data, whole: true, produced: true})
		}
	case code == 409 && resp.Header.Get("Producer-Expected-Seq") != "", code == 400 && bytes.Contains(text, []byte("epoch")) && x.w.class == "os":
		// The stream is another one by now, or has lost what there was.
		p.epoch, p.next, p.last = p.epoch+1, make(map[string]uint64), nil
	case code == 404 || code == 409 || code == 410 || bytes.Contains(text, []byte("middle of a character")) || bytes.Contains(text, []byte("not valid UTF-8")):
		p.last = nil // it has gone, or ended
	default:
		x.w.t.Errorf("%+v was answered %s %v %s", q, resp.Status, resp.Header, text)
	}
}

func (x *writer) newRequest() *request {
	p := x.producer
	name := x.any()
	q := &request{name: name, epoch: p.epoch, seq: p.next[name], lines: [][]byte{x.payload(name, 0)}}
	q.header = http.Header{
		"Content-Type": {x.w.typeOf(name)}, "Producer-Id": {p.id}, "Producer-Epoch": {fmt.Sprint(q.epoch)}, "Producer-Seq": {fmt.Sprint(q.seq)},
	}
	if x.w.typeOf(name) == "application/json" && x.r.IntN(2) == 0 {
		q.header.Set("Content-Type", ndjsonType)
		for i := range x.r.IntN(4) {
			q.lines = append(q.lines, x.payload(name, i+1))
		}
	} else if x.r.IntN(20) == 0 {
		x.endHeader(q.header)
	}
	for _, data := range q.lines {
		x.w.expect(data, condition{})
	}
	return q
}

// conditional appends a record in an order, or to a state.
func (x *writer) conditional() {
	name := x.any()
	data := x.payload(name, 0)
	h := http.Header{"Content-Type": {x.w.typeOf(name)}}
	var c condition
	if x.r.IntN(2) == 0 {
		c.order = fmt.Sprintf("%09d", x.w.truth.tick())
		h.Set("Stream-Seq", c.order)
	} else {
		resp, _, ok := x.send("HEAD", "/streams/"+name, nil, nil)
		if !ok || resp.StatusCode != 200 {
			return
		}
		c.match = resp.Header.Get("Stream-Next-Offset")
		h.Set("If-Match", c.match)
		if x.r.IntN(2) == 0 {
			h.Set("If-Match", resp.Header.Get("ETag"))
			c.tag = true
		}
	}
	x.w.expect(data, c)
	resp, _, ok := x.send("POST", "/streams/"+name, bytes.NewReader(data), h)
	if !ok {
		return
	}
	x.w.meets("condition ", resp.StatusCode, c.order != "")
	switch next := resp.Header.Get("Stream-Next-Offset"); {
	case resp.StatusCode == 204:
		x.acks = append(x.acks, ack{x.who(), name, next, data, true, false})
	case resp.StatusCode == 412 && (c.match == "" || next == c.match && !c.tag):
		x.w.t.Errorf("If-Match %s: 412, and it stands at %s", c.match, next)
	}
}

// fork makes a stream of one that there is.
func (x *writer) fork() {
	var from []ack
	for _, a := range x.acks {
		if a.name[0] != 't' && a.name[0] != 'q' && a.id != "" {
			from = append(from, a)
		}
	}
	if len(from) == 0 {
		return
	}
	a := from[x.r.IntN(len(from))]
	at, err := leat.ParseOffset(a.id)
	if err != nil {
		return // the error is found by checkAcks
	}
	f := fork{source: a.name, at: at, sub: max(0, x.r.IntN(8)-3)}
	name := "f/" + x.who()
	h := http.Header{"Stream-Forked-From": {"/streams/" + f.source}, "Stream-Fork-Offset": {a.id}, "Stream-Fork-Sub-Offset": {fmt.Sprint(f.sub)}}
	x.w.mu.Lock()
	x.w.forks[name] = f
	x.w.mu.Unlock()
	var data []byte
	if x.r.IntN(3) == 0 {
		data = x.payload(name, 0)
	}
	h.Set("Content-Type", x.w.typeOf(name))
	resp, _, ok := x.send("PUT", "/streams/"+name, bytes.NewReader(data), h)
	if ok {
		x.w.meets("fork ", resp.StatusCode)
	}
	if !ok || resp.StatusCode != 201 {
		return
	}
	x.w.mu.Lock()
	x.w.forked = append(x.w.forked, name)
	x.w.mu.Unlock()
	if data != nil {
		x.acks = append(x.acks, ack{x.who(), name, resp.Header.Get("Stream-Next-Offset"), data, true, false})
	}
}

// any returns a stream or a fork.
func (x *writer) any() string {
	if forks := x.w.forkNames(); len(forks) > 0 && x.r.IntN(4) == 0 {
		return forks[x.r.IntN(len(forks))]
	}
	return x.stream()
}

func (w *world) forkNames() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.forked)
}

// typeOf returns the content type of a name: a fork has that of its source.
func (w *world) typeOf(name string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.forks[name].source != "" {
		name = w.forks[name].source
	}
	return modelTypes[name]
}

// expect notes a record that may be stored once, under a condition.
func (w *world) expect(data []byte, c condition) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.once[string(data)] = c
}

// story returns all that there ever was under a name, in order, and the index of the
// first entry that is not inherited.
func (w *world) story(name string) (all []*entry, own int) {
	gens := w.truth.gens[name]
	if f, ok := w.forks[name]; ok && len(gens) > 0 {
		all = w.inherited(f, gens[0].id)
	}
	own = len(all)
	for _, of := range gens {
		all = append(all, of.entries...)
	}
	return all, own
}

// inherited returns what a fork has of its source, as that was when the fork was made.
func (w *world) inherited(f fork, made uint64) (all []*entry) {
	var of *content
	for _, c := range w.truth.gens[f.source] {
		if c.id < made {
			of = c
		}
	}
	if of == nil {
		return nil
	}
	var story []*entry
	if g, ok := w.forks[f.source]; ok {
		story = w.inherited(g, of.id)
	}
	sub := f.sub
	for _, e := range append(story, of.entries...) {
		switch {
		case e.Kind == leat.KindEnd:
		case e.Offset.Compare(f.at) <= 0:
			all = append(all, e)
		case e.Kind == leat.KindJSON && sub > 0:
			all, sub = append(all, e), sub-1
		case e.Kind != leat.KindJSON && sub > 0 && sub == len(e.Data):
			all, sub = append(all, e), 0
		default:
			sub = 0
		}
	}
	return all
}

// checkOnce looks at the records that are to be stored at most once, in an order, or to
// a state.
func (w *world) checkOnce() {
	w.t.Helper()
	for name, gens := range w.truth.gens {
		for _, of := range gens {
			first, order := make(map[string]*entry), ""
			before := leat.Offset{}
			for _, e := range of.entries {
				c, ok := w.once[string(e.Data)]
				if was := first[string(e.Data)]; ok && was != nil {
					w.t.Fatalf("%s: %.60q is there twice, at %s and %s", name, e.Data, was.Offset, e.Offset)
				}
				first[string(e.Data)] = e
				if c.order != "" {
					if c.order <= order {
						w.t.Fatalf("%s: at %s is the order %s, after %s", name, e.Offset, c.order, order)
					}
					order = c.order
				}
				if c.match != "" && !before.IsStart() && before.String() != c.match {
					w.t.Fatalf("%s: %s was to follow %s, and follows %s", name, e.Offset, c.match, before)
				}
				before = e.Offset
			}
		}
	}
}

// checkForks looks at the first record of forks that begin inside one of their source's.
func (w *world) checkForks() {
	w.t.Helper()
	for name, f := range w.forks {
		gens := w.truth.gens[name]
		if len(gens) == 0 || len(gens[0].entries) == 0 || f.sub == 0 || w.typeOf(name) == "application/json" {
			continue
		}
		next := w.inherited(fork{f.source, leat.Offset{Epoch: f.at.Epoch, Seq: 1 << 60}, 0}, gens[0].id)
		i := slices.IndexFunc(next, func(e *entry) bool { return e.Offset.Compare(f.at) > 0 })
		if i < 0 || f.sub >= len(next[i].Data) {
			continue
		}
		if e := gens[0].entries[0]; !bytes.Equal(e.Data, next[i].Data[:f.sub]) {
			w.t.Fatalf("%s: %+v begins with %q, want the first bytes of %q", name, f, e.Data, next[i].Data)
		}
	}
}
