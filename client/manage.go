package client

import (
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/leat-dev/leat"
)

// A StreamInfo is what a server tells of one of its streams. A topic is one.
type StreamInfo struct {
	Name        string `json:"name"`
	ContentType string `json:"contentType"`

	// Offset is that of the newest entry: a subscription that begins with it
	// gets what comes next.
	Offset string `json:"offset"`

	// Records and Bytes count what is there.
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`

	// End is how the stream has ended, empty if it is open. Reason says why and
	// may be empty. It, and what follows, is told by Client.Stream only.
	End    leat.EndState `json:"end,omitempty"`
	Reason string        `json:"-"`

	// TTL is how long the stream stays after its last use, Expires when it goes,
	// and Retention what is kept of it, as the server's field Leat-Retention has
	// it. They are zero where nothing was asked for.
	TTL       time.Duration `json:"-"`
	Expires   time.Time     `json:"-"`
	Retention string        `json:"-"`
}

// Streams returns the streams whose names begin with a prefix, in the order of
// their names. It asks for them as the caller ranges. The last pair has an error if
// the server cannot be reached or refuses; nothing is tried again.
func (c *Client) Streams(ctx context.Context, prefix string) iter.Seq2[StreamInfo, error] {
	return func(yield func(StreamInfo, error) bool) {
		for after, more := "", true; more; {
			list, next, err := c.streams(ctx, prefix, after, 0)
			if err != nil {
				yield(StreamInfo{}, err)
				return
			}
			for _, s := range list {
				if !yield(s, nil) {
					return
				}
			}
			after, more = next, next != ""
		}
	}
}

// streams returns a page of a list. limit is how many streams the server looks at,
// 0 for as many as it likes.
func (c *Client) streams(ctx context.Context, prefix, after string, limit int) (list []StreamInfo, next string, err error) {
	query := url.Values{"prefix": {prefix}, "after": {after}}
	if limit > 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	target, err := c.endpoint("streams/", query)
	if err != nil {
		return nil, "", err
	}
	resp, err := c.ask(ctx, http.MethodGet, target, nil, nil)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	var page struct {
		Streams []StreamInfo `json:"streams"`
		Next    string       `json:"next"`
	}
	if err := json.NewDecoder(resp.Body).Decode(&page); err != nil {
		return nil, "", leat.Errorf(CodeAnswer, "the list of streams at %s cannot be read: %w", target, err).
			Advise("Check that a Leat server is there.")
	}
	return page.Streams, page.Next, nil
}

// Stream returns what there is to know of a stream. That it does not exist is an
// error with leat.CodeNotFound.
func (c *Client) Stream(ctx context.Context, name string) (StreamInfo, error) {
	// The name itself is the first of those that begin with it.
	list, _, err := c.streams(ctx, name, "", 1)
	if err != nil {
		return StreamInfo{}, err
	}
	head, err := c.onStream(ctx, http.MethodHead, name, nil, nil)
	if err != nil {
		return StreamInfo{}, err
	}
	s := StreamInfo{Name: name, Bytes: -1, Records: -1} // it may have come, or gone, since
	if len(list) == 1 && list[0].Name == name {
		s = list[0]
	}
	s.ContentType, s.Offset = head.Get("Content-Type"), head.Get("Stream-Next-Offset")
	s.Retention = head.Get("Leat-Retention")
	if seconds, err := strconv.ParseInt(head.Get("Stream-TTL"), 10, 32); err == nil {
		s.TTL = time.Duration(seconds) * time.Second
	}
	if at, err := time.Parse(time.RFC3339, head.Get("Stream-Expires-At")); err == nil {
		s.Expires = at
	}
	if s.End, s.Reason = "", ""; head.Get("Stream-Closed") == "true" {
		s.End = leat.EndComplete
		if end := endOf(head); end != nil {
			s.End, s.Reason = end.State, end.Reason
		}
	}
	return s, nil
}

// EndStream ends a stream: as complete, aborted or error, empty meaning complete,
// and with a reason that may be empty. Ending it again in the same way is no error.
func (c *Client) EndStream(ctx context.Context, name string, state leat.EndState, reason string) error {
	if state == "" {
		state = leat.EndComplete
	}
	_, err := c.onStream(ctx, http.MethodPost, name, http.Header{"Stream-Closed": {"true"}, "Leat-End": {endHeader(state, reason)}}, nil)
	return err
}

// DeleteStream removes a stream with all it has.
func (c *Client) DeleteStream(ctx context.Context, name string) error {
	_, err := c.onStream(ctx, http.MethodDelete, name, nil, nil)
	return err
}

// TrimStream removes the records of a stream up to an offset, that of the last of
// them. [Client.Position] finds one.
func (c *Client) TrimStream(ctx context.Context, name, through string) error {
	_, err := c.onStream(ctx, http.MethodPost, name, http.Header{"Leat-Trim": {through}}, nil)
	return err
}

// Position returns the id after which a subscription to q begins.
func (c *Client) Position(ctx context.Context, q Query) (string, error) {
	values := q.values(FormLines)
	values.Set("as", "ndjson")
	target, err := c.endpoint("events", values)
	if err != nil {
		return "", err
	}
	resp, err := c.ask(ctx, http.MethodGet, target, nil, nil)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	var first struct{ ID string }
	if err := json.NewDecoder(resp.Body).Decode(&first); err != nil || first.ID == "" {
		return "", leat.Errorf(CodeAnswer, "the lines of %s do not begin with a position", target).Advise("Check that a Leat server is there.")
	}
	return first.ID, nil
}

// A Backup is a copy of a server's store. Everything up to Head is in it. Bytes is how long
// its files are together, of which those that are links take no room of their own.
type Backup struct {
	To    string
	Head  string
	Bytes int64
	Took  time.Duration
}

// Backup has a server copy its store into a directory of the machine that it runs on, given
// by an absolute path, which must be empty or not exist. It is for who runs the server: this
// program runs on that machine too, or Header has the token of the server as
// "Authorization: Bearer TOKEN".
func (c *Client) Backup(ctx context.Context, dir string) (Backup, error) {
	target, err := c.endpoint("api/backup", url.Values{"to": {dir}})
	if err != nil {
		return Backup{}, err
	}
	resp, err := c.ask(ctx, http.MethodPost, target, nil, nil)
	if err != nil {
		return Backup{}, err
	}
	defer resp.Body.Close()
	var answer struct {
		To, Head string
		Bytes    int64
		Took     float64
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return Backup{}, leat.Errorf(CodeAnswer, "the answer of %s cannot be read: %w", target, err).
			Advise("Check that a Leat server is there.")
	}
	return Backup{answer.To, answer.Head, answer.Bytes, time.Duration(answer.Took * float64(time.Second))}, nil
}

// onStream sends a request about one stream and returns the head of the answer.
func (c *Client) onStream(ctx context.Context, method, name string, header http.Header, body io.Reader) (http.Header, error) {
	target, err := c.StreamURL(name, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.ask(ctx, method, target, header, body)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	return resp.Header, nil
}

// ask sends one request. An answer of 400 or above is an error, and so is none; the
// caller closes the body of any other.
func (c *Client) ask(ctx context.Context, method, target string, header http.Header, body io.Reader) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, refusedAddress(target, err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	s := newSender(c.HTTP, c.Header, c.Prepare)
	resp, err := s.do(req)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, unreachable(target, err)
	case resp.StatusCode < 400:
		return resp, nil
	}
	defer resp.Body.Close()
	if method == http.MethodHead && resp.StatusCode == http.StatusNotFound {
		return nil, leat.Errorf(leat.CodeNotFound, "there is nothing at %s", target).With("status", resp.StatusCode)
	}
	return nil, readProblem(resp)
}
