package main

import (
	"context"
	"encoding/json"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/client"
)

type streamsCmd struct {
	List   streamsListCmd   `cmd:"" help:"Print the streams there are." default:"withargs"`
	Show   streamsShowCmd   `cmd:"" help:"Print what there is to know of one stream."`
	Close  streamsCloseCmd  `cmd:"" help:"End a stream: its readers get the rest, and then the end."`
	Trim   streamsTrimCmd   `cmd:"" help:"Remove the oldest records of a stream."`
	Delete streamsDeleteCmd `cmd:"" help:"Remove a stream with all it has."`
}

type streamsListCmd struct {
	Prefix string `arg:"" optional:"" help:"What the names begin with, such as orders/."`

	JSON bool `help:"Print each stream as a JSON object on a line."`
}

// Help is shown below the flags.
func (streamsListCmd) Help() string {
	return `Prints name, content type, number of records, size and state, in the order of the names.

    leat streams
    leat streams list orders/ --json`
}

// Run prints the list.
func (c *streamsListCmd) Run(ctx context.Context, std *streams, global *cli) error {
	table := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	n := 0
	for s, err := range global.client().Streams(ctx, c.Prefix) {
		switch {
		case err != nil:
			table.Flush() // what there was; the error is told
			return err
		case c.JSON:
			err = json.NewEncoder(std.out).Encode(s)
		default:
			_, err = fmt.Fprintf(table, "%s\t%s\t%s\t%v\t%s\n", appendPrintable(nil, s.Name), appendPrintable(nil, s.ContentType),
				plural(int(s.Records), "record"), humanSize(s.Bytes), stateOf(s))
		}
		if err != nil {
			return fmt.Errorf("writing to stdout failed: %w", err)
		}
		n++
	}
	if n == 0 {
		std.note("there are no streams")
	}
	return table.Flush()
}

// stateOf says whether a stream is open or how it has ended, for people.
func stateOf(s client.StreamInfo) string {
	switch {
	case s.End == "":
		return "open"
	case s.Reason == "":
		return string(s.End)
	}
	return string(s.End) + ", " + string(appendPrintable(nil, s.Reason))
}

type streamsShowCmd struct {
	Name string `arg:"" help:"Name of the stream."`

	JSON bool `help:"Print one JSON object."`
}

// Run prints what the server tells.
func (c *streamsShowCmd) Run(ctx context.Context, std *streams, global *cli) error {
	s, err := global.client().Stream(ctx, c.Name)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(std.out).Encode(struct {
			client.StreamInfo
			Reason    string    `json:"reason,omitempty"`
			TTL       string    `json:"ttl,omitempty"`
			Expires   time.Time `json:"expires,omitzero"`
			Retention string    `json:"retention,omitempty"`
		}{s, s.Reason, nonZero(s.TTL), s.Expires, s.Retention})
	}
	table := tabwriter.NewWriter(std.out, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, appendPrintable(nil, value)) // a failure is that of Flush
		}
	}
	row("name", s.Name)
	row("content type", s.ContentType)
	row("records", fmt.Sprint(s.Records))
	row("size", humanSize(s.Bytes))
	row("newest", s.Offset)
	row("state", stateOf(s))
	row("time to live", nonZero(s.TTL))
	if !s.Expires.IsZero() {
		row("expires", s.Expires.Local().Format(time.DateTime))
	}
	row("retention", s.Retention)
	return table.Flush()
}

func nonZero(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return age(d).String()
}

type streamsCloseCmd struct {
	Name string `arg:"" help:"Name of the stream."`

	State  string `help:"How it ends: complete, aborted or error." enum:"complete,aborted,error" default:"complete"`
	Reason string `help:"Why, for those who read it." placeholder:"TEXT"`
}

// Run ends the stream.
func (c *streamsCloseCmd) Run(ctx context.Context, std *streams, global *cli) error {
	err := global.client().EndStream(ctx, c.Name, leat.EndState(c.State), c.Reason)
	if err == nil {
		std.note("%s has ended: %s", c.Name, c.State)
	}
	return err
}

type streamsTrimCmd struct {
	Name string `arg:"" help:"Name of the stream."`

	Keep    string `help:"What to keep: the last records by their number, such as 100 (at most 10000), or those of a time, such as 90s, 12h or 7d." xor:"what" required:"" placeholder:"WHAT"`
	Through string `help:"Id of the last record to remove." xor:"what" required:"" placeholder:"ID"`
}

// Run removes the records. What is to be kept begins where a reader would begin.
func (c *streamsTrimCmd) Run(ctx context.Context, std *streams, global *cli) error {
	server := global.client()
	through := c.Through
	if c.Keep != "" {
		var err error
		if through, err = server.Position(ctx, client.Query{Topics: []string{c.Name}, From: "-" + c.Keep}); err != nil {
			return err
		}
	}
	if err := server.TrimStream(ctx, c.Name, through); err != nil {
		return err
	}
	s, err := server.Stream(ctx, c.Name)
	if err == nil {
		std.note("%s has %s, %s", c.Name, plural(int(s.Records), "record"), humanSize(s.Bytes))
	}
	return err
}

type streamsDeleteCmd struct {
	Name []string `arg:"" help:"Names of streams."`
}

// Run removes the streams, up to the first that cannot be.
func (c *streamsDeleteCmd) Run(ctx context.Context, std *streams, global *cli) error {
	for _, name := range c.Name {
		if err := global.client().DeleteStream(ctx, name); err != nil {
			return err
		}
		std.note("%s is deleted", name)
	}
	return nil
}

// humanSize writes a number of bytes with three digits or so.
func humanSize(n int64) string {
	const unit = 1024
	if n < unit {
		return fmt.Sprintf("%d B", n)
	}
	value, names := float64(n)/unit, "KMGTPE"
	for value >= unit*0.9995 && len(names) > 1 { // 1023.95 would be written 1024.0
		value /= unit
		names = names[1:]
	}
	return fmt.Sprintf("%.1f %ciB", value, names[0])
}
