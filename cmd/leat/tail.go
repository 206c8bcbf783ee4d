package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/client"
)

type tailCmd struct {
	Topics []string `arg:"" name:"topic" help:"Names or patterns of topics: in a pattern * stands for one segment and a last ** for one or more. Or one http:// or https:// URL of any stream of events, lines of JSON or long polls."`

	From  fromFlag `help:"Where to start: now, start, an id, -10 (the last 10 records) or -5m (the last 5 minutes)." default:"now" placeholder:"WHERE" group:"Which records"`
	As    string   `help:"How the server is to write: sse, ndjson, poll; auto is sse for topics, and what it sends for a URL." enum:"auto,sse,ndjson,poll" default:"auto" group:"Which records"`
	Count int      `short:"n" help:"Stop after this many records." placeholder:"N" group:"Which records"`

	JSON bool `help:"Print each record as a JSON object on a line: id, topic, type, key, time, data; encoding is base64 if the data is." xor:"print" group:"Printing"`
	Raw  bool `help:"Print the data of each record as it is, and a line feed." xor:"print" group:"Printing"`

	Resume    string `help:"Keep in FILE where reading has come to, and go on there if the file is there." placeholder:"FILE" group:"Losing nothing"`
	FailOnGap bool   `help:"Stop with exit status 4 if records are missing." group:"Losing nothing"`

	Expect *int          `help:"Stop with exit status 0 once N records have come, and with 6 if that does not happen within --within. 0: nothing may come." placeholder:"N" group:"Testing"`
	Within time.Duration `help:"Time limit of --expect." placeholder:"TIME" group:"Testing"`
	Chaos  chaosFlag     `help:"drop=5s: cut the connection at random, every 5 s on average, and compare with what a second reader gets that is not cut. Exit status 7 if they differ." placeholder:"drop=TIME" group:"Testing"`

	requestFlags `group:"Request"`
	Repeat       bool `help:"A request that is not a GET may be sent again when the connection is lost." group:"Request"`
}

// Help is shown below the flags.
func (tailCmd) Help() string {
	return `Prints a line for each record: time, topic, type, data. Control characters in it are shown as escapes. Lost connections are made again, and reading goes on after the last record; that and missing records are told on stderr.

    leat tail news
    leat tail 'orders/*' --from start --count 10 --json
    leat tail 'orders/*' --resume orders.cursor --raw
    leat tail news --expect 3 --within 5s
    leat tail news --chaos drop=5s
    leat tail https://example.org/stream -H 'Authorization: Bearer TOKEN'
    leat tail https://example.org/v1/chat -d '{"stream":true}' --raw

A URL is tailed as it is. Its lines have the time of arrival, id, type and data, and with --json data is the JSON value if it is one.`
}

// A fromFlag is a string that may begin with a hyphen.
type fromFlag string

// Decode implements kong.MapperValue.
func (f *fromFlag) Decode(ctx *kong.DecodeContext) error {
	token := ctx.Scan.Pop()
	value, ok := token.Value.(string)
	if !ok || strings.HasPrefix(value, "--") {
		return errors.New("a place to start is missing, such as start or -10")
	}
	*f = fromFlag(value)
	return nil
}

// Why a tail ends that has not failed, or has not met what was expected.
var (
	errCounted    = errors.New("counted")
	errUnexpected = errors.New("this was not to happen")
	errWithin     = errors.New("the time of --within is over")
)

// check reports what makes no sense together.
func (c *tailCmd) check() error {
	url := isURL(c.Topics[0])
	switch {
	case c.Count < 0:
		return usageError("--count must be above 0")
	case c.Expect != nil && *c.Expect < 0:
		return usageError("--expect must be 0 or more")
	case c.Expect != nil && c.Count > 0:
		return usageError("--expect stops after that many records by itself: leave out --count")
	case c.Expect == nil && c.Within != 0:
		return usageError("--within is the time limit of --expect: say how many records are to come")
	case c.Expect != nil && *c.Expect == 0 && c.Within <= 0:
		return usageError("--expect 0 says that nothing may come: say for how long with --within")
	case url && (len(c.Topics) > 1 || c.From != "now"):
		return usageError("a URL is tailed alone and as it is: give no other topic and no --from")
	case !url && (c.Method != "" || c.Data != nil || c.Repeat):
		return usageError("--method, --data and --repeat are for a URL")
	}
	return nil
}

