package server_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/leat-dev/leat"
)

// The names that writers use, with what they hold. Streams below s/ are made with
// PUT, ended and deleted; q/ is quiet.
var modelTypes = map[string]string{
	"t/0": "text/plain", "t/1": "application/json", "t/2": "application/octet-stream", "t/3": "text/plain", "t/4": "text/plain", "q/0": "text/plain",
	"s/0": "text/plain", "s/1": "application/octet-stream", "s/2": "application/json", "s/3": "text/plain", "s/4": "text/plain",
}

var modelNames = func() (names []string) {
	for name := range modelTypes {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}()

// A writer publishes, and notes what was acknowledged.
type writer struct {
	w    *world
	l    *life
	id   int
	r    *rand.Rand
	n    int
	last *publish // with a key, to be repeated
	acks []ack

	producer *repeater
}

// A publish is a record in the body of POST /events.
type publish struct {
	name, key, typ string
	data           []byte
}

// An ack is what the server has said about a record: that it is at an offset of a
// stream. What is stored there ends with data.
type ack struct {
	who, name, id string
	data          []byte
	whole         bool // and is nothing else
	produced      bool // by a producer: it is there, and not said at which offset
}

// run writes until the life ends.
func (x *writer) run() {
	for !x.l.quit.Load() {
		x.n++
		switch p := x.r.IntN(100); {
		case p < 18:
			x.publish()
		case p < 26:
			x.publishLines()
		case p < 40:
			x.create()
		case p < 52:
			x.append()
		case p < 58:
			x.upload()
		case p < 71:
			x.produce()
		case p < 76:
			x.conditional()
		case p < 80:
			x.fork()
		case p < 83:
			x.close()
		case p < 87:
			x.send("DELETE", "/streams/"+x.any(), nil, nil)
		default:
			x.tend()
		}
		if x.l.ops.Add(-1) == 0 {
			x.l.enoughIf()
		}
	}
}

func (x *writer) who() string { return fmt.Sprintf("w%d.%d.%d", x.l.n, x.id, x.n) }

// payload returns data for a name that nobody else has.
func (x *writer) payload(name string, i int) []byte {
	size := x.r.IntN(40)
	switch x.r.IntN(40) {
	case 0:
		size = 20_000
	case 1, 2, 3:
		size = 1500
	}
	text := fmt.Sprintf("%s.%d ", x.who(), i) + strings.Repeat("é€\n𝄞x", size)[:size]
	text = strings.ToValidUTF8(text, "")
	switch x.w.typeOf(name) {
	case "application/json":
		data, _ := json.Marshal(map[string]string{"v": text})
		return data
	case "application/octet-stream":
		return append([]byte(text), 0, 0xff, byte(x.r.IntN(256)))
	}
	return []byte(text)
}

func (x *writer) topic() string {
	if x.r.IntN(30) == 0 {
		return "q/0"
	}
	if x.r.IntN(20) == 0 {
		return x.stream()
	}
	return fmt.Sprint("t/", x.r.IntN(5))
}

func (x *writer) stream() string { return fmt.Sprint("s/", x.r.IntN(5)) }

// send sends a request and returns the answer, if it counts.
func (x *writer) send(method, path string, body io.Reader, header http.Header) (*http.Response, []byte, bool) {
	req, err := http.NewRequest(method, x.l.url+path, body)
	if err != nil {
		panic(err)
	}
	if header != nil {
		req.Header = header
	}
	resp, text, ok := x.l.do(x.r, req)
	// Who broke off in the middle of a character has to go on there, and others
	// have been there meanwhile.
	expected := x.l.ending.Load() > 0 || bytes.Contains(text, []byte("middle of a character")) || bytes.Contains(text, []byte("not valid UTF-8")) ||
		bytes.Contains(text, []byte("was given up")) || // by this writer, in an upload
		resp != nil && resp.StatusCode == 400 && (header.Get("Stream-Forked-From") != "" || header.Get("Producer-Id") != "")
	if ok && (resp.StatusCode >= 500 || resp.StatusCode == 400) && !expected {
		x.w.t.Errorf("%s %s %v: %s %s", method, path, header, resp.Status, text)
	}
	return resp, text, ok
}

func (x *writer) publish() {
	p := publish{name: x.topic(), data: nil}
	p.data = x.payload(p.name, 0)
	if x.r.IntN(2) == 0 {
		p.typ = "price"
	}
	switch {
	case x.last != nil && x.r.IntN(4) == 0:
		p = *x.last // perhaps the answer got lost
	case x.r.IntN(3) == 0:
		p.key = x.who()
		x.last = &p
	}
	resp, text, ok := x.send("POST", "/events?topic="+p.name+"&type="+p.typ+"&key="+p.key, bytes.NewReader(p.data), http.Header{"Content-Type": {modelTypes[p.name]}})
	if !ok || resp.StatusCode != 200 {
		return
	}
	var a struct{ ID string }
	if err := json.Unmarshal(text, &a); err != nil {
		x.w.t.Errorf("%q: %v", text, err)
	}
	x.acks = append(x.acks, ack{x.who(), p.name, a.ID, p.data, true, false})
}

func (x *writer) publishLines() {
	var body bytes.Buffer
	var last publish
	n := 1 + x.r.IntN(5)
	for i := range n {
		last = publish{name: fmt.Sprint("t/", x.r.IntN(5))}
		last.data = x.payload(last.name, i)
		data, encoding := any(string(last.data)), ""
		switch modelTypes[last.name] {
		case "application/json":
			data = json.RawMessage(last.data)
		case "application/octet-stream":
			data, encoding = base64.StdEncoding.EncodeToString(last.data), `,"encoding":"base64"`
		}
		text, _ := json.Marshal(data)
		fmt.Fprintf(&body, `{"topic":%q,"data":%s%s}`+"\n", last.name, text, encoding)
	}
	resp, text, ok := x.send("POST", "/events", &body, http.Header{"Content-Type": {ndjsonType}})
	if !ok || resp.StatusCode != 200 {
		return
	}
	var a struct {
		Count int
		Last  string
	}
	if err := json.Unmarshal(text, &a); err != nil || a.Count != n {
		x.w.t.Errorf("%d lines: %q, %v", n, text, err)
	}
	x.acks = append(x.acks, ack{x.who(), last.name, a.Last, last.data, true, false})
}

func (x *writer) create() {
	name := x.stream()
	h := http.Header{"Content-Type": {modelTypes[name]}}
	switch x.r.IntN(6) {
	case 0:
		h.Set("Stream-TTL", fmt.Sprint(1+x.r.IntN(4)))
	case 1:
		h.Set("Stream-Expires-At", x.w.now().Add(time.Duration(x.r.IntN(4000))*time.Millisecond).UTC().Format(time.RFC3339Nano))
	case 2:
		h.Set("Leat-Retention", fmt.Sprintf("records=%d", 1+x.r.IntN(8)))
	case 3:
		h.Set("Leat-Retention", fmt.Sprintf("bytes=%d, age=2", 100+x.r.IntN(2000)))
	}
	var body io.Reader
	var data []byte
	if x.r.IntN(2) == 0 || modelTypes[name] == "application/json" {
		data = x.payload(name, 0)
		body = bytes.NewReader(data)
	}
	resp, _, ok := x.send("PUT", "/streams/"+name, body, h)
	if ok && resp.StatusCode == 201 && data != nil {
		x.acks = append(x.acks, ack{x.who(), name, resp.Header.Get("Stream-Next-Offset"), data, true, false})
	}
}

func (x *writer) append() {
	name := x.any()
	data := x.payload(name, 0)
	h := http.Header{"Content-Type": {x.w.typeOf(name)}}
	query := "?type=price"
	closes := x.r.IntN(12) == 0
	if closes {
		x.endHeader(h)
	}
	body, last := data, data
	if x.w.typeOf(name) == "application/json" && x.r.IntN(2) == 0 {
		last = x.payload(name, 1)
		body = slices.Concat(data, []byte("\n"), last, []byte("\n"))
		h.Set("Content-Type", ndjsonType)
	}
	if h.Get("Content-Type") == ndjsonType {
		query = ""
	}
	resp, text, ok := x.send("POST", "/streams/"+name+query, bytes.NewReader(body), h)
	if ok && resp.StatusCode < 300 && !closes {
		id := resp.Header.Get("Stream-Next-Offset")
		if id == "" {
			x.w.t.Errorf("POST %s: %s %v %s", name, resp.Status, resp.Header, text)
		}
		x.acks = append(x.acks, ack{x.who(), name, id, last, true, false})
	}
}

// upload sends bytes in pieces that are cut anywhere.
func (x *writer) upload() {
	name := []string{"s/0", "s/1", "s/3", "s/4"}[x.r.IntN(4)]
	data := x.payload(name, 0)
	h := http.Header{"Content-Type": {modelTypes[name]}}
	breaks := x.r.IntN(4) == 0
	closes := x.r.IntN(8) == 0
	if closes {
		x.endHeader(h)
	}
	cuts := []int{x.r.IntN(len(data) + 1), x.r.IntN(len(data) + 1), len(data)}
	slices.Sort(cuts)
	pauses := x.r.IntN(2) == 0
	body, in := io.Pipe()
	done := make(chan struct{})
	go func() { // ends with the request, which closes the body
		defer close(done)
		from := 0
		for _, to := range cuts {
			in.Write(data[from:to])
			from = to
			if pauses {
				// Longer than what a server waits for more: so that it cuts here. What
				// it does is right either way.
				time.Sleep(11 * time.Millisecond)
			}
		}
		if breaks {
			in.CloseWithError(io.ErrUnexpectedEOF)
		} else {
			in.Close()
		}
	}()
	resp, text, ok := x.send("POST", "/streams/"+name+"?append=stream", body, h)
	body.Close()
	<-done
	if ok && resp.StatusCode == 200 && !closes {
		var a struct{ Last string }
		if err := json.Unmarshal(text, &a); err != nil {
			x.w.t.Errorf("%q: %v", text, err)
		}
		x.acks = append(x.acks, ack{x.who(), name, a.Last, data, false, false})
	}
}

func (x *writer) endHeader(h http.Header) {
	h.Set("Stream-Closed", "true")
	switch x.r.IntN(4) {
	case 0:
		h.Set("Leat-End", "aborted")
	case 1:
		h.Set("Leat-End", `error; reason="disk \"full\""`)
	}
}

func (x *writer) close() {
	h := make(http.Header)
	x.endHeader(h)
	x.send("POST", "/streams/"+x.any(), nil, h)
}

// tend does what time and operators do.
func (x *writer) tend() {
	ctx := x.w.t.Context()
	switch x.r.IntN(5) {
	case 0, 1:
		x.w.clock.Add(x.r.Int64N(600_000))
	case 2:
		if err := x.l.srv.Sweep(ctx); err != nil && !x.l.quit.Load() && x.l.ending.Load() == 0 {
			x.w.t.Errorf("Sweep: %v", err)
		}
	case 3:
		name := fmt.Sprint("t/", x.r.IntN(5))
		info, err := x.l.st.Stream(ctx, name)
		if err == nil && info.Records > 0 {
			x.l.st.Trim(ctx, name, info.Trimmed+x.r.Uint64N(info.Last-info.Trimmed+1))
		}
	case 4:
		if x.r.IntN(4) == 0 {
			name := fmt.Sprint("t/", x.r.IntN(5))
			if info, err := x.l.st.Stream(ctx, name); err == nil && info.Version > 0 {
				x.l.st.Drop(ctx, name, info.Version)
			}
		}
	}
}

// checkAcks holds what was acknowledged against what was stored.
func (w *world) checkAcks(acks []ack) {
	w.t.Helper()
	for _, a := range acks {
		if a.produced {
			e := w.truth.holding(a.name, a.data)
			if e == nil {
				w.t.Fatalf("%s: %s %.60q was answered, and is not there", a.who, a.name, a.data)
			}
			w.seen[e.Offset] = a.who
			continue
		}
		o, err := leat.ParseOffset(a.id)
		e := w.truth.at(o)
		if err != nil || e == nil || e.Stream != a.name || a.whole && !bytes.Equal(e.Data, a.data) || !bytes.HasSuffix(a.data, e.Data) {
			w.t.Fatalf("%s: %s %.60q was answered with %s, where %+v is", a.who, a.name, a.data, a.id, e)
		}
		w.seen[o] = a.who
	}
	first := make(map[string]*entry)
	for _, e := range w.truth.log {
		if e.Kind == leat.KindEnd || e.Key == "" {
			continue
		}
		if f := first[e.Stream+" "+e.Key]; f != nil && f.gone == 0 && f.of == e.of {
			w.t.Fatalf("%s: the key %s is there twice, at %s and %s", e.Stream, e.Key, f.Offset, e.Offset)
		}
		first[e.Stream+" "+e.Key] = e
	}
}

// write lets n writers write until the life ends. It returns after a number of
// ops and of answers to readers, with what waits for the writers and returns what they were told.
func (w *world) write(l *life, n, ops, answers int) (written func() []ack) {
	var wg sync.WaitGroup
	writers := make([]*writer, n)
	l.ops.Store(int64(ops))
	l.answers.Store(int64(answers))
	for i := range writers {
		writers[i] = &writer{w: w, l: l, id: i, r: w.rand(100+i, l.n), producer: w.producers[i]}
		wg.Go(writers[i].run) // ended by l.quit
	}
	<-l.enough
	return func() (acks []ack) {
		wg.Wait()
		for _, x := range writers {
			acks = append(acks, x.acks...)
		}
		return acks
	}
}
