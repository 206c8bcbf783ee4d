package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/client"
)

type publishCmd struct {
	Topic string   `arg:"" help:"Name of the topic, such as orders/eu. It is made by the first record. With --envelopes, - has each go to its own."`
	Data  []string `arg:"" optional:"" help:"Records, one for each argument. Without any, each line of stdin is one."`

	JSON      bool `help:"The records are JSON values (NDJSON); blank lines are skipped. Otherwise they are text." xor:"what" group:"Records"`
	Envelopes bool `help:"The records are envelopes, as tail --json prints them: data, type, key; what --type and --key say wins. Blank lines are skipped." xor:"what" group:"Records"`

	Type string   `help:"Event type of the records." placeholder:"TYPE" group:"Records"`
	Key  string   `help:"Key, which makes it safe to run the command again: within the server's --key-window a record with the same key is stored once. With several records, or stdin, they get KEY-1, KEY-2 and so on." placeholder:"KEY" group:"Records"`
	Rate rateFlag `help:"Most records in a time, such as 100/s or 30/m." placeholder:"N/s" group:"Records"`

	File        string `help:"Make the content of the stream that of FILE. Run again after an interruption, it goes on where the stream ends." xor:"what" placeholder:"FILE" group:"A file"`
	ContentType string `help:"Content type of the stream, if FILE makes it. [default: by the name of the file]" placeholder:"TYPE" group:"A file"`
	End         bool   `help:"End the stream once all of FILE is there." group:"A file"`
}

// Help is shown below the flags.
func (publishCmd) Help() string {
	return `Prints the id of the last record on stdout and the number of records on stderr. When the server goes away, for example to be restarted, publishing waits for it and goes on; no record is stored twice.

    leat publish news 'it works'
    leat publish --json prices '{"symbol":"LEAT","price":7}'
    tail -f app.log | leat publish logs/app
    leat tail news --from start --json | leat publish --envelopes copy
    leat publish videos/launch --file launch.mp4 --end`
}

// A rateFlag is a number of records in a time: 100, which is 100/s, 30/m, 5/h.
type rateFlag struct{ pause time.Duration } // between records, 0 for none

// UnmarshalText implements encoding.TextUnmarshaler, which kong uses.
func (r *rateFlag) UnmarshalText(text []byte) error {
	number, unit, given := strings.Cut(string(text), "/")
	n, err := strconv.ParseFloat(number, 64)
	span := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	if !given {
		span = time.Second
	}
	if err != nil || !(n > 0 && n <= 1e9) || span == 0 {
		return fmt.Errorf("%q is no rate: write it such as 100/s, 30/m or 5/h", text)
	}
	r.pause = time.Duration(float64(span) / n)
	return nil
}

// maxLine bounds a line of stdin. Servers refuse much smaller records.
const maxLine = 64 << 20

// Run publishes the records and reports.
func (c *publishCmd) Run(ctx context.Context, std *streams, global *cli) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.File != "" {
		return c.upload(ctx, std, global)
	}
	server := global.client()
	p, err := server.Publisher(client.PublisherOptions{FailFast: true, Notify: func(n client.Notice) { noteConnection(std, n) }})
	if err != nil {
		return err
	}
	lines, readErr := c.records(ctx, std)
	err = c.hand(ctx, p, lines)
	receipt, closeErr := p.Close(ctx)
	if closeErr != nil {
		err = closeErr
	}
	if receipt.Last != "" {
		fmt.Fprintln(std.out, receipt.Last)
	}
	if receipt.Count > 0 || err == nil {
		where := c.Topic
		if c.Envelopes && where == "-" {
			where = "their topics"
		}
		text := fmt.Sprintf("published %s to %s", plural(receipt.Count, "record"), where)
		if receipt.Duplicates > 0 {
			text += fmt.Sprintf(", %d of them stored before", receipt.Duplicates)
		}
		std.note("%s", text)
	}
	if err == nil {
		select {
		case err = <-readErr:
		default:
		}
	}
	return err
}

// check reports what makes no sense together.
func (c *publishCmd) check() error {
	switch {
	case c.File == "" && (c.ContentType != "" || c.End):
		return usageError("--content-type and --end are for --file")
	case c.File != "" && (len(c.Data) > 0 || c.Type != "" || c.Key != "" || c.Rate.pause > 0):
		return usageError("--file is uploaded as it is: leave out records, --type, --key and --rate")
	}
	return nil
}

