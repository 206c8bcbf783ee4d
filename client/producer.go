package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/leat-dev/leat"
)

// ProducerOptions change how a [Producer] appends. The zero value works.
type ProducerOptions struct {
	// ID is the name of the producer, empty for one that is made up. One name
	// has one producer at a time.
	ID string

	// Epoch tells the producers of one name apart: one with a greater epoch
	// takes the place of those before it, which are refused from then on. 0
	// means the time in microseconds, so that a program that is started again
	// is the one that counts.
	Epoch int64

	// ContentType is that of the stream, empty for application/octet-stream.
	ContentType string

	// RecordBytes is the size of the records into which Upload cuts. 0 or less
	// means 64 KiB.
	RecordBytes int

	// Timeout, FailFast and Notify are as in [PublisherOptions].
	Timeout  time.Duration
	FailFast bool
	Notify   func(Notice)
}

// A Producer appends to one stream in order, and each thing once: its requests
// are numbered, so that one whose answer was lost is repeated without harm, for as
// long as the server remembers the producer (--producer-window, 7 days).
//
// If the server cannot be reached, gives no answer, or answers that it cannot
// take records now (408, 429, 502, 503, 504), the methods try again until their
// context ends. Then it is not known whether the last request was stored. The
// next call, whichever it is, first finds out, by sending it again. An error of
// code leat.CodeStaleEpoch or leat.CodeSequenceGap is final: there is another
// producer of this name, or the server has lost what it was sent.
//
// The methods may be called by many goroutines at once; they take turns.
type Producer struct {
	// Static after construction.
	id, epoch   string
	contentType string
	recordBytes int
	delivery    *delivery

	// Owned by who has the turn, which is taken from the channel and put back.
	turn    chan struct{}
	seq     int64            // of the next request
	pending *producerRequest // what was sent and not answered
	err     error            // why no more can be sent
}

// A producerRequest is one request of a producer.
type producerRequest struct {
	exchange
	count int // sequence numbers that it takes
}

// Producer returns a Producer for a stream, which has to be there when it is
// used: see [Client.Create]. The error is about the name or c.URL.
func (c *Client) Producer(stream string, o ProducerOptions) (*Producer, error) {
	target, err := c.StreamURL(stream, nil)
	if err != nil {
		return nil, err
	}
	if o.ID == "" {
		o.ID = rand.Text()
	}
	if o.Epoch == 0 {
		o.Epoch = newEpoch()
	}
	if o.ContentType == "" {
		o.ContentType = "application/octet-stream"
	}
	if o.RecordBytes <= 0 {
		o.RecordBytes = 64 << 10
	}
	d := c.deliveryTo(target, PublisherOptions{Timeout: o.Timeout, FailFast: o.FailFast, Notify: o.Notify})
	p := &Producer{
		id: o.ID, epoch: strconv.FormatInt(o.Epoch, 10), contentType: o.ContentType,
		recordBytes: o.RecordBytes, delivery: d, turn: make(chan struct{}, 1),
	}
	p.turn <- struct{}{}
	return p, nil
}

// lastEpoch is the newest epoch that newEpoch has returned.
var lastEpoch atomic.Int64

// newEpoch returns the time, or what is greater than all it has returned: two
// producers of one name must not have one epoch, or what the second sends would
// be taken for what the first has sent.
func newEpoch() int64 {
	for {
		last := lastEpoch.Load()
		epoch := max(time.Now().UnixMicro(), last+1)
		if lastEpoch.CompareAndSwap(last, epoch) {
			return epoch
		}
	}
}

