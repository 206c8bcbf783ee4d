// Package doctor examines an endpoint that streams, one of ours or of anybody's,
// from where its readers are: behind the same proxies. What it finds comes with what
// to do about it.
package doctor

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/leat-dev/leat"
)

// A Level says how a [Finding] is to be taken.
type Level string

// The levels.
const (
	OK      Level = "ok"      // it is as it should be
	Note    Level = "note"    // good to know; nothing has to be done
	Warning Level = "warning" // it works here and will not everywhere
	Problem Level = "problem" // it does not work
)

// A Finding is one thing that was found.
type Finding struct {
	Level Level  `json:"level"`
	Check string `json:"check"` // what was looked at: "flush", "resume" and so on
	Text  string `json:"text"`
	Fix   string `json:"fix,omitempty"` // what to do, unless Level is OK
}

// Options say what to examine. URL is needed; the rest may be zero.
type Options struct {
	// URL is that of the stream. Method, Header and Body are those of the request,
	// a GET if nothing is said.
	URL    string
	Method string
	Header http.Header
	Body   []byte

	// Watch is how long the stream is watched. 0 means 20 s: a heartbeat is due
	// within 15 s at most servers.
	Watch time.Duration

	// Patience is how long the head of an answer, or a first event, is waited
	// for. 0 means 10 s.
	Patience time.Duration

	// Direct is the URL of the same stream without what stands in between. What
	// arrives from both is compared. Empty: there is none.
	Direct string

	// Probe publishes to the stream, and returns the id of the event that has to
	// arrive for it, once it is stored. It is given the number of the event, from 1
	// on, and its size in bytes. Nil: nothing is published.
	Probe func(ctx context.Context, n, size int) (id string, err error)

	// Origin is that of a page that is to read the stream. Empty: pages of other
	// origins are not expected to.
	Origin string

	// Transport sends the requests. Nil means one like http.DefaultTransport. It is
	// cloned.
	Transport *http.Transport
}

// Examine examines a stream and tells what it finds, in the order in which it comes
// out. The error is that there is no server at all, or that of ctx.
func Examine(ctx context.Context, o Options, tell func(Finding)) error {
	if o.Method == "" {
		o.Method = http.MethodGet
	}
	if o.Watch <= 0 {
		o.Watch = 20 * time.Second
	}
	if o.Patience <= 0 {
		o.Patience = 10 * time.Second
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport.(*http.Transport)
	}
	u, err := url.Parse(o.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return leat.Errorf(leat.CodeInvalidParameter, "%q is not the URL of a stream", o.URL).
			Advise("Write it like http://127.0.0.1:8080/events?topic=news.")
	}
	x := &exam{o: o, url: u, tell: tell}
	x.client = x.newClient(nil)
	defer x.client.CloseIdleConnections()
	return x.run(ctx)
}

// An exam is an Examine under way. It belongs to the goroutine that runs it.
type exam struct {
	o      Options
	url    *url.URL
	client *http.Client
	tell   func(Finding)
	held   bool // events were found to be held back
}

func (x *exam) found(level Level, check, text, fix string) {
	x.tell(Finding{level, check, text, fix})
}

// newClient returns a client with connections of its own, for the versions of HTTP
// that are set, all that a reader would use if set is nil.
func (x *exam) newClient(set func(*http.Protocols)) *http.Client {
	t := x.o.Transport.Clone()
	t.DisableCompression = true // it is asked for, and unpacked here, so that it is seen
	if set != nil {
		t.Protocols = new(http.Protocols)
		set(t.Protocols)
	}
	return &http.Client{Transport: t}
}

func (x *exam) run(ctx context.Context) error {
	s, err := x.watch(ctx)
	if err != nil {
		return err
	}
	if s.resp == nil {
		x.noHead(s)
		return nil
	}
	if x.headers(s) {
		x.firstByte(s)
		x.flushing(s)
		x.heartbeat(s)
		x.ending(s)
		if x.held {
			x.found(Note, "resume", "the rest was not tried, since what comes is held back", "see to that first")
			return ctx.Err()
		}
		x.resume(ctx, s)
	}
	x.crossOrigin(ctx)
	x.versions(ctx, s.resp)
	return ctx.Err()
}

// seconds writes a duration as people read it.
func seconds(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	}
	return fmt.Sprintf("%.0fs", d.Seconds())
}
