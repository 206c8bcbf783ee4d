package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/sse"
)

// connect makes one connection and hands over what arrives on it. The
// connection is closed when it returns.
func (s *subscription) connect(ctx context.Context) ending {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if err := sendable(s.lastID); err != nil {
		return ending{err: err}
	}
	req, err := s.request(ctx)
	if err != nil {
		return ending{err: refusedAddress(s.url, err)}
	}
	w := newWatch(s.options.Stall, cancel)
	s.asked = time.Now()
	w.begin()
	resp, err := s.sender.do(req)
	w.end()
	if err != nil {
		return s.broken(ctx, err)
	}
	defer resp.Body.Close()
	resp.Body = &watchedBody{resp.Body, w}
	form, end := s.accept(resp)
	if end != nil {
		return *end
	}
	if !s.connected || s.waited {
		s.connected, s.waited = true, false
		s.notify(Notice{Kind: Connected, LastEventID: s.lastID})
	}
	began, before := time.Now(), s.delivered
	ended := s.read(ctx, resp.Body, form)
	ended.accepted = true
	// A server that ends each answer by itself, having sent something, is not
	// in trouble.
	ended.useful = time.Since(began) >= stable || ended.whole && s.delivered > before || ended.soon
	return ended
}

// request makes the request for one attempt.
func (s *subscription) request(ctx context.Context) (*http.Request, error) {
	var body io.Reader
	if s.options.Body != nil {
		body = bytes.NewReader(s.options.Body)
	}
	req, err := http.NewRequestWithContext(ctx, s.options.Method, s.url, body)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", s.options.Form.accept())
	req.Header.Set("Cache-Control", "no-cache")
	// The transport would ask for gzip, which holds events back.
	req.Header.Set("Accept-Encoding", "identity")
	if s.lastID != "" {
		req.Header.Set("Last-Event-ID", s.lastID)
	}
	return req, nil
}

// accept returns the form of the answer, or how the attempt ended if there is
// nothing to read.
func (s *subscription) accept(resp *http.Response) (Form, *ending) {
	switch status := resp.StatusCode; {
	case status == http.StatusOK:
		form, err := s.options.Form.of(resp)
		if err != nil {
			return "", &ending{err: err}
		}
		return form, nil
	case status == http.StatusNoContent:
		return "", &ending{stop: true}
	case status == http.StatusTooManyRequests, status >= 500:
		return "", &ending{err: readProblem(resp), again: true, after: retryAfter(resp.Header, time.Now())}
	}
	return "", &ending{err: readProblem(resp)}
}

// read hands over what a response has until it ends.
func (s *subscription) read(ctx context.Context, body io.Reader, form Form) ending {
	if form == FormEvents {
		s.resumes = true
		return s.readEvents(ctx, body)
	}
	t := newTexts(body, s.options.MaxEventBytes)
	if form == FormAny {
		var err error
		if form, err = t.guess(); err != nil {
			return s.broken(ctx, err)
		}
	}
	switch form {
	case FormPoll:
		return s.readPoll(ctx, t)
	case FormArray:
		return s.readArray(ctx, t)
	}
	return s.readTexts(ctx, t, form)
}

// readEvents hands over the events of a stream until it ends.
func (s *subscription) readEvents(ctx context.Context, body io.Reader) ending {
	dec := sse.NewDecoder(body, &sse.Options{
		MaxEventBytes: s.options.MaxEventBytes,
		LastEventID:   s.lastID,
		OnRetry:       s.setRetry,
		OnComment:     func(text []byte) { s.notify(Notice{Kind: Comment, Comment: string(text)}) },
	})
	for ev, err := range dec.Events() {
		if err == nil {
			err = ctx.Err() // more may be buffered than the caller wants
		}
		if err != nil {
			s.lastID = dec.LastEventID()
			return s.broken(ctx, err)
		}
		s.lastID = ev.ID
		if isCursor(&ev) {
			s.notify(Notice{Kind: Moved, LastEventID: s.lastID})
			continue
		}
		if !s.deliver(newEvent(&ev)) {
			return ending{stop: true}
		}
	}
	// A block without data may have moved the id since the last event.
	s.lastID = dec.LastEventID()
	if dec.Pending() {
		return ending{err: leat.Errorf(CodeTruncated, "the response ended in the middle of an event"), again: true}
	}
	return ended()
}

// ended is the ending of a response that is whole.
func ended() ending {
	return ending{err: leat.Errorf(leat.CodeUnavailable, "the server ended the stream"), again: true, whole: true}
}

// broken is the ending of a connection that failed.
func (s *subscription) broken(ctx context.Context, err error) ending {
	var own *prepareError
	var large *sse.TooLargeError
	switch {
	case errors.As(err, &own):
		return ending{err: own.err}
	case errors.As(err, &large), err == errTextTooLarge:
		// Another connection would meet the same event again.
		e := leat.Errorf(leat.CodeTooLarge, "what comes after %s is larger than the limit of %d bytes: %w", s.place(), s.options.MaxEventBytes, err)
		return ending{err: e.Advise("Raise SubscribeOptions.MaxEventBytes.")}
	case ctx.Err() != nil:
		cause := context.Cause(ctx)
		return ending{err: cause, again: true, silent: errors.Is(cause, errStalled)}
	}
	return ending{err: unreachable(s.url, err), again: true, unsent: unsent(err)}
}

// place is where the subscription stands, in words.
func (s *subscription) place() string {
	if s.lastID != "" {
		return fmt.Sprintf("the event %q", s.lastID)
	}
	return fmt.Sprintf("%d events", s.delivered)
}

// errStalled is the cause of a stall, for those who ask how it ended.
var errStalled = errors.New("stalled")

// A watch cancels a connection on which nothing arrives. It runs only while
// something is waited for: the time that the caller takes for an event is no
// silence of the server.
type watch struct {
	limit time.Duration // less than 0: none
	timer *time.Timer
}

func newWatch(limit time.Duration, cancel context.CancelCauseFunc) *watch {
	w := &watch{limit: limit}
	if limit > 0 {
		silence := leat.Errorf(leat.CodeUnavailable, "nothing arrived for %v", limit)
		silence.Cause = errStalled
		w.timer = time.AfterFunc(limit, func() { cancel(silence) })
		w.timer.Stop()
	}
	return w
}

func (w *watch) begin() {
	if w.timer != nil {
		w.timer.Reset(w.limit)
	}
}

func (w *watch) end() {
	if w.timer != nil {
		w.timer.Stop()
	}
}

// A watchedBody is a body whose every read has to bring something in time.
type watchedBody struct {
	io.ReadCloser
	watch *watch
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.watch.begin()
	defer b.watch.end()
	return b.ReadCloser.Read(p)
}
