package doctor

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/sse"
)

// A sign is something that came from the server.
type sign struct {
	at   time.Time
	kind signKind

	size     int           // of bytes
	id, data string        // of an event or a line
	typ      string        // of an event
	retry    time.Duration // of a retry
}

type signKind int

const (
	arrived signKind = iota // bytes, before what they say
	event                   // an event or a line that is content
	moved                   // a place to go on from, and nothing else
	comment
	retry
)

// What a watch has seen.
type seen struct {
	begun time.Time      // when it was asked for
	resp  *http.Response // its head; nil: none came
	head  time.Time      // when that came
	signs []sign
	until time.Time // when the watch was over
	ended bool      // the answer has ended by then
	err   error     // and why, if not cleanly

	// probes are what was published meanwhile. They are complete unless there is an
	// error. pushed is when more was published to push out what was held back, zero
	// if it was not needed.
	probes   []probe
	probeErr error
	pushed   time.Time

	// direct are the events that came without what is in between, from a moment on
	// from which both were to be there.
	direct    []sign
	directErr error
}

// A probe is an event that was published.
type probe struct {
	id     string
	stored time.Time
}

// of returns the signs of a kind.
func (s *seen) of(kinds ...signKind) (list []sign) {
	for _, sign := range s.signs {
		for _, kind := range kinds {
			if sign.kind == kind {
				list = append(list, sign)
			}
		}
	}
	return list
}

// A reading is an answer that is being read.
type reading struct {
	opened chan opened // one, when the head has come or cannot
	signs  chan sign   // closed at the end
	err    error       // why it ended if not cleanly; read after signs is closed
	cancel context.CancelFunc
}

type opened struct {
	resp *http.Response
	at   time.Time
	err  error
}

// read sends the request, with further fields, and reads the answer until it ends or
// the reading is closed.
func (x *exam) read(ctx context.Context, target string, header http.Header) *reading {
	ctx, cancel := context.WithCancel(ctx)
	r := &reading{opened: make(chan opened, 1), signs: make(chan sign, 1024), cancel: cancel}
	// Owned by r; close ends and joins it.
	go func() {
		defer close(r.signs)
		resp, err := x.send(ctx, x.client, x.o.Method, target, header)
		r.opened <- opened{resp, time.Now(), err}
		if err != nil {
			r.err = err
			return
		}
		defer resp.Body.Close()
		r.err = r.decode(ctx, resp)
	}()
	return r
}

// close ends the reading, and waits for its end.
func (r *reading) close() {
	r.cancel()
	for range r.signs {
	}
}