// Run prints records until there are no more, or enough.
func (c *tailCmd) Run(ctx context.Context, std *streams, global *cli) error {
	t, err := c.newTail(ctx, std, global)
	if err != nil {
		return err
	}
	if c.Within > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, c.Within, errWithin)
		defer cancel()
	}
	err = t.run(ctx)
	if c.Expect != nil {
		return t.expected(ctx, err)
	}
	switch {
	case errors.Is(err, errCounted):
		return nil
	case errors.Is(err, context.Canceled) && c.Count == 0:
		return nil // an interrupt is how a tail is meant to end
	}
	return err
}

// A tail is a Run under way.
type tail struct {
	*tailCmd
	std       *streams
	subscribe func(context.Context, client.SubscribeOptions) iter.Seq2[client.Event, error]
	options   client.SubscribeOptions
	print     printer
	cursor    *cursorFile // nil: it is not kept
	chaos     *chaos      // nil: there is none
	printed   int
	stop      int // after so many records; 0: never
	saveErr   error
}

// forms are what --as says.
var forms = map[string]client.Form{"sse": client.FormEvents, "ndjson": client.FormLines, "poll": client.FormPoll}

// newTail returns the tail that the command line asks for.
func (c *tailCmd) newTail(ctx context.Context, std *streams, global *cli) (*tail, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	header, err := parseHeaders(c.Header)
	if err != nil {
		return nil, err
	}
	t := &tail{tailCmd: c, std: std, stop: c.Count}
	if c.Expect != nil {
		t.stop = max(*c.Expect, 1) // the first is one too many if none is to come
	}
	t.options = client.SubscribeOptions{Header: header, Form: forms[c.As], FailFast: true, Notify: t.notify(), Repeat: c.Repeat}
	if c.Resume != "" {
		if t.cursor, err = openCursor(c.Resume); err != nil {
			return nil, err
		}
		if t.options.LastEventID = t.cursor.saved; t.options.LastEventID != "" {
			std.note("going on after %s", t.options.LastEventID)
		}
	}
	if isURL(c.Topics[0]) {
		return t, t.ofURL(header)
	}
	query := client.Query{Topics: c.Topics, From: string(c.From), Envelope: true, FailOnGap: c.FailOnGap}
	server := global.client()
	if c.Chaos > 0 {
		t.chaos = newChaos(time.Duration(c.Chaos))
		t.chaos.together = true
		if t.options.LastEventID == "" {
			if t.options.LastEventID, err = (&client.Client{URL: server.URL, Header: header}).Position(ctx, query); err != nil {
				return nil, err
			}
		}
	}
	t.subscribe = func(ctx context.Context, o client.SubscribeOptions) iter.Seq2[client.Event, error] {
		return server.Subscribe(ctx, query, o)
	}
	t.print = leatPrinter(c.layout(std))
	return t, nil
}

// ofURL completes the tail of a URL.
func (t *tail) ofURL(header http.Header) (err error) {
	if t.options.Method, t.options.Body, err = t.request(header); err != nil {
		return err
	}
	if t.As == "auto" {
		t.options.Form = client.FormAny
	}
	if t.Chaos > 0 {
		t.chaos = newChaos(time.Duration(t.Chaos))
	}
	t.subscribe = func(ctx context.Context, o client.SubscribeOptions) iter.Seq2[client.Event, error] {
		return client.Subscribe(ctx, t.Topics[0], o)
	}
	t.print = foreignPrinter(t.layout(t.std))
	return nil
}

// layout is how records are printed.
func (c *tailCmd) layout(std *streams) layout {
	return layout{json: c.JSON, raw: c.Raw, paint: paintFor(std.out)}
}

// notify returns what is done about notices: they are told, and the place that is
// reached is kept.
func (t *tail) notify() func(client.Notice) {
	connections := 0
	return func(n client.Notice) {
		switch n.Kind {
		case client.Connected:
			if connections++; connections == 1 {
				return // nothing to tell
			}
		case client.Moved:
			t.saveErr = errors.Join(t.saveErr, t.cursor.save(n.LastEventID))
		}
		noteConnection(t.std, n)
	}
}

