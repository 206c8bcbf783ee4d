package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
)

// command runs a command line in this process.
func command(t *testing.T, stdin string, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	status = run(args, &streams{in: strings.NewReader(stdin), out: &out, err: &err})
	return status, out.String(), err.String()
}

// answers serves each request with the next step, and what comes after the
// last with 204, which ends a tail.
func answers(t *testing.T, steps ...http.HandlerFunc) string {
	n := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n++; n > len(steps) {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		steps[n-1](w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// events answers with an event stream that has a short retry.
func events(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "retry: 1\n\n"+text)
	}
}

// envelope is an event as a Leat server sends it.
func envelope(topic, data string) string {
	return fmt.Sprintf(`data: {"id":"0_1","topic":%q,"time":"2026-11-21T08:00:00.123456Z",%s}`+"\n\n", topic, data)
}

const clock = `\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}`

func TestTailLines(t *testing.T) {
	for name, tc := range map[string]struct {
		event string // an event that the server sends
		url   bool   // tail the URL, not a topic
		json  bool
		want  string // a pattern
	}{
		"text":               {envelope("a", `"type":"ty","data":"x"`), false, false, clock + `  a  ty  x`},
		"no type, no data":   {envelope("a", `"data":""`), false, false, clock + `  a  -  -`},
		"json":               {envelope("a", `"data":{"n":1.0}`), false, false, clock + `  a  -  \{"n":1\.0\}`},
		"control characters": {envelope("a", `"data":"\u001b[2J\n\t\u0085\u007fé"`), false, false, clock + `  a  -  \\x1b\[2J\\n\\t\\x85\\x7fé`},
		"binary":             {envelope("a", `"data":"AP8=","encoding":"base64"`), false, false, clock + `  a  -  base64:AP8=`},
		"text as base64":     {envelope("a", `"data":"aGk=","encoding":"base64"`), false, false, clock + `  a  -  hi`},
		"envelope":           {envelope("a", `"data":"x"`), false, true, `\{"id":"0_1","topic":"a","time":"2026-11-21T08:00:00.123456Z","data":"x"\}`},
		"url":                {"id: 7\nevent: ty\ndata: a\ndata: b\n\n", true, false, clock + `  7  ty  a\\nb`},
		"url bare":           {"data\n\n", true, false, clock + `  -  -  -`},
		"url json":           {"id: 7\nevent: ty\ndata: {\ndata: \"n\": 1.0}\n\n", true, true, `\{"id":"7","type":"ty","time":"[^"]+Z","data":\{"n":1\.0\}\}`},
		"url text":           {"data: <b> {\n\n", true, true, `\{"time":"[^"]+Z","data":"\\u003cb\\u003e \{"\}`},
	} {
		t.Run(name, func(t *testing.T) {
			url := answers(t, events(tc.event))
			args := []string{"tail", "a", "--server", url}
			if tc.url {
				args[1] = url
			}
			if tc.json {
				args = append(args, "--json")
			}
			status, stdout, stderr := command(t, "", args...)
			if status != 0 || !regexp.MustCompile("^"+tc.want+"\n$").MatchString(stdout) {
				t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
			}
		})
	}
}

func TestTailRequest(t *testing.T) {
	var got *http.Request
	url := answers(t, func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.WriteHeader(204)
	})
	command(t, "", "tail", "a", "b/*", "--from", "-10", "--fail-on-gap", "--server", url, "-H", "X-Mine: a, b", "-H", "X-Mine:c")
	if q := got.URL.RawQuery; q != "envelope=1&from=-10&gap=error&topic=a&topic=b%2F%2A" {
		t.Errorf("query %s", q)
	}
	if h := got.Header["X-Mine"]; strings.Join(h, "|") != "a, b|c" {
		t.Errorf("headers %q", h)
	}
}

