package client

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"github.com/leat-dev/leat"
)

// CodeChanged is the code of an error about bytes that cannot be gone on with,
// since they are no longer those of the beginning.
const CodeChanged leat.Code = "changed"

// OpenOptions change how [Open] reads. The zero value works.
type OpenOptions struct {
	// HTTP, Header and Prepare are as in [Client]. Prepare is called for each
	// attempt.
	HTTP    *http.Client
	Header  http.Header
	Prepare func(*http.Request) error

	// Offset is how many bytes of the resource are there already. Reading
	// begins behind them. Validator is what Body.Validator returned when they
	// were read: if the resource has changed since, Open fails with an error of
	// code CodeChanged. Without one nothing is checked.
	Offset    int64
	Validator string

	// Stall is how long nothing may arrive before the connection is taken for
	// dead and made again. 0 means 45 s, less than 0 for ever. It also bounds
	// the time to the head of the answer.
	Stall time.Duration

	// Retry is about how long to wait before a reconnect. 0 or less means 1 s.
	// After failures in a row the wait grows to 30 s.
	Retry time.Duration

	// FailFast makes Open return the error if its first attempt fails, for
	// whatever reason.
	FailFast bool

	// Progress, if it is not nil, is called after each read with the number
	// of bytes of the resource that have been read, Offset included, and with its
	// size, which is -1 as long as it is not known.
	Progress func(offset, size int64)

	// Notify, if it is not nil, is told what becomes of the connection.
	Notify func(Notice)
}

// A Body is the bytes of a resource, read over as many connections as it takes.
// It belongs to one goroutine, except for Close.
type Body struct {
	// Static after construction.
	sender  sender
	url     string
	options OpenOptions
	ctx     context.Context
	cancel  context.CancelFunc

	// What one connection leaves to the next.
	offset    int64 // of the next byte
	size      int64 // -1 if it is not known
	validator string
	header    http.Header
	failures  int   // connections in a row that came to nothing
	answered  bool  // there was an answer once
	waited    bool  // for another attempt, since the last answer
	err       error // why there is no more; sticky

	// The connection, if there is one.
	body   io.ReadCloser
	drop   context.CancelCauseFunc // ends it
	dead   context.Context         // has the cause of its end
	from   int64                   // where it began
	last   int64                   // where it is to end, -1 if it does not say
	leat   *End                    // the stream has ended like this, of a Leat server
	opened time.Time
}

// Open returns the bytes that a server has at a URL. When the connection
// breaks while they are read, it is made again and asked for the rest, so that
// the bytes are those of one whole. What is asked for is a Range of what the
// first answer was, by its ETag, or by its Last-Modified where there is none: if
// the resource has changed meanwhile, Read returns an error of code CodeChanged.
//
// A server that names neither cannot be asked for the rest. Then, and if a
// stream of a Leat server did not end as complete, a cut is an error of code
// [CodeTruncated]. io.EOF is the end of what is whole. Only of an answer that has
// neither a length nor chunks, as of HTTP/1.0, nobody can tell.
//
// A stream of a Leat server that grows is followed with follow=1 in the URL:
// reading then goes on until the stream ends. See [Client.StreamURL].
//
// Open returns when there is an answer, for which it may have to try again. The
// end of ctx ends reading too. The Body has to be closed.
func Open(ctx context.Context, url string, o OpenOptions) (*Body, error) {
	if o.Stall == 0 {
		o.Stall = 45 * time.Second
	}
	if o.Retry <= 0 {
		o.Retry = time.Second
	}
	if o.Offset < 0 {
		return nil, leat.Errorf(leat.CodeInvalidParameter, "the offset %d is below 0", o.Offset)
	}
	b := &Body{url: url, options: o, offset: o.Offset, size: -1, validator: o.Validator}
	b.sender = newSender(o.HTTP, o.Header, o.Prepare)
	b.ctx, b.cancel = context.WithCancel(ctx)
	if err := b.connect(); err != nil && err != io.EOF {
		b.Close()
		return nil, err
	}
	return b, nil
}

