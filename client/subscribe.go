package client

import (
	"context"
	"iter"
	"net/http"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/sse"
)

// SubscribeOptions change how a subscription connects. The zero value works.
type SubscribeOptions struct {
	// HTTP, Header and Prepare are as in [Client]. Prepare is called for
	// each attempt.
	HTTP    *http.Client
	Header  http.Header
	Prepare func(*http.Request) error

	// Form is how the server writes its values down, empty for FormEvents.
	Form Form

	// Method is the method of the request, empty for GET. Body is sent with
	// each attempt; nil means none.
	Method string
	Body   []byte

	// Repeat says that the request may be sent again at any time. Without it,
	// one whose method changes something, such as POST, is sent once, and
	// so is one whose form has no position to go on from, when something was
	// received: then the sequence ends where the response does, with an error of
	// code CodeTruncated if it was cut. A request is sent again in any case if it
	// has not left this machine, as there was no connection.
	Repeat bool

	// Last, if it is not nil, reports whether an event is the last one of
	// those that the server has to say, such as the [DONE] of a language
	// model. The sequence ends after it. A response that is not asked for
	// again and ends before is truncated.
	Last func(Event) bool

	// LastEventID is where to go on: the ID of the last event that was
	// received, perhaps by another process. Empty means where the server
	// starts by itself, or what Query.From says.
	LastEventID string

	// Stall is how long nothing may arrive before the connection is taken
	// for dead and made again. Any byte counts, a comment's too. 0 means 45
	// s, three heartbeats of a Leat server; less than 0 means for ever. It
	// also bounds the time to the head of the answer. For FormPoll it has to be
	// more than the time that a poll may wait.
	Stall time.Duration

	// Retry is about how long to wait before a reconnect, until the server
	// names a delay of its own, which is then the least. 0 or less means 1
	// s. After failures in a row the wait grows to 30 s.
	Retry time.Duration

	// MaxEventBytes is the size of the largest event, line or element, and
	// of the whole answer to a poll. A larger one ends the subscription with an
	// error of code leat.CodeTooLarge. 0 means sse.DefaultMaxEventBytes, less
	// than 0 no limit.
	MaxEventBytes int

	// FailFast ends the subscription if its first attempt fails, for
	// whatever reason. Without it only an answer that is final does.
	FailFast bool

	// Notify, if it is not nil, is told what becomes of the connection. It
	// is called on the goroutine that ranges over the events, which waits
	// for it.
	Notify func(Notice)
}

// Subscribe returns the events that a server sends at a URL, for as long as
// the caller ranges over them. Any server that writes one of the forms will do.
//
// When the connection ends, fails, or goes silent, it is made again, after a
// delay that grows with each failure in a row, and the server is told the last
// event ID. The same happens after an answer of 429 or of 500 and above, not
// sooner than its Retry-After says. There is one connection at a time. What
// was received of an event that was cut off is thrown away. Where a request may
// not be made again (see SubscribeOptions.Repeat) the sequence ends instead.
//
// The sequence ends without an error when the loop is left by break, which
// closes the connection, when the server answers 204, which means that
// there will be no more, after the last event by SubscribeOptions.Last, and where
// a response ends that is whole and not asked for again. Otherwise its last pair
// has an error: that of ctx when ctx ends; what Prepare returned; or a
// *leat.Error about an answer that makes further attempts useless, any other
// status or another content type. Only an error of code [CodeLine] about a
// line, whose Event has the line as its Data, may be followed by more.
//
// Ranging over the sequence again subscribes anew from o.LastEventID.
func Subscribe(ctx context.Context, url string, o SubscribeOptions) iter.Seq2[Event, error] {
	if o.Method == "" {
		o.Method = http.MethodGet
	}
	if o.Form == "" {
		o.Form = FormEvents
	}
	if o.Stall == 0 {
		o.Stall = 45 * time.Second
	}
	if o.Retry <= 0 {
		o.Retry = time.Second
	}
	if o.MaxEventBytes == 0 {
		o.MaxEventBytes = sse.DefaultMaxEventBytes
	}
	return func(yield func(Event, error) bool) {
		s := &subscription{url: url, options: o, lastID: o.LastEventID, yield: yield}
		s.sender = newSender(o.HTTP, o.Header, o.Prepare)
		if err := s.run(ctx); err != nil {
			yield(Event{}, err)
		}
	}
}