// send sends a request as a reader does.
func (x *exam) send(ctx context.Context, client *http.Client, method, target string, header http.Header) (*http.Response, error) {
	var body io.Reader
	if x.o.Body != nil && method == x.o.Method {
		body = bytes.NewReader(x.o.Body)
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", sse.MediaType+", application/x-ndjson;q=0.9, */*;q=0.5")
	req.Header.Set("Accept-Encoding", "gzip") // as every browser, which takes others too
	req.Header.Set("Cache-Control", "no-cache")
	own := x.o.Header
	if method == http.MethodOptions {
		own = nil // a browser asks before it sends them
	}
	for _, h := range []http.Header{own, header} {
		for name, values := range h {
			req.Header[http.CanonicalHeaderKey(name)] = values
		}
	}
	return client.Do(req)
}

// decode tells what an answer has until it ends.
func (r *reading) decode(ctx context.Context, resp *http.Response) error {
	tell := func(s sign) {
		s.at = time.Now()
		select {
		case r.signs <- s:
		case <-ctx.Done():
		}
	}
	body := io.Reader(&meter{resp.Body, tell})
	if resp.Header.Get("Content-Encoding") == "gzip" {
		unpacked, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = unpacked
	}
	switch formOf(resp) {
	case events:
		return decodeEvents(body, tell)
	case lines:
		return decodeLines(body, tell)
	}
	_, err := io.Copy(io.Discard, body)
	return err
}

// A meter tells of all bytes that are read through it.
type meter struct {
	io.Reader
	tell func(sign)
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.Reader.Read(p)
	if n > 0 {
		m.tell(sign{kind: arrived, size: n})
	}
	return n, err
}

// A form is a way to stream.
type form int

const (
	other form = iota
	events
	lines
	document // answered as a whole, such as a long poll
)

func formOf(resp *http.Response) form {
	switch mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mediaType {
	case sse.MediaType:
		return events
	case "application/x-ndjson", "application/ndjson", "application/jsonl", "application/stream+json":
		return lines
	case "application/json", "text/html":
		return document
	}
	return other
}

func decodeEvents(body io.Reader, tell func(sign)) error {
	dec := sse.NewDecoder(body, &sse.Options{
		OnComment: func([]byte) { tell(sign{kind: comment}) },
		OnRetry:   func(d time.Duration) { tell(sign{kind: retry, retry: d}) },
	})
	for ev, err := range dec.Events() {
		if err != nil {
			return err
		}
		kind := event
		if ev.Type == "leat.cursor" && len(ev.Data) == 0 {
			kind = moved
		}
		tell(sign{kind: kind, id: ev.ID, typ: ev.Type, data: string(ev.Data)})
	}
	return nil
}

// decodeLines reads lines of JSON. One with an id and nothing else, as Leat sends it,
// is a place; an empty one is a heartbeat.
func decodeLines(body io.Reader, tell func(sign)) error {
	in := bufio.NewScanner(body)
	in.Buffer(nil, sse.DefaultMaxEventBytes)
	for in.Scan() {
		line := in.Bytes()
		if len(bytes.TrimSpace(line)) == 0 {
			tell(sign{kind: comment})
			continue
		}
		var members map[string]json.RawMessage
		s := sign{kind: event, data: string(line)}
		if json.Unmarshal(line, &members) == nil && members["id"] != nil {
			if json.Unmarshal(members["id"], &s.id) != nil {
				s.id = string(members["id"]) // a number
			}
			if len(members) == 1 {
				s.kind = moved
			}
		}
		tell(s)
	}
	return in.Err()
}

// watch opens the stream and watches it. The error is that there is nothing to
// watch: no server, or ctx has ended.
func (x *exam) watch(ctx context.Context) (*seen, error) {
	direct := x.readDirect(ctx)
	defer direct.close()
	s := &seen{begun: time.Now()}
	r := x.read(ctx, x.o.URL, nil)
	defer r.close()
	p := x.newProber(ctx)
	defer p.close()
	headDue := time.NewTimer(x.o.Patience)
	defer headDue.Stop()
	// A proxy may hold back even the head until there is more.
	p.beginWithin(2 * time.Second)
	var over <-chan time.Time
	opened, signs, directly := r.opened, r.signs, direct.signs
	for {
		select {
		case o := <-opened:
			opened = nil
			if o.err != nil {
				return nil, x.unreachable(ctx, o.err)
			}
			headDue.Stop()
			s.resp, s.head = o.resp, o.at
			over = time.After(x.o.Watch)
		case <-headDue.C:
			s.until = time.Now()
			p.finish(s)
			return s, nil
		case sign, ok := <-signs:
			if !ok {
				if signs = nil; s.resp == nil {
					continue // why there are none is in opened
				}
				s.ended, s.err, s.until = true, r.err, time.Now()
				p.finish(s)
				return s, ctx.Err()
			}
			s.signs = append(s.signs, sign)
			p.saw(sign)
		case sign, ok := <-directly:
			if !ok {
				directly = nil
			}
			if sign.kind == event && sign.at.Sub(s.begun) > settle {
				s.direct = append(s.direct, sign)
			}
		case o := <-direct.opened:
			s.directErr = o.failure()
		case <-over:
			over = nil
		case <-p.timer.C:
			p.step()
		case r := <-p.results:
			p.took(r)
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
		if over == nil && s.resp != nil && p.settled() {
			s.until = time.Now()
			p.finish(s)
			return s, nil
		}
	}
}

// settle is how long two readers may take to be there both.
const settle = time.Second

// readDirect reads the stream without what is in between; without its address, nothing.
func (x *exam) readDirect(ctx context.Context) *reading {
	if x.o.Direct == "" {
		r := &reading{signs: make(chan sign), cancel: func() {}}
		close(r.signs)
		return r
	}
	return x.read(ctx, x.o.Direct, nil)
}

// failure is why an answer is no stream, nil if it is one.
func (o opened) failure() error {
	switch {
	case o.err != nil:
		return o.err
	case o.resp.StatusCode != http.StatusOK:
		return fmt.Errorf("the answer is %d %s", o.resp.StatusCode, http.StatusText(o.resp.StatusCode))
	}
	return nil
}

// unreachable is why there is no answer at all.
func (x *exam) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return leat.Errorf(leat.CodeUnavailable, "%s://%s could not be reached: %w", x.url.Scheme, x.url.Host, err).
		Advise("Check the address, and that the server runs.")
}
