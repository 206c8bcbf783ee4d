package server_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"

	"github.com/leat-dev/leat"
)

// A downloader reads the bytes of a stream, is cut off anywhere, and goes on with
// Range and If-Range, as curl -C - does.
type downloader struct {
	w  *world
	id int
	r  *rand.Rand

	name     string
	tag      string // of what it has; empty: it has nothing
	start    int64  // the position of the first byte of what it has
	have     []byte
	finished int
	pieces   []*piece
}

// A piece is what one answer gave a downloader.
type piece struct {
	who, request string
	name, tag    string // that it came with
	start        int64
	have         []byte // that it had before
	begun, over  int64
	follow       bool
	status       int
	header       http.Header
	body         []byte
	end          segmentEnd
}

func (x *downloader) run() {
	for {
		l := x.w.next(x.finished)
		if l == nil {
			return
		}
		x.ask(l)
	}
}

func (x *downloader) forget() { x.tag, x.start, x.have = "", 0, nil }

// ask sends one request and takes what it can get of the answer.
func (x *downloader) ask(l *life) {
	to := l.target.Load()
	if x.name == "" || x.tag == "" || to == nil && x.r.IntN(30) == 0 {
		x.forget()
		x.name = []string{"s/0", "s/1", "s/2", "s/3", "s/4", "t/0", "t/2"}[x.r.IntN(7)]
	}
	p := &piece{
		who: fmt.Sprint("downloader ", x.id), name: x.name, tag: x.tag, start: x.start, have: x.have,
		follow: to == nil && x.r.IntN(3) > 0 && modelTypes[x.name] != "application/json", begun: x.w.truth.tick(),
	}
	req, err := http.NewRequest("GET", l.url+"/streams/"+x.name, nil)
	if err != nil {
		panic(err)
	}
	next := x.start + int64(len(x.have))
	if x.tag != "" {
		last := ""
		switch x.r.IntN(6) {
		case 0:
			last = strconv.FormatInt(next+x.r.Int64N(3000), 10)
		case 1:
			if p.follow {
				last = "999999999999" // RFC 8673
			}
		}
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-%s", next, last))
		req.Header.Set("If-Range", x.tag)
		if last != "" {
			p.follow = false
		}
	}
	if p.follow {
		req.URL.RawQuery = "follow=1"
	}
	p.request = fmt.Sprint(req.URL.RequestURI(), " ", req.Header)
	x.pieces = append(x.pieces, p)
	resp, err := l.clients[x.r.IntN(len(l.clients))].Do(req)
	if err == nil {
		left := 1 << 30
		if x.r.IntN(2) == 0 && to == nil {
			left = x.r.IntN(4000)
		}
		// A stream of bytes has no heartbeats: it is left when the life is drained.
		leave := make(chan struct{})
		go func() { // ends with the answer
			select {
			case <-l.draining:
				resp.Body.Close()
			case <-leave:
			}
		}()
		p.header = resp.Header
		p.body, err = io.ReadAll(&cutter{Reader: resp.Body, left: left, l: l})
		close(leave)
		resp.Body.Close()
		switch {
		case l.dead.Load() && errors.Is(err, errDead): // what came before is good
			p.status, p.end = resp.StatusCode, endBroken
		case errors.Is(err, errLeft):
			p.status, p.end = resp.StatusCode, endLeft
		case err != nil:
			p.status, p.end = resp.StatusCode, endBroken
		default:
			p.status, p.end = resp.StatusCode, endClean
		}
	}
	p.over = x.w.truth.tick()
	if l.answers.Add(-1) == 0 {
		l.enoughIf()
	}
	x.take(p)
	switch {
	case l.dead.Load():
		<-l.stopped
		x.finished = l.n
	case to != nil:
		x.finished = l.n
	}
}

// take goes on from an answer.
func (x *downloader) take(p *piece) {
	switch p.status {
	case 0, 503:
	case 200:
		x.start, _ = p.bounds()
		x.tag, x.have = p.header.Get("ETag"), p.body
	case 206:
		if len(x.have) == 0 {
			x.start = p.from()
		}
		x.tag, x.have = p.header.Get("ETag"), append(x.have[:len(x.have):len(x.have)], p.body...)
	case 410:
		var gone struct {
			Code  string
			Start int64
		}
		if err := json.Unmarshal(p.body, &gone); err == nil {
			x.start, x.have = gone.Start, nil
		}
		if gone.Code == "gone" {
			x.forget()
		}
	default: // 404, 416: it is complete, or there is nothing any more
		x.forget()
	}
}

// bounds returns the positions of the first byte of a stream and behind its last
// that the tag of an answer names.
func (p *piece) bounds() (start, end int64) {
	_, start, end = parseModelTag(p.header.Get("ETag"))
	return start, end
}

// from returns the position of the first byte of an answer with a range.
func (p *piece) from() (from int64) {
	fmt.Sscanf(p.header.Get("Content-Range"), "bytes %d-", &from)
	return from
}

// parseModelTag reads an entity tag: a sequence of the stream's time, and bounds.
func parseModelTag(tag string) (seq uint64, start, end int64) {
	parts := strings.Split(strings.Trim(tag, `"`), ":")
	if len(parts) < 3 {
		return 0, -1, -1
	}
	mark := parts[0][strings.IndexByte(parts[0], '_')+1:]
	seq, _ = strconv.ParseUint(strings.TrimLeft(mark, "0"), 10, 64)
	start, _ = strconv.ParseInt(parts[1], 10, 64)
	end, _ = strconv.ParseInt(parts[2], 10, 64)
	return seq, start, end
}

