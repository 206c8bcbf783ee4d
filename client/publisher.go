package client

import (
	"context"
	"crypto/rand"
	"strconv"
	"sync"
	"time"

	"github.com/leat-dev/leat"
)

// PublisherOptions change how a [Publisher] sends. The zero value works.
type PublisherOptions struct {
	// BatchRecords is the most messages in one request. 0 or less means
	// 1000.
	BatchRecords int

	// BatchBytes is the size at which a request takes no further message. 0
	// or less means 256 KiB. A Publisher holds about twice that.
	BatchBytes int

	// Timeout is how long one request may take before it is given up and
	// repeated. 0 means one minute, less than 0 no limit.
	Timeout time.Duration

	// FailFast makes a Publisher fail if it cannot reach the server at all:
	// until there has been a first answer nothing is tried again.
	FailFast bool

	// Notify, if it is not nil, is told of requests that failed and will be
	// repeated (Waiting) and of the first success after these (Connected).
	// It is called by one goroutine at a time, and publishing waits for it.
	Notify func(Notice)
}

func (o PublisherOptions) withDefaults() PublisherOptions {
	if o.BatchRecords <= 0 {
		o.BatchRecords = 1000
	}
	if o.BatchBytes <= 0 {
		// A net/http server that answers early reads this much more of a
		// body, so that its answer is not lost with the connection.
		o.BatchBytes = 256 << 10
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	return o
}

func (o *PublisherOptions) notify(n Notice) {
	if o.Notify != nil {
		o.Notify(n)
	}
}

// A Publisher publishes messages in order and in batches. What is given to it
// while one request is under way makes up the next one, so that a slow trickle
// is sent at once and a flood in few requests, without a timer.
//
// A message that the server refuses ends the Publisher: those before it are
// stored, those after it are not. Its methods may be called by many goroutines
// at once. It has to be closed.
type Publisher struct {
	// Static after construction.
	delivery *delivery
	keys     string             // what generated keys begin with
	cancel   context.CancelFunc // ends the request that is under way
	done     chan struct{}      // closed when the goroutine has ended

	// Guarded by mu; cond tells of every change.
	mu      sync.Mutex
	cond    sync.Cond
	next    batch   // what the next request will have
	given   int     // messages taken from callers
	stored  Receipt // what the server has stored
	err     error   // why no more is sent, once that is so
	closing bool    // Close was called
}

// Publisher returns a Publisher for the server. The error is about c.URL.
func (c *Client) Publisher(o PublisherOptions) (*Publisher, error) {
	d, err := c.delivery(o)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	p := &Publisher{delivery: d, keys: rand.Text() + "-", cancel: cancel, done: make(chan struct{})}
	p.cond.L = &p.mu
	// Owned by p; Close ends it, and waits for its end.
	go p.run(ctx)
	return p, nil
}

// Publish hands over a message. It returns when the message is in the queue,
// for which it may have to wait; [Publisher.Flush] tells whether it was
// stored. The caller may use m.Data again after the return.
//
// The error is about the message, which is then not queued; or it is why the
// Publisher can send nothing any more; or that of ctx.
func (p *Publisher) Publish(ctx context.Context, m Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.wait(ctx, p.hasRoom); err != nil {
		return err
	}
	if p.closing {
		return leat.Errorf(leat.CodeUnavailable, "the publisher is closed")
	}
	line, err := m.line(p.keys + strconv.Itoa(p.given+1))
	if err != nil {
		return atRecord(err, p.given+1)
	}
	p.given++
	p.next.add(line)
	p.cond.Broadcast()
	return nil
}

// Flush waits until all messages given so far are stored. The Receipt counts
// all messages since the Publisher was made. The error is why the Publisher
// can send nothing any more, with the number of the message refused in the
// field "line", or that of ctx.
func (p *Publisher) Flush(ctx context.Context) (Receipt, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	upTo := p.given
	err := p.wait(ctx, func() bool { return p.stored.Count >= upTo })
	return p.stored, err
}

// Close waits until all messages are stored and ends the Publisher. If ctx
// ends before, the messages that are left are given up. The result is that of
// a Flush.
func (p *Publisher) Close(ctx context.Context) (Receipt, error) {
	p.mu.Lock()
	p.closing = true
	p.cond.Broadcast()
	p.mu.Unlock()
	receipt, err := p.Flush(ctx)
	p.cancel()
	<-p.done
	return receipt, err
}

// Done returns a channel that is closed when the Publisher has ended: it was
// closed, or a message was refused. Flush then returns why.
func (p *Publisher) Done() <-chan struct{} { return p.done }

// wait waits, with mu held, until ok holds, p has failed or ctx has ended.
func (p *Publisher) wait(ctx context.Context, ok func() bool) error {
	// The lock makes sure that no wait misses the broadcast between its
	// look at ctx and its sleep.
	stop := context.AfterFunc(ctx, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.cond.Broadcast()
	})
	defer stop()
	for !ok() {
		if p.err != nil {
			return p.err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		p.cond.Wait()
	}
	return nil
}

func (p *Publisher) hasRoom() bool {
	o := &p.delivery.options
	return p.err == nil && p.next.len() < o.BatchRecords && len(p.next.body) < o.BatchBytes
}

// run sends batches until p is closed and nothing is left, or one fails.
func (p *Publisher) run(ctx context.Context) {
	defer close(p.done)
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.err == nil {
		for p.next.len() == 0 && !p.closing {
			p.cond.Wait()
		}
		if p.next.len() == 0 {
			return
		}
		b := p.next
		p.next = batch{first: b.first + b.len()}
		p.cond.Broadcast()
		p.mu.Unlock()
		stored, err := p.delivery.send(ctx, &b)
		p.mu.Lock()
		p.stored.add(stored)
		p.err = err
		p.cond.Broadcast()
	}
}