// run prints records until an error, which may be errCounted.
func (t *tail) run(ctx context.Context) error {
	if t.chaos == nil {
		return t.follow(ctx, t.subscribe(ctx, t.options))
	}
	clean := t.options
	connected := make(chan struct{})
	once := sync.OnceFunc(func() { close(connected) })
	clean.Notify = func(n client.Notice) {
		if n.Kind == client.Connected {
			once()
		}
	}
	cleanCtx, cancel := context.WithCancel(ctx)
	joined := make(chan struct{})
	// Owned by run, which ends and joins it.
	go func() {
		defer close(joined)
		t.chaos.watch(t.subscribe(cleanCtx, clean))
	}()
	defer func() { cancel(); <-joined }()
	select {
	case <-connected: // it misses nothing that the other gets
	case <-joined:
	case <-ctx.Done():
		return ctx.Err()
	}
	cut := t.options
	cut.HTTP = &http.Client{Transport: t.chaos.transport}
	cut.Retry = chaosRetry // unless the server names another
	cut.FailFast = false   // the other has reached it, and this one may be cut at once
	defer t.chaos.transport.CloseIdleConnections()
	err := t.follow(ctx, t.subscribe(ctx, cut))
	if err == nil || errors.Is(err, errCounted) || ctx.Err() != nil {
		t.chaos.verdict(t.std)
	}
	return err
}

// follow prints events until an error, which may be errCounted.
func (t *tail) follow(ctx context.Context, events iter.Seq2[client.Event, error]) error {
	var line []byte
	for event, err := range events {
		switch {
		case leat.CodeOf(err) == client.CodeLine && err != nil:
			t.std.note("%v", err) // what follows may be better
			continue
		case err != nil:
			return err
		case event.Gap != nil:
			err = t.gap(event.Gap)
		case event.End != nil:
			noteEnd(event.End, t.std)
		default:
			if t.chaos != nil {
				if err := t.chaos.compare(ctx, event); err != nil {
					return err
				}
			}
			if line, err = t.print(line[:0], &event); err == nil {
				_, err = t.std.out.Write(line)
			}
			t.printed++
		}
		if err == nil {
			err = errors.Join(t.saveErr, t.save(event.ID))
		}
		if err != nil {
			return err
		}
		if t.printed == t.stop && t.stop > 0 {
			return errCounted
		}
	}
	t.std.note("the server has ended the stream for good")
	if t.Count > 0 {
		return fmt.Errorf("the stream ended after %s of %d", plural(t.printed, "record"), t.Count)
	}
	return nil
}

// save keeps the place behind what was printed.
func (t *tail) save(id string) error {
	if t.cursor == nil {
		return nil
	}
	if id == "" {
		return leat.Errorf(client.CodeAnswer, "the records have no ids, so there is no place to keep in %s", t.Resume).
			Advise("Leave out --resume.")
	}
	return t.cursor.save(id)
}

// expected turns how a tail has ended into whether that was to happen.
func (t *tail) expected(ctx context.Context, err error) error {
	over := errors.Is(context.Cause(ctx), errWithin) && !errors.Is(err, errCounted)
	want := *t.Expect
	switch {
	case err != nil && !errors.Is(err, errCounted) && !over:
		return err
	case t.printed == want:
		return nil
	case want == 0:
		return fmt.Errorf("a record came, and none was expected: %w", errUnexpected)
	case over:
		return fmt.Errorf("%s of %d came within %v: %w", plural(t.printed, "record"), want, t.Within, errUnexpected)
	}
	return fmt.Errorf("the stream ended after %s of %d: %w", plural(t.printed, "record"), want, errUnexpected)
}

// noteEnd tells that a topic has ended.
func noteEnd(e *client.End, std *streams) {
	if e.Reason == "" {
		std.note("%s has ended: %s", e.Topic, e.State)
		return
	}
	std.note("%s has ended: %s, %s", e.Topic, e.State, e.Reason)
}

// gap tells of missing records.
func (t *tail) gap(g *client.Gap) error {
	var text strings.Builder
	switch g.Reason {
	case "trimmed":
		text.WriteString("records were removed before they could be read")
	case "replaced":
		text.WriteString("a topic was deleted with records that were not read yet")
	case "skipped":
		text.WriteString("reading was too slow for the rule of the topic, and records were skipped")
	case "lost":
		text.WriteString("the server lost records, some of which may have been printed here")
	case "foreign":
		text.WriteString("the server does not know where reading stopped: its log is another one")
	default:
		text.WriteString(g.Reason)
	}
	for i, lost := range g.Topics {
		separator := ", "
		if i == 0 {
			separator = ": "
		}
		fmt.Fprintf(&text, "%s%s up to %s", separator, lost.Topic, lost.Through)
	}
	if g.More > 0 {
		fmt.Fprintf(&text, ", and %s", plural(g.More, "more topic"))
	}
	t.std.note("gap (%s): %s; reading goes on after %s", g.Reason, text.String(), g.Next)
	if t.FailOnGap || t.chaos != nil {
		return leat.Errorf(leat.CodeGap, "records are missing")
	}
	return nil
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}
