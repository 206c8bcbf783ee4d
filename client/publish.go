package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/leat-dev/leat"
)

// A Receipt is the server's word for records that it has stored.
type Receipt struct {
	// Count is how many records are stored, duplicates included.
	Count int

	// Duplicates is how many of them the server had already, by their keys.
	// They were published before, possibly by an attempt of the same call
	// whose answer was lost.
	Duplicates int

	// Last is the id of the last one, empty if the server names none: of lines
	// of a [Producer] that it had all already.
	Last string
}

func (r *Receipt) add(s Receipt) {
	r.Count += s.Count
	r.Duplicates += s.Duplicates
	if s.Last != "" {
		r.Last = s.Last
	}
}

// Publish stores messages, in order, and returns when all of them have
// reached the durability class of the server.
//
// It is not atomic: after an error, the Receipt says how many of the messages
// are known to be stored, from the first on.
//
// If the server cannot be reached, gives no answer, or answers that it cannot
// take records now (408, 429, 502, 503, 504), Publish tries again until ctx
// ends. Keys keep that from storing a message twice, unless the server comes
// back only after its --key-window. If the server refuses a message, the
// error is the server's, with the number of the message, counted from 1, in
// the field "line".
func (c *Client) Publish(ctx context.Context, messages ...Message) (Receipt, error) {
	var b batch
	keys := rand.Text() + "-"
	for i := range messages {
		line, err := messages[i].line(keys + strconv.Itoa(i+1))
		if err != nil {
			return Receipt{}, atRecord(err, i+1)
		}
		b.add(line)
	}
	d, err := c.delivery(PublisherOptions{})
	if err != nil {
		return Receipt{}, err
	}
	return d.send(ctx, &b)
}

// A batch is lines that are published by one request.
type batch struct {
	first int // how many lines went before it, for error messages
	body  []byte
	sizes []int // of the lines in body
}

func (b *batch) add(line []byte) {
	b.body = append(b.body, line...)
	b.sizes = append(b.sizes, len(line))
}

func (b *batch) len() int { return len(b.sizes) }

// drop forgets the first n lines: they are stored.
func (b *batch) drop(n int) {
	for _, size := range b.sizes[:n] {
		b.body = b.body[size:]
	}
	b.sizes = b.sizes[n:]
	b.first += n
}

// A delivery sends batches to one server until they are stored.
type delivery struct {
	sender  sender
	url     string
	options PublisherOptions
	reached bool // the server has answered once
}

func (c *Client) delivery(o PublisherOptions) (*delivery, error) {
	target, err := c.endpoint("events", nil)
	if err != nil {
		return nil, err
	}
	return c.deliveryTo(target, o), nil
}

func (c *Client) deliveryTo(target string, o PublisherOptions) *delivery {
	return &delivery{sender: newSender(c.HTTP, c.Header, c.Prepare), url: target, options: o.withDefaults()}
}

// A failure is an attempt that did not succeed.
type failure struct {
	err   error
	again bool          // another attempt may succeed
	after time.Duration // not sooner, if the server said so

	unknown bool // the server may have stored what it was sent
}

// send publishes b, and returns what is known to be stored of it.
func (d *delivery) send(ctx context.Context, b *batch) (stored Receipt, err error) {
	failures := 0
	for b.len() > 0 {
		part, f := d.attempt(ctx, b)
		part.Count = min(max(part.Count, 0), b.len())
		b.drop(part.Count)
		stored.add(part)
		if part.Count > 0 {
			if failures > 0 && f == nil {
				d.options.notify(Notice{Kind: Connected})
			}
			failures = 0
		}
		if f == nil {
			continue
		}
		if ctx.Err() != nil {
			return stored, gaveUp(ctx, f.err)
		}
		if !f.again || d.options.FailFast && !d.reached {
			return stored, f.err
		}
		delay := wait(failures, f.after, 500*time.Millisecond, 10*time.Second)
		failures++
		d.options.notify(Notice{Kind: Waiting, Err: f.err, Failures: failures, Delay: delay})
		if sleep(ctx, delay) != nil {
			return stored, gaveUp(ctx, f.err)
		}
	}
	return stored, nil
}