// A gap is told on stderr, and is an error only if that is wanted.
func TestTailGap(t *testing.T) {
	gap := func(reason string) http.HandlerFunc {
		return events(`event: leat.gap` + "\n" + `data: {"reason":"` + reason + `","next":"0_5","topics":[{"topic":"a","through":"0_4"},{"topic":"b","through":"0_5"}],"more":3}` + "\n\n" + envelope("a", `"data":"x"`))
	}
	for reason, text := range map[string]string{
		"trimmed":  "records were removed before they could be read: a up to 0_4, b up to 0_5, and 3 more topics; reading goes on after 0_5",
		"replaced": "a topic was deleted", "lost": "the server lost records", "foreign": "its log is another one", "new": "gap (new): new:",
	} {
		status, stdout, stderr := command(t, "", "tail", "a", "-n1", "--server", answers(t, gap(reason)))
		if status != 0 || !strings.Contains(stdout, "  x\n") || !strings.Contains(stderr, text) || !strings.Contains(stderr, "gap ("+reason+")") {
			t.Errorf("%s: status %d, stdout %q, stderr %q", reason, status, stdout, stderr)
		}
	}
	status, stdout, stderr := command(t, "", "tail", "a", "--fail-on-gap", "--server", answers(t, gap("lost")))
	if status != exitGap || stdout != "" || !strings.Contains(stderr, "records are missing") {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
	status, _, stderr = command(t, "", "tail", "a", "--fail-on-gap", "--server", answers(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(410)
		io.WriteString(w, `{"code":"gap","detail":"records are gone","advice":"Begin again."}`)
	}))
	if status != exitGap || stderr != "leat: 410 Gone: records are gone\nleat: Begin again.\n" {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
}

func TestTailEnds(t *testing.T) {
	status, _, stderr := command(t, "", "tail", "a", "--server", answers(t))
	if status != 0 || !strings.Contains(stderr, "ended the stream for good") {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
	status, _, stderr = command(t, "", "tail", "a", "--count", "2", "--server", answers(t, events(envelope("a", `"data":"x"`))))
	if status != exitFailed || !strings.Contains(stderr, "after 1 record of 2") {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
	status, _, stderr = command(t, "", "tail", "a", "--server", answers(t, events("data: no envelope\n\n")))
	if status != exitFailed || !strings.Contains(stderr, "not an envelope") {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
}

// What a server sends cannot play with the terminal.
func TestErrorsArePrintable(t *testing.T) {
	url := answers(t, func(w http.ResponseWriter, r *http.Request) { http.Error(w, "\x1b[2J", http.StatusTeapot) })
	status, _, stderr := command(t, "", "tail", "a", "--server", url)
	if status != exitFailed || stderr != "leat: the server answered 418 I'm a teapot: \\x1b[2J\n" {
		t.Errorf("status %d, stderr %q", status, stderr)
	}
}

func TestPublishLongLine(t *testing.T) {
	url := answers(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, `{"count":1,"last":"0_1"}`)
	})
	status, stdout, stderr := command(t, "short\n"+strings.Repeat("x", maxLine+1), "publish", "a", "--server", url)
	if status != exitFailed || stdout != "0_1\n" || !strings.Contains(stderr, "line 2 of stdin is longer than 64 MiB") {
		t.Errorf("status %d, stdout %q, stderr %q", status, stdout, stderr)
	}
}

func TestByteSize(t *testing.T) {
	for text, want := range map[string]int64{"0": 0, "17": 17, "17B": 17, "1KiB": 1024, "3MiB": 3 << 20, "2GiB": 2 << 30,
		"": -1, "MiB": -1, "-1": -1, "1.5MiB": -1, "1MB": -1, "1 MiB": -1, "9999999999GiB": -1} {
		var s byteSize
		if err := s.UnmarshalText([]byte(text)); err != nil {
			s = -1
		}
		if int64(s) != want {
			t.Errorf("%q is %d, want %d", text, s, want)
		}
	}
}