// contentAt returns the stream of a name that there was at a sequence.
func (tr *truth) contentAt(name string, seq uint64) (of *content) {
	for _, c := range tr.gens[name] {
		if c.id <= seq {
			of = c
		}
	}
	return of
}

// checkPiece holds an answer with bytes against the truth: "raw bytes equal the
// model's content at every position, never skipped", and a stream that has broken
// off never looks complete.
func (w *world) checkPiece(l *life, p *piece) {
	fail := func(format string, args ...any) {
		w.t.Helper()
		w.t.Fatalf("life %d, %s, GET %s, which had %d bytes from %d, ticks %d to %d, status %d %v, %d bytes, it ended %s: %s\nepochs %v",
			l.n, p.who, p.request, len(p.have), p.start, p.begun, p.over, p.status, p.header, len(p.body), p.end, fmt.Sprintf(format, args...), w.truth.epochs)
	}
	stopping := l.ending.Load() > 0 && p.over >= l.ending.Load()
	if p.status == 0 || p.status == 404 || p.status >= 500 && stopping {
		return
	}
	next := p.start + int64(len(p.have))
	if p.status == 410 || p.status == 416 {
		if p.end == endClean {
			w.checkRefusal(p, next, fail)
		}
		return
	}
	seq, start, end := parseModelTag(p.header.Get("ETag"))
	of := w.truth.contentAt(p.name, seq)
	if of == nil {
		fail("there is no such stream")
	}
	from := start
	switch p.status {
	case 200:
	case 206:
		// From the beginning means: from the first byte there is.
		if from = p.from(); from != next && !(next == 0 && from == start) {
			fail("it was to go on at %d", next)
		}
		if was, _ := of.bytes(p.start, next); !bytes.Equal(was, p.have) {
			fail("what it has is not of this stream: it is told to go on with\n%.80q\nwhich goes with\n%.80q\nand it has\n%.80q", p.body, was, p.have)
		}
	default:
		fail("%.300s", p.body)
	}
	if of.kind() == leat.KindJSON {
		w.checkArray(p, of, start, end, fail)
		return
	}
	want, _ := of.bytes(from, from+int64(len(p.body)))
	if !bytes.Equal(p.body, want) {
		fail("it was sent\n%.200q, want\n%.200q", p.body, want)
	}
	if p.end != endClean || p.header.Get("Content-Length") != "" {
		return
	}
	// It has come to an end that only a complete stream has.
	complete := false
	for _, e := range of.entries {
		complete = complete || e.Kind == leat.KindEnd && e.Type == string(leat.EndComplete) && e.begun <= p.over && e.Pos == from+int64(len(p.body))
	}
	if !complete {
		fail("it looks complete, and is not")
	}
}

func (c *content) kind() leat.Kind {
	for _, e := range c.entries {
		if e.Kind != leat.KindEnd {
			return e.Kind
		}
	}
	return leat.KindBinary
}

// checkArray holds an array against the records of a JSON stream.
func (w *world) checkArray(p *piece, of *content, start, end int64, fail func(string, ...any)) {
	if p.end != endClean {
		return
	}
	want := []byte("[")
	for _, e := range of.entries {
		if e.Kind == leat.KindEnd || e.Pos < start || e.End() > end {
			continue
		}
		if len(want) > 1 {
			want = append(want, ',')
		}
		want = append(want, e.Data...)
	}
	if want = append(want, ']'); !bytes.Equal(p.body, want) {
		fail("the array is\n%.300s, want\n%.300s", p.body, want)
	}
}

// checkRefusal looks at an answer that has no bytes.
func (w *world) checkRefusal(p *piece, next int64, fail func(string, ...any)) {
	var doc struct {
		Code  string
		Start int64
		End   int64
	}
	if err := json.Unmarshal(p.body, &doc); err != nil {
		fail("%q: %v", p.body, err)
	}
	seq, _, _ := parseModelTag(p.tag)
	of := w.truth.contentAt(p.name, seq)
	if doc.Code == "gone" {
		return // it is kept for its forks
	}
	if p.status == 416 && p.tag != "" && next > 0 && of != nil {
		if was, _ := of.bytes(p.start, next); !bytes.Equal(was, p.have) {
			fail("there is nothing more of it, and what it has is not of this stream:\n%.80q, and it has\n%.80q", was, p.have)
		}
	}
	if p.status == 416 {
		if next == 0 {
			next = doc.Start // from the beginning means: from the first byte there is
		}
		if doc.Code != "range" || next < doc.End {
			fail("%s", p.body)
		}
		return
	}
	if doc.Code != "gap" || of == nil {
		fail("%s", p.body)
	}
	if doc.Start == 0 {
		return // it was removed in this moment
	}
	gone := false
	for _, e := range of.entries {
		if e.End() > next && e.Pos < doc.Start && e.Kind != leat.KindEnd {
			if gone = true; e.gone == 0 || e.gone > p.over {
				fail("a false gap: the bytes from %d are there: %+v", e.Pos, e)
			}
		}
	}
	if !gone {
		fail("a false gap: %s", p.body)
	}
}
