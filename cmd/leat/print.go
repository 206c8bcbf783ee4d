package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/leat-dev/leat/client"
)

// A printer appends the line for an event to dst.
type printer func(dst []byte, e *client.Event) ([]byte, error)

// localTime is how times are shown to people.
const localTime = "2006-01-02 15:04:05.000"

// Colours, as parameters of the control sequence that sets them.
const (
	bold   = "1"
	dim    = "2"
	red    = "31"
	green  = "32"
	yellow = "33"
	blue   = "34"
	cyan   = "36"
)

// A painter returns text in a colour.
type painter func(colour, text string) string

// paintFor returns what paints what is written to w: nothing unless that is a
// terminal, and the user has not said no to colours (no-color.org).
func paintFor(w io.Writer) painter {
	if !isTerminal(w) || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return plain
	}
	return coloured
}

func plain(_, text string) string { return text }

func coloured(colour, text string) string { return "\x1b[" + colour + "m" + text + "\x1b[0m" }

// A layout is how records are printed: as JSON, as their data alone, or for people.
type layout struct {
	json, raw bool
	paint     painter
}

// leatPrinter prints events whose data is an envelope.
func leatPrinter(l layout) printer {
	return func(dst []byte, e *client.Event) ([]byte, error) {
		if l.json {
			return appendCompact(dst, e.Data)
		}
		env, err := e.Envelope()
		if err != nil {
			return nil, err
		}
		data, err := env.Bytes()
		if err != nil {
			return nil, err
		}
		if l.raw {
			return append(append(dst, data...), '\n'), nil
		}
		if env.Encoding == "base64" && !utf8.Valid(data) {
			data, _ = json.Marshal(data)
			data = append([]byte("base64:"), bytes.Trim(data, `"`)...)
		}
		return l.appendFields(dst, env.Time, env.Topic, env.Type, string(data)), nil
	}
}

// foreignPrinter prints events of any server. What they do not say, the time,
// is that of their arrival.
func foreignPrinter(l layout) printer {
	return func(dst []byte, e *client.Event) ([]byte, error) {
		switch {
		case l.raw:
			return append(append(dst, e.Data...), '\n'), nil
		case !l.json:
			return l.appendFields(dst, time.Now(), e.ID, e.Type, string(e.Data)), nil
		}
		data := json.RawMessage(e.Data)
		if !json.Valid(data) {
			data, _ = json.Marshal(string(e.Data))
		}
		line, err := json.Marshal(struct {
			ID   string          `json:"id,omitempty"`
			Type string          `json:"type,omitempty"`
			Time time.Time       `json:"time"`
			Data json.RawMessage `json:"data"`
		}{e.ID, e.Type, time.Now().UTC(), data})
		if err != nil {
			return nil, err
		}
		return append(append(dst, line...), '\n'), nil
	}
}

// appendFields appends a line for people; "-" stands for an empty field.
func (l layout) appendFields(dst []byte, at time.Time, where, typ, data string) []byte {
	dst = append(dst, l.paint(dim, at.Local().Format(localTime))...)
	for _, field := range []struct{ colour, text string }{{cyan, where}, {yellow, typ}, {"", data}} {
		dst = append(dst, "  "...)
		if field.text == "" {
			field.text = "-"
		}
		text := string(appendPrintable(nil, field.text))
		if field.colour != "" {
			text = l.paint(field.colour, text)
		}
		dst = append(dst, text...)
	}
	return append(dst, '\n')
}

// appendCompact appends a JSON text on one line.
func appendCompact(dst, text []byte) ([]byte, error) {
	line := bytes.NewBuffer(dst)
	if err := json.Compact(line, text); err != nil {
		return nil, fmt.Errorf("the server sent an envelope that is not JSON: %w", err)
	}
	return append(line.Bytes(), '\n'), nil
}

// appendPrintable appends s with control characters and what is not UTF-8 as
// escapes: others wrote s, and a terminal obeys control characters.
func appendPrintable(dst []byte, s string) []byte {
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		switch {
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == utf8.RuneError && size == 1:
			dst = fmt.Appendf(dst, `\x%02x`, s[0])
		case unicode.IsControl(r):
			dst = fmt.Appendf(dst, `\x%02x`, r)
		default:
			dst = append(dst, s[:size]...)
		}
		s = s[size:]
	}
	return dst
}
