package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/client"
)

type publishCmd struct {
	Topic string   `arg:"" help:"Name of the topic, such as orders/eu. It is made by the first record."`
	Data  []string `arg:"" optional:"" help:"Records, one for each argument. Without any, each line of stdin is one."`

	JSON bool   `help:"The records are JSON values; blank lines are skipped. Otherwise they are text."`
	Type string `help:"Event type of the records." placeholder:"TYPE"`
	Key  string `help:"Key, which makes it safe to run the command again: within the server's --key-window a record with the same key is stored once. With several records, or stdin, they get KEY-1, KEY-2 and so on." placeholder:"KEY"`
}

// Help is shown below the flags.
func (publishCmd) Help() string {
	return `Prints the id of the last record on stdout and the number of records on stderr. When the server goes away, for example to be restarted, publishing waits for it and goes on; no record is stored twice.

    leat publish news 'it works'
    leat publish --json prices '{"symbol":"LEAT","price":7}'
    tail -f app.log | leat publish logs/app`
}

// maxLine bounds a line of stdin. Servers refuse much smaller records.
const maxLine = 64 << 20

// Run publishes the records and reports.
func (c *publishCmd) Run(ctx context.Context, std *streams, global *cli) error {
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
		text := fmt.Sprintf("published %s to %s", plural(receipt.Count, "record"), c.Topic)
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

// hand gives the records to p, until there are no more, p fails or ctx ends.
func (c *publishCmd) hand(ctx context.Context, p *client.Publisher, records <-chan []byte) error {
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
		if c.JSON && isBlank(data) {
			continue
		}
		m := client.Message{Topic: c.Topic, Kind: leat.KindText, Data: data, Type: c.Type, Key: c.key(n)}
		if c.JSON {
			m.Kind = leat.KindJSON
		}
		if err := p.Publish(ctx, m); err != nil {
			return err
		}
		n++
	}
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
			Advise("Each line is one record. To publish a file as one record: curl --data-binary @FILE 'SERVER/events?topic=TOPIC'.")
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

func isTerminal(r io.Reader) bool {
	f, ok := r.(*os.File)
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
