package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/client"
)

type tailCmd struct {
	Topics []string `arg:"" name:"topic" help:"Names or patterns of topics: in a pattern * stands for one segment and a last ** for one or more. Or one http:// or https:// URL of any event stream."`

	From      fromFlag `help:"Where to start: now, start, an id, -10 (the last 10 records) or -5m (the last 5 minutes)." default:"now" placeholder:"WHERE"`
	Count     int      `short:"n" help:"Stop after this many records." placeholder:"N"`
	JSON      bool     `help:"Print each record as a JSON object on a line: id, topic, type, key, time, data; encoding is base64 if the data is."`
	Header    []string `short:"H" help:"Header to send, such as 'Authorization: Bearer …'. May be repeated." placeholder:"'NAME: VALUE'" sep:"none"`
	FailOnGap bool     `help:"Stop with exit status 4 if records are missing."`
}

// Help is shown below the flags.
func (tailCmd) Help() string {
	return `Prints a line for each record: time, topic, type, data. Control characters in it are shown as escapes. Lost connections are made again, and reading goes on after the last record; that and missing records are told on stderr.

    leat tail news
    leat tail 'orders/*' --from start --count 10 --json
    leat tail https://example.org/stream -H 'Authorization: Bearer TOKEN'

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

// errCounted ends a tail that has printed as many records as were wanted.
var errCounted = errors.New("counted")

// Run prints records until there are no more, or enough.
func (c *tailCmd) Run(ctx context.Context, std *streams, global *cli) error {
	if c.Count < 0 {
		return usageError("--count must be above 0")
	}
	events, print, err := c.subscribe(ctx, std, global)
	if err != nil {
		return err
	}
	err = c.follow(events, print, std)
	switch {
	case errors.Is(err, errCounted):
		return nil
	case errors.Is(err, context.Canceled) && c.Count == 0:
		return nil // an interrupt is how a tail is meant to end
	}
	return err
}

// subscribe returns the events that the command line asks for, and what prints
// one.
func (c *tailCmd) subscribe(ctx context.Context, std *streams, global *cli) (iter.Seq2[client.Event, error], printer, error) {
	header, err := parseHeaders(c.Header)
	if err != nil {
		return nil, nil, err
	}
	connections := 0
	options := client.SubscribeOptions{Header: header, FailFast: true, Notify: func(n client.Notice) {
		if n.Kind == client.Connected {
			if connections++; connections == 1 {
				return // nothing to tell
			}
		}
		noteConnection(std, n)
	}}
	if isURL(c.Topics[0]) {
		if len(c.Topics) > 1 || c.From != "now" {
			return nil, nil, usageError("a URL is tailed alone and as it is: give no other topic and no --from")
		}
		return client.Subscribe(ctx, c.Topics[0], options), foreignPrinter(c.JSON), nil
	}
	query := client.Query{Topics: c.Topics, From: string(c.From), Envelope: true, FailOnGap: c.FailOnGap}
	server := global.client()
	return server.Subscribe(ctx, query, options), leatPrinter(c.JSON), nil
}

// follow prints events until an error, which may be errCounted.
func (c *tailCmd) follow(events iter.Seq2[client.Event, error], print printer, std *streams) error {
	printed := 0
	var line []byte
	for event, err := range events {
		if err != nil {
			return err
		}
		switch {
		case event.Gap != nil:
			if err := c.gap(event.Gap, std); err != nil {
				return err
			}
			continue
		case event.End != nil:
			noteEnd(event.End, std)
			continue
		}
		if line, err = print(line[:0], &event); err != nil {
			return err
		}
		if _, err := std.out.Write(line); err != nil {
			return fmt.Errorf("writing to stdout failed: %w", err)
		}
		if printed++; printed == c.Count {
			return errCounted
		}
	}
	std.note("the server has ended the stream for good")
	if c.Count > 0 {
		return fmt.Errorf("the stream ended after %s of %d", plural(printed, "record"), c.Count)
	}
	return nil
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
func (c *tailCmd) gap(g *client.Gap, std *streams) error {
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
	for i, t := range g.Topics {
		separator := ", "
		if i == 0 {
			separator = ": "
		}
		fmt.Fprintf(&text, "%s%s up to %s", separator, t.Topic, t.Through)
	}
	if g.More > 0 {
		fmt.Fprintf(&text, ", and %s", plural(g.More, "more topic"))
	}
	std.note("gap (%s): %s; reading goes on after %s", g.Reason, text.String(), g.Next)
	if c.FailOnGap {
		return leat.Errorf(leat.CodeGap, "records are missing")
	}
	return nil
}

func isURL(s string) bool {
	return strings.HasPrefix(s, "http://") || strings.HasPrefix(s, "https://")
}

// parseHeaders reads lines like "Name: value".
func parseHeaders(lines []string) (http.Header, error) {
	h := http.Header{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if name = strings.TrimSpace(name); !ok || name == "" {
			return nil, usageError(fmt.Sprintf("%q is not a header: write 'Name: value'", line))
		}
		h.Add(name, strings.TrimSpace(value))
	}
	return h, nil
}
