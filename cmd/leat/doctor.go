package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/client"
	"github.com/leat-dev/leat/internal/doctor"
)

type doctorCmd struct {
	URL string `arg:"" help:"URL of a stream, as its readers have it: of events, lines or bytes, on a Leat server or any other."`

	requestFlags

	For    time.Duration `help:"How long to watch. Heartbeats that are due later are not seen: 70s shows what proxies would cut." default:"20s"`
	Probe  bool          `help:"Publish to the topic of the URL, which is on a Leat server, and see when it arrives: 12 records, and 64KiB more if they do not."`
	Direct string        `help:"URL of the same stream without what is in between: what arrives from both is compared." placeholder:"URL"`
	Origin string        `help:"Origin of a page that is to read the stream, such as https://app.example.com." placeholder:"ORIGIN"`
	JSON   bool          `help:"Print each finding as a JSON object on a line: level, check, text, fix."`
}

// Help is shown below the flags.
func (doctorCmd) Help() string {
	return `Looks at headers, the first byte, whether events are passed on one by one, silences against the limits of known proxies, going on after a lost connection, pages of other origins, and versions of HTTP. Each finding has a level (ok, note, warning, problem), and what to do about it. The exit status is 5 if there is a problem.

    leat doctor http://127.0.0.1:8080/events?topic=news --probe
    leat doctor https://example.org/events --direct http://10.0.0.7:8080/events
    leat doctor https://example.org/v1/stream -H 'Authorization: Bearer TOKEN' --for 70s`
}

// errProblem is that the doctor has found one.
var errProblem = errors.New("the stream has problems")

// Run examines the stream.
func (c *doctorCmd) Run(ctx context.Context, std *streams) error {
	header, err := parseHeaders(c.Header)
	if err != nil {
		return err
	}
	method, body, err := c.request(header)
	if err != nil {
		return err
	}
	o := doctor.Options{URL: c.URL, Method: method, Header: header, Body: body, Watch: c.For, Direct: c.Direct, Origin: c.Origin}
	if c.Probe {
		if o.Probe, err = prober(ctx, c.URL); err != nil {
			return err
		}
	}
	std.note("watching for %v", c.For)
	problems := 0
	paint := paintFor(std.out)
	err = doctor.Examine(ctx, o, func(f doctor.Finding) {
		if f.Level == doctor.Problem {
			problems++
		}
		if c.JSON {
			json.NewEncoder(std.out).Encode(f) // a reader that is gone is no fault of the stream
			return
		}
		std.out.Write(appendFinding(nil, f, paint))
	})
	if err == nil && problems > 0 {
		return fmt.Errorf("%w (%d)", errProblem, problems)
	}
	return err
}

// appendFinding appends a finding for people, and what to do on a line of its own.
func appendFinding(dst []byte, f doctor.Finding, paint painter) []byte {
	colour := map[doctor.Level]string{doctor.OK: green, doctor.Note: blue, doctor.Warning: yellow, doctor.Problem: red}[f.Level]
	dst = append(dst, paint(colour, fmt.Sprintf("%-7s", f.Level))...)
	dst = fmt.Appendf(dst, "  %s  ", paint(bold, fmt.Sprintf("%-13s", f.Check)))
	dst = append(appendPrintable(dst, f.Text), '\n')
	if f.Fix != "" {
		dst = append(append(dst, strings.Repeat(" ", 24)+"-> "...), appendPrintable(nil, f.Fix)...)
		dst = append(dst, '\n')
	}
	return dst
}

// prober publishes to the topic that a URL of a Leat server reads.
func prober(ctx context.Context, target string) (func(context.Context, int, int) (string, error), error) {
	server, topic, err := topicOf(target)
	if err != nil {
		return nil, err
	}
	c := &client.Client{URL: server}
	kind := leat.KindText // of a topic that the first probe makes
	switch s, err := c.Stream(ctx, topic); {
	case err == nil:
		kind = kindOf(s.ContentType)
	case leat.CodeOf(err) != leat.CodeNotFound:
		return nil, err
	}
	run := fmt.Sprintf("leat doctor %d-%d", os.Getpid(), time.Now().UnixMilli())
	return func(ctx context.Context, n, size int) (string, error) {
		text := fmt.Sprintf("%s: probe %d", run, n)
		text += strings.Repeat(".", max(size-len(text), 0))
		m := client.Message{Topic: topic, Kind: kind, Type: "probe", Data: []byte(text)}
		if kind == leat.KindJSON {
			m.Data, _ = json.Marshal(text)
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		receipt, err := c.Publish(ctx, m)
		return receipt.Last, err
	}, nil
}

// kindOf is how the records of a stream read, by its content type as the server has it.
func kindOf(contentType string) leat.Kind {
	essence, _, _ := strings.Cut(contentType, ";")
	switch {
	case essence == "application/json", strings.HasSuffix(essence, "+json"):
		return leat.KindJSON
	case strings.HasPrefix(essence, "text/"), essence == "application/xml", strings.HasSuffix(essence, "+xml"):
		return leat.KindText
	}
	return leat.KindBinary
}

// topicOf takes the URL of a stream apart into that of its server and its topic.
func topicOf(target string) (server, topic string, err error) {
	u, err := url.Parse(target)
	if err != nil {
		return "", "", usageError(err.Error())
	}
	path := u.Path
	if base, ok := strings.CutSuffix(path, "/events"); ok {
		if topic = u.Query().Get("topic"); leat.CheckName(topic) != nil {
			return "", "", usageError("--probe publishes to one topic: name one in the URL, such as /events?topic=news")
		}
		path = base
	} else if base, name, ok := strings.Cut(path, "/streams/"); ok && leat.CheckName(name) == nil {
		path, topic = base, name
	} else {
		return "", "", usageError("--probe is for a Leat server: its streams are at /events?topic=NAME and /streams/NAME")
	}
	return (&url.URL{Scheme: u.Scheme, User: u.User, Host: u.Host, Path: path}).String(), topic, nil
}