// gaveUp is the error of a call whose context ended after a failure. It is
// the context's error too, for errors.Is.
func gaveUp(ctx context.Context, last error) error {
	if errors.Is(last, ctx.Err()) {
		return ctx.Err() // there was no other failure
	}
	return &leat.Error{Code: leat.CodeUnavailable, Detail: fmt.Sprintf("%v before the server took the records: %v", ctx.Err(), last), Cause: ctx.Err()}
}

// attempt makes one request for b. The Receipt is what is stored of it, also
// if there is a failure.
func (d *delivery) attempt(ctx context.Context, b *batch) (Receipt, *failure) {
	ctx, cancel := d.limited(ctx)
	defer cancel()
	req, err := d.request(ctx, http.MethodPost, b.body)
	if err != nil {
		return Receipt{}, &failure{err: err}
	}
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := d.sender.do(req)
	if err != nil {
		return Receipt{}, d.broken(ctx, err)
	}
	defer resp.Body.Close()
	d.reached = true
	if resp.StatusCode != http.StatusOK {
		return d.refused(resp, b)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return Receipt{}, d.broken(ctx, err)
	}
	var answer struct {
		Count      int
		Duplicates int
		Last       string
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.Count != b.len() {
		e := leat.Errorf(CodeAnswer, "the answer of %s does not say that %d records were stored", d.url, b.len()).
			Advise("Check that a Leat server is there.")
		return Receipt{}, &failure{err: e}
	}
	return Receipt(answer), nil
}

// request makes a request that the transport may repeat by itself, on a
// connection that went stale: keys, or a producer, keep it from being stored
// twice.
func (d *delivery) request(ctx context.Context, method string, body []byte) (*http.Request, error) {
	var r io.Reader
	if body != nil {
		r = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, d.url, r)
	if err != nil {
		return nil, refusedAddress(d.url, err)
	}
	req.Header.Set("Accept", "application/json")
	req.Header["Idempotency-Key"] = nil // says so to the transport, and is not sent
	return req, nil
}

// broken is the failure of a request without a whole answer.
func (d *delivery) broken(ctx context.Context, err error) *failure {
	var p *prepareError
	if errors.As(err, &p) {
		return &failure{err: p.err}
	}
	if ctx.Err() != nil {
		return &failure{err: context.Cause(ctx), again: true, unknown: true}
	}
	return &failure{err: unreachable(d.url, err), again: true, unknown: !unsent(err)}
}

// refused is the failure of a request with another answer than 200. NDJSON is
// not atomic, so the lines before the one that was wrong may be stored.
func (d *delivery) refused(resp *http.Response, b *batch) (Receipt, *failure) {
	f := d.refusal(resp)
	e := leat.AsError(f.err)
	var stored Receipt
	stored.Count, _ = e.Fields["count"].(int)
	stored.Duplicates, _ = e.Fields["duplicates"].(int)
	stored.Last, _ = e.Fields["last"].(string)
	if line, ok := e.Fields["line"].(int); ok && !f.again {
		f.err = atRecord(e, b.first+line)
	}
	return stored, f
}

// refusal is the failure of a request that was answered with an error.
func (d *delivery) refusal(resp *http.Response) *failure {
	e := readProblem(resp)
	f := &failure{err: e, after: retryAfter(resp.Header, time.Now())}
	switch resp.StatusCode {
	case http.StatusRequestTimeout, http.StatusTooManyRequests,
		http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		f.again = true
	case http.StatusConflict:
		f.again = e.Code == leat.CodeConflict // others were faster; the records are fine
	}
	return f
}

// atRecord says in an error which of the records it is about.
func atRecord(err error, n int) error {
	e := *leat.AsError(err)
	e.Detail = fmt.Sprintf("record %d: %s", n, e.Detail)
	return e.With("line", n)
}