// hand gives the records to p, until there are no more, p fails or ctx ends.
func (c *publishCmd) hand(ctx context.Context, p *client.Publisher, records <-chan []byte) error {
	next := time.Now()
	for n := 1; ; {
		var data []byte
		var ok bool
		select {
		case data, ok = <-records:
		case <-p.Done():
			return nil // Close returns why
		case <-ctx.Done():
			return ctx.Err()
		}
		if !ok {
			return nil
		}
		if (c.JSON || c.Envelopes) && isBlank(data) {
			continue
		}
		m, err := c.message(data, n)
		if err != nil {
			return err
		}
		if err := waitUntil(ctx, next, p.Done()); err != nil {
			return err
		}
		if err := p.Publish(ctx, m); err != nil {
			return err
		}
		// What was late is not made up for.
		next = later(next.Add(c.Rate.pause), time.Now())
		n++
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// waitUntil waits for a time, or until nothing can be published any more.
func waitUntil(ctx context.Context, at time.Time, done <-chan struct{}) error {
	d := time.Until(at)
	if d <= 0 {
		return nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-done: // the next Publish says why
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// message makes the message of record n.
func (c *publishCmd) message(data []byte, n int) (client.Message, error) {
	m := client.Message{Topic: c.Topic, Kind: leat.KindText, Data: data, Type: c.Type, Key: c.key(n)}
	switch {
	case c.JSON:
		m.Kind = leat.KindJSON
	case c.Envelopes:
		var e client.Envelope
		if err := json.Unmarshal(data, &e); err != nil || e.Data == nil {
			return m, leat.Errorf(leat.CodeInvalidBody, "record %d is no envelope: it is no JSON object with data", n).
				Advise(`Write it such as {"topic":"news","type":"headline","data":"it works"}, or leave out --envelopes.`)
		}
		if c.Topic == "-" {
			m.Topic = e.Topic
		}
		m.Type, m.Key = cmp.Or(m.Type, e.Type), cmp.Or(m.Key, e.Key)
		// A string is that of a text or of JSON: the topic knows.
		m.Kind, m.Data = leat.KindJSON, e.Data
		if e.Encoding != "" {
			var err error
			m.Kind = leat.KindBinary
			if m.Data, err = e.Bytes(); err != nil {
				return m, err
			}
		}
	}
	return m, nil
}

// key returns the key of record n, "" if the user gave none.
func (c *publishCmd) key(n int) string {
	if c.Key == "" || len(c.Data) == 1 {
		return c.Key
	}
	return c.Key + "-" + strconv.Itoa(n)
}

// records delivers the arguments, or the lines of stdin. The second channel
// has the error that ended the reading, if there was one, before the first is
// closed.
func (c *publishCmd) records(ctx context.Context, std *streams) (<-chan []byte, <-chan error) {
	records, failed := make(chan []byte), make(chan error, 1)
	send := func(data []byte) bool {
		select {
		case records <- data:
			return true
		case <-ctx.Done():
			return false
		}
	}
	if len(c.Data) == 0 && isTerminal(std.in) {
		std.note("each line is a record; end with Ctrl-D")
	}
	// Owned by Run. It ends with its input or with ctx; a read from a
	// terminal cannot be interrupted and ends with the process.
	go func() {
		defer close(records)
		for _, data := range c.Data {
			if !send([]byte(data)) {
				return
			}
		}
		if len(c.Data) > 0 {
			return
		}
		if err := eachLine(std.in, send); err != nil {
			failed <- err
		}
	}()
	return records, failed
}

// eachLine calls send with each line of r, without its end, which is LF or
// CRLF, until it returns false.
func eachLine(r io.Reader, send func([]byte) bool) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	n := 0
	for lines.Scan() {
		n++
		if !send(append([]byte{}, lines.Bytes()...)) {
			return nil
		}
	}
	if errors.Is(lines.Err(), bufio.ErrTooLong) {
		return leat.Errorf(leat.CodeTooLarge, "line %d of stdin is longer than %d MiB", n+1, maxLine>>20).
			Advise("Each line is one record. A file that is none of lines is published with --file.")
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading stdin failed after line %d: %w", n, err)
	}
	return nil
}

func isBlank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' {
			return false
		}
	}
	return true
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// noteConnection tells the user what becomes of the connection.
func noteConnection(std *streams, n client.Notice) {
	switch n.Kind {
	case client.Waiting:
		var e *leat.Error
		reason := n.Err.Error()
		if errors.As(n.Err, &e) {
			reason = e.Detail // the advice is for those who are not trying again
		}
		std.note("%s; trying again in %v", reason, n.Delay.Round(10*time.Millisecond))
	case client.Connected:
		std.note("connected again")
	}
}

// plural is "1 record" or "2 records".
func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