// Offset returns the number of bytes of the resource that have been read,
// OpenOptions.Offset included.
func (b *Body) Offset() int64 { return b.offset }

// Size returns how many bytes the resource has, -1 if that is not known.
func (b *Body) Size() int64 { return b.size }

// Validator returns what names the state of the resource, for
// OpenOptions.Validator. It is empty if the server has named none.
func (b *Body) Validator() string { return b.validator }

// Header returns the header of the newest answer that was read from. It is not
// to be changed.
func (b *Body) Header() http.Header { return b.header }

// Close ends the reading. It may be called by another goroutine, to end a Read.
func (b *Body) Close() error {
	b.cancel()
	return nil
}

// Read implements io.Reader.
func (b *Body) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if b.body == nil {
			if err := b.connect(); err != nil {
				return 0, err
			}
		}
		n, err := b.body.Read(p)
		b.offset += int64(n)
		if err != nil {
			err = b.ended(err)
		}
		if n > 0 {
			if b.options.Progress != nil {
				b.options.Progress(b.offset, b.size)
			}
			return n, nil // an end is told by the next Read
		}
		if err != nil {
			return 0, err
		}
	}
}

// ended closes a connection that has ended with err. It returns nil if there is
// to be another one.
func (b *Body) ended(err error) error {
	cause := context.Cause(b.dead)
	b.hangUp()
	if b.offset > b.from || time.Since(b.opened) >= stable {
		b.failures = 0
	}
	switch {
	case b.ctx.Err() != nil:
		return b.fail(b.ctx.Err())
	case err == io.EOF && (b.last < 0 || b.offset >= b.last) && (b.size < 0 || b.offset >= b.size):
		return b.fail(io.EOF)
	case b.leat != nil && b.offset == b.from:
		e := leat.Errorf(CodeTruncated, "the stream has ended as %s after %d bytes", b.leat.State, b.offset)
		if b.leat.Reason != "" {
			e.Detail += ": " + b.leat.Reason
		}
		return b.fail(e)
	case cause != nil:
		err = cause
	default:
		err = unreachable(b.url, err)
	}
	if b.validator == "" && b.offset > b.options.Offset {
		e := leat.Errorf(CodeTruncated, "the response was cut after %d bytes, and cannot be gone on with as it has no strong ETag: %w", b.offset, err)
		return b.fail(e.Advise("Begin again."))
	}
	if b.leat != nil {
		return nil // what comes now is known: no need to wait
	}
	return b.wait(err, 0, errors.Is(err, errStalled))
}

func (b *Body) fail(err error) error {
	b.err = err
	b.hangUp()
	return err
}

// hangUp closes the connection, if there is one.
func (b *Body) hangUp() {
	if b.body != nil {
		b.body.Close()
		b.drop(nil)
		b.body = nil
	}
}

// wait waits for another attempt, after one that has failed with err.
func (b *Body) wait(err error, after time.Duration, silent bool) error {
	if silent {
		b.sender.http.CloseIdleConnections() // see subscription.run
	}
	delay := wait(b.failures, after, 2*b.options.Retry, maxWait)
	b.failures++
	b.waited = true
	b.notify(Notice{Kind: Waiting, Err: err, Failures: b.failures, Delay: delay})
	if err := sleep(b.ctx, delay); err != nil {
		return b.fail(err)
	}
	return nil
}

func (b *Body) notify(n Notice) {
	if b.options.Notify != nil {
		b.options.Notify(n)
	}
}

// connect makes connections until one is good. io.EOF says that there is no
// more.
func (b *Body) connect() error {
	for b.err == nil && b.body == nil {
		again, after, err := b.ask()
		switch {
		case err == nil:
		case b.ctx.Err() != nil:
			return b.fail(b.ctx.Err())
		case !again, b.options.FailFast && !b.answered:
			return b.fail(err)
		default:
			if b.wait(err, after, errors.Is(err, errStalled)) != nil {
				return b.err
			}
		}
	}
	return b.err
}
