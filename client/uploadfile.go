package client

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/leat-dev/leat"
)

// UploadFileOptions change a [Client.UploadFile]. The zero value works.
type UploadFileOptions struct {
	// ContentType is that of the stream if it has to be made. Empty means
	// application/octet-stream. A stream that is there keeps its own; one of JSON
	// cannot be uploaded to.
	ContentType string

	// PieceBytes is how much one request has at most, and so the size of the
	// records. 0 or less means 256 KiB: a server that refuses a piece reads that
	// much of it, so that its answer is not lost with the connection.
	PieceBytes int

	// End has the stream ended as complete once all is there.
	End bool

	// Progress, if it is not nil, is told how many bytes of the content are
	// stored: at first what was there before, then after each piece.
	Progress func(stored int64)

	// Notify, if it is not nil, is told when a piece has to be sent again
	// (Waiting), and when the server takes them again (Connected).
	Notify func(Notice)
}

// compared is how much is compared, at the beginning and at the end, of what a stream
// has before an upload goes on behind it.
const compared = 64 << 10

// UploadFile makes the content of a stream that of r, which has size bytes. It makes the
// stream if it is not there. If it is, and has a beginning of r already, as after an
// upload that was interrupted, in this process or another, UploadFile goes on where that
// ends; if it has all, nothing is sent. It is told by its length, and by its first and
// last 64 KiB, which are compared with r.
//
// Each piece is stored only if the stream stands where the piece before has left it,
// so that whatever is repeated is stored once, and of two uploads at once one fails. If
// the server cannot be reached or takes nothing now, UploadFile tries again until ctx ends,
// but not before it has been reached once.
//
// A stream with other content, or that somebody else appends to meanwhile, is an error
// with leat.CodePrecondition; one that has ended too soon is one with leat.CodeEnded.
func (c *Client) UploadFile(ctx context.Context, name string, r io.ReaderAt, size int64, o UploadFileOptions) error {
	target, err := c.StreamURL(name, nil)
	if err != nil {
		return err
	}
	if o.PieceBytes <= 0 {
		o.PieceBytes = 256 << 10
	}
	if o.ContentType == "" {
		o.ContentType = "application/octet-stream"
	}
	u := &upload{c: c, name: name, target: target, r: r, size: size, o: o}
	if u.at, err = u.begin(ctx); err != nil {
		return err
	}
	u.progress()
	buf := make([]byte, min(int64(o.PieceBytes), size))
	for u.at.end < size {
		piece := buf[:min(int64(len(buf)), size-u.at.end)]
		if n, err := r.ReadAt(piece, u.at.end); n < len(piece) {
			return fmt.Errorf("reading what is to be uploaded failed after %d of %d bytes: %w", u.at.end+int64(n), size, err)
		}
		switch err := u.send(ctx, piece, nil); {
		case leat.CodeOf(err) == leat.CodeTooLarge && len(buf) > minPiece:
			buf = buf[:len(buf)/2] // the server has a smaller limit than usual
		case err != nil:
			return err
		default:
			u.progress()
		}
	}
	if !o.End || u.at.ended {
		return nil
	}
	return u.send(ctx, nil, http.Header{"Stream-Closed": {"true"}})
}

// minPiece is how small pieces get before their size is not what is wrong.
const minPiece = 1 << 10

// An upload is an UploadFile under way.
type upload struct {
	c            *Client
	name, target string
	r            io.ReaderAt
	size         int64
	o            UploadFileOptions
	at           extent
}

// An extent is where the content of a stream is.
type extent struct {
	start, end  int64
	offset      string // of the newest entry
	contentType string
	ended       bool
}

func (u *upload) progress() {
	if u.o.Progress != nil {
		u.o.Progress(u.at.end)
	}
}

// begin finds or makes the stream, and checks that what it has is the beginning of
// what is to be uploaded.
func (u *upload) begin(ctx context.Context) (extent, error) {
	e, err := u.look(ctx)
	if leat.CodeOf(err) == leat.CodeNotFound {
		_, err = u.c.onStream(ctx, http.MethodPut, u.name, http.Header{"Content-Type": {u.o.ContentType}}, nil)
		if err == nil {
			e, err = u.look(ctx)
		}
	}
	if err != nil {
		return e, err
	}
	switch {
	case e.end > u.size:
		return e, u.differs(fmt.Sprintf("has %d bytes, more than the %d that are to be uploaded", e.end, u.size))
	case e.ended && e.end < u.size:
		return e, leat.Errorf(leat.CodeEnded, "the stream %q has ended with %d of %d bytes", u.name, e.end, u.size).
			Advise("Delete it to begin anew, or take another name.")
	}
	head := min(e.end, e.start+compared)
	if err := u.compare(ctx, e.start, head); err != nil {
		return e, err
	}
	return e, u.compare(ctx, max(head, e.end-compared), e.end)
}

func (u *upload) differs(how string) error {
	return leat.Errorf(leat.CodePrecondition, "the stream %q %s", u.name, how).
		Advise("Delete it to begin anew, or take another name.")
}