// A subscription is one range over the events. It belongs to the goroutine
// that ranges.
type subscription struct {
	// Static after construction.
	sender  sender
	url     string
	options SubscribeOptions
	yield   func(Event, error) bool

	// What one connection leaves to the next.
	lastID    string
	retry     time.Duration // what the server asked for, 0 if nothing
	failures  int           // connections in a row that came to nothing
	connected bool          // a server accepted the subscription once
	waited    bool          // for another attempt, since it was accepted last
	delivered int           // events
	asked     time.Time     // when the last request was made
	resumes   bool          // the server knows positions: see repeats
}

// stable is how long a connection has to last before failures after it are
// counted from the start.
const stable = 10 * time.Second

// An ending says how a connection ended.
type ending struct {
	err      error         // why, unless stop
	stop     bool          // the caller broke off, or there is no more
	again    bool          // another connection is wanted
	after    time.Duration // not sooner, if the server said so
	accepted bool          // by the server, which then ended or was cut
	whole    bool          // the response is not cut, as far as can be seen
	unsent   bool          // there was no connection to send the request on
	useful   bool          // the connection lasted, or did its work
	silent   bool          // it stalled
	soon     bool          // the next one needs no delay: it was a poll
}

// run connects until there is nothing more to come. It returns nil if that
// was the wish of the caller or of the server.
func (s *subscription) run(ctx context.Context) error {
	if !s.options.Form.known() {
		return leat.Errorf(leat.CodeInvalidParameter, "%q is no form of a stream", string(s.options.Form)).
			Advise("Use one of the constants FormEvents to FormAny.")
	}
	for {
		end := s.connect(ctx)
		switch {
		case end.stop:
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case !end.again, s.options.FailFast && !s.connected:
			return end.err
		case !s.repeats(&end):
			return s.once(&end)
		}
		if end.silent {
			// HTTP/2 would send the next request over the same dead
			// connection.
			s.sender.http.CloseIdleConnections()
		}
		if end.useful {
			s.failures = 0
		}
		if end.soon {
			continue
		}
		delay := s.delay(end.after)
		s.failures++
		s.waited = true
		s.notify(Notice{Kind: Waiting, Err: end.err, Failures: s.failures, Delay: delay, LastEventID: s.lastID})
		if err := sleep(ctx, delay); err != nil {
			return err
		}
	}
}

// repeats reports whether the request may be made again after end.
func (s *subscription) repeats(end *ending) bool {
	switch {
	case s.options.Repeat, end.unsent:
		return true
	case !safe(s.options.Method):
		return false
	case s.resumes:
		return true
	}
	return s.delivered == 0 && !end.whole
}

// safe reports whether a request changes nothing, so that it may be repeated
// unasked.
func safe(method string) bool {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, "QUERY", "REPORT", "SEARCH", "PROPFIND":
		return true
	}
	return false
}

// once is how a sequence ends whose request is not made again.
func (s *subscription) once(end *ending) error {
	switch {
	case !end.accepted, leat.CodeOf(end.err) == CodeTruncated:
		return end.err
	case !end.whole:
		return leat.Errorf(CodeTruncated, "the response was cut after %d events: %w", s.delivered, end.err).
			Advise("If it does no harm to send the request again set SubscribeOptions.Repeat.")
	case s.options.Last != nil:
		return leat.Errorf(CodeTruncated, "the response ended after %d events, before the last one", s.delivered)
	}
	return nil
}

// deliver hands over an event, and reports whether more is wanted.
func (s *subscription) deliver(e Event) bool {
	s.delivered++
	return s.yield(e, nil) && (s.options.Last == nil || !s.options.Last(e))
}

// delay is the time until the next attempt. A server that names a delay is
// never disturbed sooner; one that names none gets the attempts spread from
// the least delay on.
func (s *subscription) delay(after time.Duration) time.Duration {
	base := s.options.Retry
	if s.retry > 0 {
		base = s.retry
	}
	return wait(s.failures, max(s.retry, after), 2*base, maxWait)
}

func (s *subscription) notify(n Notice) {
	if s.options.Notify != nil {
		s.options.Notify(n)
	}
}

// setRetry takes over a delay that the server named.
func (s *subscription) setRetry(d time.Duration) {
	s.retry = min(max(d, minRetry), maxRetry)
	s.notify(Notice{Kind: RetryChanged, Delay: s.retry})
}

// sendable returns an error if id cannot be sent in a header. A server may
// use nearly any text as an id; HTTP takes no control characters.
func sendable(id string) error {
	for _, c := range []byte(id) {
		if c < ' ' && c != '\t' || c == 0x7f {
			return leat.Errorf(leat.CodeInvalidOffset, "the last event ID %q has a control character, so that it cannot be sent", id).
				Advise("The server should use other ids; until then begin again without one.")
		}
	}
	return nil
}
