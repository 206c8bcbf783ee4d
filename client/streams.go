package client

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/leat-dev/leat"
)

// StreamURL returns the URL of a stream of the server, which is a topic seen by
// itself: for [Open], which reads its bytes, and [Subscribe]. The parameters, such
// as follow=1, are those of docs/protocol.md; nil is none.
func (c *Client) StreamURL(stream string, parameters url.Values) (string, error) {
	if err := leat.CheckName(stream); err != nil {
		return "", err
	}
	segments := strings.Split(stream, "/")
	for i, segment := range segments {
		segments[i] = url.PathEscape(segment)
	}
	return c.endpoint("streams/"+strings.Join(segments, "/"), parameters)
}

// CreateOptions say which stream to make. The zero value works.
type CreateOptions struct {
	// ContentType is that of the stream, empty for application/octet-stream.
	ContentType string

	// TTL is how long the stream stays after it was last read or written, in
	// whole seconds. 0 or less means until it is deleted.
	TTL time.Duration

	// Retention is what is kept of it, such as
	// "records=1000, bytes=10485760, age=86400". Empty means all.
	Retention string
}

// Create makes a stream. One that is there already and is as it is asked for is
// left as it is. Create tries again as [Client.Publish] does.
func (c *Client) Create(ctx context.Context, stream string, o CreateOptions) error {
	target, err := c.StreamURL(stream, nil)
	if err != nil {
		return err
	}
	header := http.Header{}
	set := func(name, value string) {
		if value != "" {
			header.Set(name, value)
		}
	}
	set("Content-Type", o.ContentType)
	set("Leat-Retention", o.Retention)
	if o.TTL > 0 {
		set("Stream-TTL", strconv.FormatInt(int64((o.TTL+time.Second-1)/time.Second), 10))
	}
	d := c.deliveryTo(target, PublisherOptions{})
	_, failed := d.exchange(ctx, &exchange{method: http.MethodPut, header: header})
	if failed != nil {
		return failed.err
	}
	return nil
}

// An Uploaded is the server's word for the bytes of an upload that it has
// stored.
type Uploaded struct {
	Records int   // into which they were cut
	Bytes   int64 // how many they are

	// Last is the offset of the last record, empty if there is none.
	Last string
}

// UploadOptions change how [Client.Upload] appends. The zero value works.
type UploadOptions struct {
	// ContentType has to be that of the stream. Empty means whatever that is.
	ContentType string

	// End ends the stream when r has ended. If the upload breaks off before,
	// the server ends it as truncated.
	End bool
}

// Upload appends bytes to a stream as they are read from r, over one request, so
// that others read them while they arrive. The stream has to be there, and may
// hold anything but JSON. Upload returns when r has ended and all is stored, or
// with an error, and then with what is known to be stored.
//
// Nothing is sent twice: who has to go on after an error has to know where. A
// [Producer] does. After an error a Read of r may still be under way.
func (c *Client) Upload(ctx context.Context, stream string, r io.Reader, o UploadOptions) (Uploaded, error) {
	target, err := c.StreamURL(stream, url.Values{"append": {"stream"}})
	if err != nil {
		return Uploaded{}, err
	}
	// What the transport closes, and how long r is, is not its business.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, io.NopCloser(r))
	if err != nil {
		return Uploaded{}, refusedAddress(target, err)
	}
	if o.ContentType != "" {
		req.Header.Set("Content-Type", o.ContentType)
	}
	if o.End {
		req.Header.Set("Stream-Closed", "true")
	}
	// Without an expectation a refusal would be known only when r has ended.
	req.Header.Set("Expect", "100-continue")
	sender := newSender(c.HTTP, c.Header, c.Prepare)
	resp, err := sender.do(req)
	if err != nil {
		if ctx.Err() != nil {
			return Uploaded{}, ctx.Err()
		}
		var own *prepareError
		if errors.As(err, &own) {
			return Uploaded{}, own.err
		}
		return Uploaded{}, unreachable(target, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		e := readProblem(resp)
		var stored Uploaded
		stored.Records, _ = e.Fields["count"].(int)
		bytes, _ := e.Fields["bytes"].(int)
		stored.Bytes = int64(bytes)
		stored.Last, _ = e.Fields["last"].(string)
		return stored, e
	}
	var answer struct {
		Count int
		Bytes int64
		Last  string
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err == nil {
		err = json.Unmarshal(body, &answer)
	}
	if err != nil {
		return Uploaded{}, leat.Errorf(CodeAnswer, "the answer of %s does not say what was stored: %w", target, err)
	}
	return Uploaded{Records: answer.Count, Bytes: answer.Bytes, Last: answer.Last}, nil
}

// An exchange is a request that is repeated until it is answered.
type exchange struct {
	method string
	header http.Header
	body   []byte // nil is none
}

// An answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// exchange sends x until there is an answer that is final. The failure says
// whether that is so.
func (d *delivery) exchange(ctx context.Context, x *exchange) (*answer, *failure) {
	unknown := false // of an attempt before
	for failures := 0; ; failures++ {
		a, f := d.once(ctx, x)
		if f == nil {
			if failures > 0 {
				d.options.notify(Notice{Kind: Connected})
			}
			return a, nil
		}
		if f.again {
			// A refusal that is final is that of all attempts.
			unknown = unknown || f.unknown
			f.unknown = unknown
		}
		if ctx.Err() != nil {
			f.err = gaveUp(ctx, f.err)
			return nil, f
		}
		if !f.again || d.options.FailFast && !d.reached {
			return nil, f
		}
		delay := wait(failures, f.after, 500*time.Millisecond, 10*time.Second)
		d.options.notify(Notice{Kind: Waiting, Err: f.err, Failures: failures + 1, Delay: delay})
		if sleep(ctx, delay) != nil {
			f.err = gaveUp(ctx, f.err)
			return nil, f
		}
	}
}

// once sends x once.
func (d *delivery) once(ctx context.Context, x *exchange) (*answer, *failure) {
	ctx, cancel := d.limited(ctx)
	defer cancel()
	req, err := d.request(ctx, x.method, x.body)
	if err != nil {
		return nil, &failure{err: err}
	}
	for name, values := range x.header {
		req.Header[name] = values
	}
	resp, err := d.sender.do(req)
	if err != nil {
		return nil, d.broken(ctx, err)
	}
	defer resp.Body.Close()
	d.reached = true
	if resp.StatusCode/100 != 2 {
		f := d.refusal(resp)
		f.unknown = f.again || resp.StatusCode >= 500
		return nil, f
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxProblem))
	if err != nil {
		return nil, d.broken(ctx, err)
	}
	return &answer{resp.StatusCode, resp.Header, body}, nil
}

// limited bounds the time of one request.
func (d *delivery) limited(ctx context.Context) (context.Context, context.CancelFunc) {
	limit := d.options.Timeout
	if limit <= 0 {
		return ctx, func() {}
	}
	slow := leat.Errorf(leat.CodeUnavailable, "%s gave no answer within %v", d.url, limit)
	return context.WithTimeoutCause(ctx, limit, slow)
}

// unexpected is the failure of an answer that says nothing of what was asked.
func (d *delivery) unexpected(a *answer, want string) *failure {
	e := leat.Errorf(CodeAnswer, "the answer of %s, %s, does not say %s", d.url, statusText(a.status), want)
	return &failure{err: e.Advise("Check that a Leat server is there."), unknown: true}
}