// compare compares some content of the stream with what is to be there.
func (u *upload) compare(ctx context.Context, from, to int64) error {
	if from >= to {
		return nil
	}
	resp, err := u.c.ask(ctx, http.MethodGet, u.target, http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", from, to-1)}}, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	there, want := make([]byte, to-from), make([]byte, to-from)
	if _, err := io.ReadFull(resp.Body, there); err != nil || resp.StatusCode != http.StatusPartialContent {
		return leat.Errorf(CodeAnswer, "the answer of %s is not the bytes from %d to %d", u.target, from, to).Advise("Check that a Leat server is there.")
	}
	if n, err := u.r.ReadAt(want, from); n < len(want) {
		return fmt.Errorf("reading what is to be uploaded failed: %w", err)
	}
	if !bytes.Equal(there, want) {
		return u.differs("has other content")
	}
	return nil
}

// look asks where the content of the stream is.
func (u *upload) look(ctx context.Context) (e extent, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, u.target, nil)
	if err != nil {
		return e, refusedAddress(u.target, err)
	}
	req.Header.Set("Range", "bytes=0-")
	s := newSender(u.c.HTTP, u.c.Header, u.c.Prepare)
	resp, err := s.do(req)
	switch {
	case err != nil && ctx.Err() != nil:
		return e, context.Cause(ctx)
	case err != nil:
		return e, unreachable(u.target, err)
	}
	resp.Body.Close()
	h := resp.Header
	e.contentType, e.offset, e.ended = h.Get("Content-Type"), h.Get("Stream-Next-Offset"), h.Get("Stream-Closed") == "true"
	at := h.Get("Content-Range")
	switch resp.StatusCode {
	case http.StatusPartialContent:
		last, _, _ := strings.Cut(at, "/") // the length may be *
		if _, err = fmt.Sscanf(last, "bytes %d-%d", &e.start, &e.end); err == nil {
			e.end++
			return e, nil
		}
	case http.StatusRequestedRangeNotSatisfiable:
		if _, err = fmt.Sscanf(at, "bytes */%d", &e.end); err == nil {
			e.start = e.end
			// What such an answer says of its own content is not of the stream.
			h, err = u.c.onStream(ctx, http.MethodHead, u.name, nil, nil)
			e.contentType, e.offset, e.ended = h.Get("Content-Type"), h.Get("Stream-Next-Offset"), h.Get("Stream-Closed") == "true"
			return e, err
		}
	case http.StatusOK:
		return e, leat.Errorf(leat.CodeTypeMismatch, "the stream %q has no bytes: its content type is %s", u.name, e.contentType).
			Advise("Publish to it record by record, or upload to another name.")
	case http.StatusNotFound:
		return e, leat.Errorf(leat.CodeNotFound, "there is no stream %q", u.name)
	default:
		return e, readProblem(resp)
	}
	return e, leat.Errorf(CodeAnswer, "the Content-Range %q of %s says nothing", at, u.target).Advise("Check that a Leat server is there.")
}

// send appends a piece, or ends the stream, where it stands. It repeats that until it
// is done, or useless.
func (u *upload) send(ctx context.Context, piece []byte, header http.Header) error {
	want := u.at.end + int64(len(piece))
	failures := 0
	for {
		head, err := u.attempt(ctx, piece, header)
		if err == nil {
			u.at.end, u.at.offset = want, head.Get("Stream-Next-Offset")
			u.connected(failures)
			return nil
		}
		// Perhaps only the answer was lost, so it is not sent again before it is
		// known where the stream stands.
		var now extent
		for err != nil {
			if !passing(ctx, err) {
				return err
			}
			if err := u.pause(ctx, failures, err); err != nil {
				return err
			}
			failures++
			now, err = u.look(ctx)
		}
		switch {
		case now.end == want && (len(piece) > 0 || now.ended):
			u.at = now
			u.connected(failures)
			return nil
		case now.end != u.at.end:
			return u.differs(fmt.Sprintf("has %d bytes where %d or %d were expected: somebody else appends to it", now.end, u.at.end, want))
		}
	}
}

// pause waits before another attempt.
func (u *upload) pause(ctx context.Context, failures int, why error) error {
	delay := wait(failures, 0, 2*time.Second, maxWait)
	if u.o.Notify != nil {
		u.o.Notify(Notice{Kind: Waiting, Err: why, Failures: failures + 1, Delay: delay})
	}
	return sleep(ctx, delay)
}

func (u *upload) connected(failures int) {
	if failures > 0 && u.o.Notify != nil {
		u.o.Notify(Notice{Kind: Connected})
	}
}

// attempt sends one request. It has a minute, as those of a Publisher have.
func (u *upload) attempt(ctx context.Context, piece []byte, header http.Header) (http.Header, error) {
	slow := leat.Errorf(leat.CodeUnavailable, "%s gave no answer within a minute", u.target)
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, slow)
	defer cancel()
	h := http.Header{"If-Match": {u.at.offset}, "Content-Type": {u.at.contentType}}
	for name, values := range header {
		h[name] = values
	}
	resp, err := u.c.ask(ctx, http.MethodPost, u.target, h, bytes.NewReader(piece))
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	return resp.Header, nil
}

// passing reports whether it makes sense to try again after an error.
func passing(ctx context.Context, err error) bool {
	var e *leat.Error
	if ctx.Err() != nil || !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case leat.CodeUnavailable, leat.CodeOverloaded, leat.CodeConflict, leat.CodeBodyTimeout:
		return true
	}
	return false
}