// take waits for the turn, or for the end of ctx.
func (p *Producer) take(ctx context.Context) error {
	select {
	case <-p.turn:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (p *Producer) release() { p.turn <- struct{}{} }

// Append stores data as one record, atomically; of a JSON array, on a stream of
// JSON, each element is one. The Receipt counts them together as one.
func (p *Producer) Append(ctx context.Context, data []byte) (Receipt, error) {
	if err := p.take(ctx); err != nil {
		return Receipt{}, err
	}
	defer p.release()
	return p.append(ctx, data)
}

func (p *Producer) append(ctx context.Context, data []byte) (Receipt, error) {
	if data == nil {
		data = []byte{} // the server says what is wrong with it
	}
	return p.send(ctx, &producerRequest{p.exchange(p.contentType, data), 1})
}

// AppendLines stores JSON texts, each as a record, in one request to a stream of
// JSON. It is not atomic: after an error, the Receipt says how many are known to
// be stored, from the first on, and the field "line" of the error which one was
// refused.
func (p *Producer) AppendLines(ctx context.Context, texts ...json.RawMessage) (Receipt, error) {
	var body bytes.Buffer
	for i, text := range texts {
		if err := json.Compact(&body, text); err != nil {
			return Receipt{}, atRecord(leat.Errorf(leat.CodeInvalidBody, "it is not one JSON text: %w", err), i+1)
		}
		body.WriteByte('\n')
	}
	if len(texts) == 0 {
		return Receipt{}, nil
	}
	if err := p.take(ctx); err != nil {
		return Receipt{}, err
	}
	defer p.release()
	return p.send(ctx, &producerRequest{p.exchange("application/x-ndjson", body.Bytes()), len(texts)})
}

// Upload appends what r has, cut into records of ProducerOptions.RecordBytes,
// and returns the number of bytes that are known to be stored. Unlike
// [Client.Upload] it holds a record back until it is full or r has ended, and it
// survives lost connections.
func (p *Producer) Upload(ctx context.Context, r io.Reader) (stored int64, err error) {
	if err := p.take(ctx); err != nil {
		return 0, err
	}
	defer p.release()
	record := make([]byte, p.recordBytes)
	for {
		n, readErr := io.ReadFull(r, record)
		if n > 0 {
			if _, err := p.append(ctx, record[:n]); err != nil {
				return stored, err
			}
			stored += int64(n)
		}
		switch readErr {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF:
			return stored, nil
		default:
			return stored, readErr
		}
	}
}

// End ends the stream: state is leat.EndComplete, leat.EndAborted or
// leat.EndError, and reason, which may be empty, says why to those who read it.
func (p *Producer) End(ctx context.Context, state leat.EndState, reason string) error {
	if err := p.take(ctx); err != nil {
		return err
	}
	defer p.release()
	x := p.exchange("", nil)
	x.header.Set("Stream-Closed", "true")
	if state != leat.EndComplete || reason != "" {
		x.header.Set("Leat-End", endHeader(state, reason))
	}
	_, err := p.send(ctx, &producerRequest{x, 1})
	return err
}

// exchange is the request that carries body.
func (p *Producer) exchange(contentType string, body []byte) exchange {
	header := http.Header{"Producer-Id": {p.id}, "Producer-Epoch": {p.epoch}}
	if contentType != "" {
		header.Set("Content-Type", contentType)
	}
	return exchange{method: http.MethodPost, header: header, body: body}
}

// send sends a, after what is pending.
func (p *Producer) send(ctx context.Context, a *producerRequest) (Receipt, error) {
	if p.pending != nil {
		if _, err := p.settle(ctx, p.pending); err != nil && p.pending != nil {
			return Receipt{}, err
		}
		// What was refused by now was told to its caller as not known.
	}
	if p.err != nil {
		return Receipt{}, p.err
	}
	a.header.Set("Producer-Seq", strconv.FormatInt(p.seq, 10))
	return p.settle(ctx, a)
}

// settle sends a until its fate is known, which then p.pending does not hold any
// more, or until it gives up.
func (p *Producer) settle(ctx context.Context, a *producerRequest) (Receipt, error) {
	if err := ctx.Err(); err != nil {
		return Receipt{}, err // nothing was sent
	}
	reply, failed := p.delivery.exchange(ctx, &a.exchange)
	var receipt Receipt
	if failed == nil {
		receipt, failed = p.receipt(reply, a)
	}
	if failed == nil {
		p.seq += int64(a.count)
		p.pending = nil
		return receipt, nil
	}
	if failed.unknown {
		kept := *a
		kept.body = bytes.Clone(a.body) // the caller may change it
		p.pending = &kept
		return receipt, failed.err
	}
	p.pending = nil
	switch e := leat.AsError(failed.err); e.Code {
	case leat.CodeStaleEpoch, leat.CodeSequenceGap:
		p.err = failed.err
	default:
		// Of lines those before the wrong one are stored.
		receipt.Count, _ = e.Fields["count"].(int)
		receipt.Duplicates, _ = e.Fields["duplicates"].(int)
		receipt.Last, _ = e.Fields["last"].(string)
		p.seq += int64(receipt.Count)
		if line, ok := e.Fields["line"].(int); ok {
			failed.err = atRecord(e, line)
		}
	}
	return receipt, failed.err
}

// receipt reads the answer to a.
func (p *Producer) receipt(reply *answer, a *producerRequest) (Receipt, *failure) {
	if a.header.Get("Content-Type") == "application/x-ndjson" {
		var lines struct {
			Count      int
			Duplicates int
			Last       string
		}
		if json.Unmarshal(reply.body, &lines) != nil || lines.Count != a.count {
			return Receipt{}, p.delivery.unexpected(reply, "that "+strconv.Itoa(a.count)+" records were stored")
		}
		return Receipt(lines), nil
	}
	receipt := Receipt{Count: 1, Last: reply.header.Get("Stream-Next-Offset")}
	if reply.header.Get("Producer-Seq") == "" {
		return Receipt{}, p.delivery.unexpected(reply, "that the append was stored")
	}
	if reply.status == http.StatusNoContent && a.body != nil {
		receipt.Duplicates = 1
	}
	return receipt, nil
}
