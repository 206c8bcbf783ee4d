package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
)

// typed answers with a content type and a text, in pieces that are sent one by
// one, and ends.
func typed(contentType string, pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for _, piece := range pieces {
			io.WriteString(w, piece)
			http.NewResponseController(w).Flush()
		}
	}
}

// broken answers like typed, and the connection breaks.
func broken(contentType string, pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		typed(contentType, pieces...)(w, r)
		panic(http.ErrAbortHandler)
	}
}

// short announces more than it sends.
func short(contentType, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(text)+1))
		typed(contentType, text)(w, r)
	}
}

// got is what a subscription delivers, in short: data, !line of wrong lines.
func got(ctx context.Context, f *fakeServer, o SubscribeOptions) (string, error) {
	o.HTTP = f.client
	var b strings.Builder
	for e, err := range Subscribe(ctx, anyURL, o) {
		switch {
		case leat.CodeOf(err) == CodeLine && e.Data != nil:
			fmt.Fprintf(&b, "!%v:%s ", leat.AsError(err).Fields["line"], e.Data)
		case err != nil:
			return strings.TrimSpace(b.String()), err
		case e.Gap != nil:
			fmt.Fprintf(&b, "gap:%s ", e.Gap.Reason)
		case e.End != nil:
			fmt.Fprintf(&b, "end:%s ", e.End.State)
		default:
			fmt.Fprintf(&b, "%s ", e.Data)
		}
	}
	return strings.TrimSpace(b.String()), nil
}

const (
	ndjson  = "application/x-ndjson"
	jsonSeq = "application/json-seq"
	pos0    = `{"id":"0000000000000007_0000000000000000"}` + "\n"
)

// line is a record of a Leat server.
func line(n int) string {
	return fmt.Sprintf(`{"id":"0000000000000007_%016d","topic":"a","type":"t","time":"2026-11-21T11:00:00Z","data":%d}`+"\n", n, n)
}

func TestForms(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for name, tc := range map[string]struct {
		form    Form
		answer  http.HandlerFunc
		want    string
		code    leat.Code
		message string
	}{
		"lines":                     {FormLines, typed(ndjson, "{\"a\":1}\n[2]\r\n\n\n\"3\"\n4\n"), `{"a":1} [2] "3" 4`, "", ""},
		"lines, cut anywhere":       {FormLines, typed(ndjson, "{\"a\"", ":1}", "\n", "[", "2]\r", "\n3", "\n"), `{"a":1} [2] 3`, "", ""},
		"lines, no last line end":   {FormLines, typed(ndjson, "1\n{\"a\":1}"), `1 {"a":1}`, "", ""},
		"lines, a BOM":              {FormLines, typed(ndjson, "\uFEFF1\n2\n"), `1 2`, "", ""},
		"lines, none":               {FormLines, typed(ndjson), ``, "", ""},
		"lines, long":               {FormLines, typed(ndjson, "\""+long, long+"\"\n", "1\n"), "\"" + long + long + "\" 1", "", ""},
		"a bad line":                {FormLines, typed(ndjson, "1\n\noops\n{\"a\":}\n2\n"), `1 !3:oops !4:{"a":} 2`, "", ""},
		"two values on a line":      {FormLines, typed(ndjson, "1 2\n3\n"), `!1:1 2 3`, "", ""},
		"lines as JSON":             {FormLines, typed("application/json", "{}\n{}\n"), `{} {}`, "", ""},
		"lines of another type":     {FormLines, typed("text/html", "1\n"), ``, CodeAnswer, `its content type is "text/html"`},
		"lines, an id of another":   {FormLines, typed(ndjson, "{\"id\":\"7\"}\n{\"id\":\"8\"}\n"), `{"id":"7"} {"id":"8"}`, "", ""},
		"lines, cut":                {FormLines, broken(ndjson, "1\n2\n"), `1 2`, CodeTruncated, "cut after 2 events"},
		"lines, cut in one":         {FormLines, broken(ndjson, "1\n{\"a\""), `1`, CodeTruncated, "cut after 1 events"},
		"lines, short":              {FormLines, short(ndjson, "1\n2\n"), `1 2`, CodeTruncated, "cut after 2 events"},
		"lines, an end in one":      {FormLines, typed(ndjson, "1\n{\"a\""), `1`, CodeTruncated, "in the middle of line 2"},
		"lines, an end in a number": {FormLines, typed(ndjson, "1\n23"), `1`, CodeTruncated, "in the middle of line 2"},

		"array":                   {FormArray, typed("application/json", ` [ 1 ,"a]\"[",{"b":[1,{"c":"]}"}]},[],null , true] `), `1 "a]\"[" {"b":[1,{"c":"]}"}]} [] null true`, "", ""},
		"array, cut anywhere":     {FormArray, typed("application/json", "[", "1", "2", ",", "\"\\", "\"", "\"", ",{\"b\"", ":", "[]}", "]"), `12 "\"" {"b":[]}`, "", ""},
		"array of none":           {FormArray, typed("application/json", "\uFEFF[\n]\n"), ``, "", ""},
		"array of its own type":   {FormArray, typed("application/geo+json", "[1]"), `1`, "", ""},
		"array, long":             {FormArray, typed("application/json", "[\"", long, "\",", "1]"), "\"" + long + "\" 1", "", ""},
		"array, no ]":             {FormArray, typed("application/json", "[1,2"), `1`, CodeTruncated, "before the ]"},
		"array, no ] at a comma":  {FormArray, typed("application/json", "[1,2,"), `1 2`, CodeTruncated, "before the ]"},
		"array, cut":              {FormArray, broken("application/json", "[1,2,"), `1 2`, CodeTruncated, "cut after 2 events"},
		"array, cut behind its ]": {FormArray, broken("application/json", "[1,2]"), `1 2`, CodeTruncated, "cut after 2 events"},
		"array, short":            {FormArray, short("application/json", "[1,2]"), `1 2`, CodeTruncated, "cut after 2 events"},
		"array, nothing":          {FormArray, typed("application/json", ""), ``, CodeTruncated, "before the ]"},
		"array, wrong element":    {FormArray, typed("application/json", "[1,{a},3]"), `1`, CodeLine, "element 2 is no JSON text"},
		"array, glued":            {FormArray, typed("application/json", "[1[2],3]"), ``, CodeLine, "element 1 is no JSON text"},
		"array, no comma":         {FormArray, typed("application/json", `["1" "2"]`), `"1"`, CodeLine, "a comma or ] is due"},
		"array, comma at the end": {FormArray, typed("application/json", `[1,]`), `1`, CodeLine, "an element is due"},
		"array, two":              {FormArray, typed("application/json", `[1][2]`), `1`, CodeLine, "the array has ended"},
		"array, an object":        {FormArray, typed("application/json", `{"a":[1]}`), ``, CodeLine, "does not begin with ["},
		"array, closed too often": {FormArray, typed("application/json", `[}]`), ``, CodeLine, "element 1 is no JSON text"},

		"sequence":                {FormSequence, typed(jsonSeq, "\x1e{\"a\":\n1}\n\x1e2\n", "\x1e", "\x1e\"x\"", "\n"), "{\"a\":\n1} 2 \"x\"", "", ""},
		"sequence, cut texts":     {FormSequence, typed(jsonSeq, "\x1e{\"a\"\x1e12\x1etrue\n\x1e3\n"), `!1:{"a" !2:12 true 3`, "", ""},
		"sequence, an end in one": {FormSequence, typed(jsonSeq, "\x1e1\n\x1e2"), `1`, CodeTruncated, "in the middle of text 2"},
		"sequence, cut":           {FormSequence, broken(jsonSeq, "\x1e1\n\x1e2\n"), `1`, CodeTruncated, "cut after 1 events"},

		"any, lines":     {FormAny, typed(ndjson, "1\n2\n"), `1 2`, "", ""},
		"any, sequence":  {FormAny, typed(jsonSeq, "\x1e1\n"), `1`, "", ""},
		"any, array":     {FormAny, typed("application/json", " ", "[1]"), `1`, "", ""},
		"any, JSON":      {FormAny, typed("application/json", "{}\n{}\n"), `{} {}`, "", ""},
		"any, one value": {FormAny, typed("application/problem+json", `{"a":1}`), `{"a":1}`, "", ""},
		"any, nothing":   {FormAny, typed("application/json", ``), ``, "", ""},
		"any, text":      {FormAny, typed("text/plain", "1\n"), ``, CodeAnswer, "text/plain"},
		"lines as text":  {FormLines, typed("text/plain", "1\n"), `1`, "", ""},
		"any, unknown":   {FormAny, typed("image/png", ``), ``, CodeAnswer, "image/png"},

		"a poll of another": {FormPoll, typed("application/json", `{"events":[],"next":"7"}`), ``, CodeAnswer, "not that to a poll"},
		"compressed": {FormLines, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			typed(ndjson, "1\n")(w, r)
		}, ``, CodeAnswer, "compressed (gzip)"},
		"no form": {"xml", typed("text/xml", ""), ``, leat.CodeInvalidParameter, `"xml" is no form`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: []http.HandlerFunc{tc.answer}}
				data, err := got(t.Context(), newFakeServer(t, s), SubscribeOptions{Form: tc.form})
				if data != tc.want || leat.CodeOf(err) != tc.code || err != nil && !strings.Contains(err.Error(), tc.message) {
					t.Errorf("got %.200s, then %v (%s)\nwant %.200s, then %q (%s)", data, err, leat.CodeOf(err), tc.want, tc.message, tc.code)
				}
				if s.requests() > 1 {
					t.Errorf("%d requests", s.requests())
				}
			})
		})
	}
}

// The lines of a Leat server say where they are, so they are gone on with.
func TestLinesResume(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gap := `{"id":"0000000000000007_0000000000000005","gap":{"reason":"trimmed","asked":"x","next":"y","topics":[],"more":0}}` + "\n"
		end := `{"id":"0000000000000007_0000000000000009","end":{"topic":"a","state":"complete"}}` + "\n"
		s := &script{steps: []http.HandlerFunc{
			broken(ndjson, pos0+line(1)+line(2)[:20]),
			typed(ndjson, pos0+line(2)+"\n"+`{"id":"0000000000000007_0000000000000004"}`+"\n"+`{"retry":3000}`+"\n"),
			typed(ndjson, pos0+gap+line(8)[:len(line(8))-1]),
			typed(ndjson, pos0+end),
			status(204),
		}}
		var told notices
		data, err := got(t.Context(), newFakeServer(t, s), SubscribeOptions{Form: FormLines, Notify: told.add})
		want := strings.TrimSpace(line(1)) + " " + strings.TrimSpace(line(2)) + " gap:trimmed " + strings.TrimSpace(line(8)) + " end:complete"
		if err != nil || data != want {
			t.Errorf("got %s, %v", data, err)
		}
		for n, id := range []int{-1, 1, 4, 8, 9} {
			want := fmt.Sprintf("0000000000000007_%016d", id)
			if id < 0 {
				want = ""
			}
			if got := s.header(n, "Last-Event-ID"); got != want {
				t.Errorf("request %d went on after %q, want %q", n, got, want)
			}
			if got := s.header(n, "Accept"); !strings.HasPrefix(got, ndjson) {
				t.Errorf("request %d accepts %q", n, got)
			}
		}
		if gap := s.gap(1); gap < 3*time.Second {
			t.Errorf("came back after %v", gap)
		}
		if r := told.of(RetryChanged); len(r) != 1 || r[0].Delay != 3*time.Second {
			t.Errorf("notices %+v", r)
		}
	})
}

// A line of a Leat server has what its event has, and is an envelope.
func TestLineIsEnvelope(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeServer(t, &script{steps: []http.HandlerFunc{typed(ndjson, pos0+line(1)), status(204)}})
		for _, form := range []Form{FormLines, FormAny} {
			events, err := collect(t.Context(), f, SubscribeOptions{Form: form}, 1)
			if err != nil {
				t.Fatal(err)
			}
			env, err := events[0].Envelope()
			if err != nil || env.Topic != "a" || env.Type != "t" || events[0].Type != "t" || events[0].ID != env.ID || string(env.Data) != "1" {
				t.Errorf("%s: got %+v with %+v, %v", form, events[0], env, err)
			}
			f = newFakeServer(t, &script{steps: []http.HandlerFunc{typed(ndjson, pos0+line(1)), status(204)}})
		}
	})
}

// Polls follow one another, each from where the one before has ended.
func TestPolls(t *testing.T) {
	answer := func(next string, lines ...string) http.HandlerFunc {
		return typed("application/json", fmt.Sprintf(`{"events":[%s],"next":"0000000000000007_%s"}`, strings.ReplaceAll(strings.Join(lines, ","), "\n", ""), next))
	}
	for _, form := range []Form{FormPoll, FormAny} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{steps: []http.HandlerFunc{
				answer("0000000000000001"),
				func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(30 * time.Second)
					answer("0000000000000001")(w, r)
				},
				answer("0000000000000003", line(2), line(3)),
				broken("application/json", `{"events":[`+strings.TrimSpace(line(4))),
				answer("0000000000000004", line(4)),
				answer("0000000000000004"),
				status(204),
			}}
			var told notices
			data, err := got(t.Context(), newFakeServer(t, s), SubscribeOptions{Form: form, Notify: told.add})
			want := strings.Join(strings.Fields(line(2)+line(3)+line(4)), " ")
			if err != nil || data != want {
				t.Errorf("%s: got %s, %v", form, data, err)
			}
			for n, id := range []string{"", "1", "1", "3", "3", "4", "4"} {
				if got := s.header(n, "Last-Event-ID"); !strings.HasSuffix(got, id) || (got == "") != (id == "") {
					t.Errorf("%s: request %d went on after %q, want %q", form, n, got, id)
				}
			}
			for n, soon := range []bool{true, false, true, false, true, false} {
				gap := s.gap(n)
				if n == 1 {
					gap -= 30 * time.Second
					soon = true
				}
				if soon != (gap == 0) || gap > 3*time.Second {
					t.Errorf("%s: %v between requests %d and %d", form, gap, n, n+1)
				}
			}
			if w := told.of(Waiting); len(w) != 2 {
				t.Errorf("%s: notices %+v", form, w)
			}
			if c := told.of(Connected); len(c) != 2 {
				t.Errorf("%s: connected %d times", form, len(c))
			}
		})
	}
}

// Without Repeat a request that changes something is sent once.
func TestUnsafeRequestIsSentOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   string
		code   leat.Code
	}{
		"clean end":      {stream("data: 1\n\ndata: 2\n\n"), "1 2", ""},
		"cut":            {cut("data: 1\n\n"), "1", CodeTruncated},
		"cut at once":    {cut(""), "", CodeTruncated},
		"end in one":     {stream("data: 1\n\ndata: 2\n"), "1", CodeTruncated},
		"silence":        {hang("data: 1\n\n"), "1", CodeTruncated},
		"no answer":      {silent, "", leat.CodeUnavailable},
		"503":            {status(503, "Retry-After", "1"), "", leat.CodeUnavailable},
		"204":            {status(204), "", ""},
		"connection cut": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "", leat.CodeUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: []http.HandlerFunc{tc.answer, status(400)}}
				data, err := got(t.Context(), newFakeServer(t, s), SubscribeOptions{Method: "POST", Body: []byte("ask")})
				if data != tc.want || leat.CodeOf(err) != tc.code || s.requests() != 1 {
					t.Errorf("got %s, %v in %d requests", data, err, s.requests())
				}
			})
		})
	}
}

// A request that was never sent is not repeated when it is made again.
func TestUnsentRequestIsRepeated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{stream("data: 1\n\n")}}
		f := newFakeServer(t, s)
		f.setDown(errRefused)
		go func() { // ends by itself
			time.Sleep(time.Minute)
			f.setDown(nil)
		}()
		data, err := got(t.Context(), f, SubscribeOptions{Method: "POST"})
		if data != "1" || err != nil || s.requests() != 1 {
			t.Errorf("got %s, %v in %d requests", data, err, s.requests())
		}
	})
}

// What a language model's server sends: a POST, and a last event that says so.
func TestLast(t *testing.T) {
	done := func(e Event) bool { return string(e.Data) == "[DONE]" }
	for name, tc := range map[string]struct {
		answer http.HandlerFunc
		want   string
		code   leat.Code
	}{
		"with it":          {hang("data: 1\n\ndata: [DONE]\n\ndata: 2\n\n"), "1 [DONE]", ""},
		"without it":       {stream("data: 1\n\n"), "1", CodeTruncated},
		"cut before it":    {cut("data: 1\n\n"), "1", CodeTruncated},
		"cut, but with it": {cut("data: [DONE]\n\n"), "[DONE]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: []http.HandlerFunc{tc.answer}}
				data, err := got(t.Context(), newFakeServer(t, s), SubscribeOptions{Method: "POST", Body: []byte("{}"), Last: done})
				if data != tc.want || leat.CodeOf(err) != tc.code {
					t.Errorf("got %s, %v", data, err)
				}
			})
		})
	}
}

// Before anything has come, a safe request may be made again; and whenever its
// owner says that it may.
func TestRepeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{status(503), broken(ndjson), typed(ndjson, "1\n")}}
		data, err := got(t.Context(), newFakeServer(t, s), SubscribeOptions{Form: FormLines})
		if data != "1" || err != nil || s.requests() != 3 {
			t.Errorf("got %s, %v in %d requests", data, err, s.requests())
		}
		s = &script{steps: []http.HandlerFunc{typed(ndjson, "1\n"), broken(ndjson, "2\n"), typed(ndjson, "3\n4"), status(503), status(204)}}
		data, err = got(t.Context(), newFakeServer(t, s), SubscribeOptions{Form: FormLines, Repeat: true, Method: "POST", Body: []byte("ask")})
		if data != "1 2 3" || err != nil || s.requests() != 5 || s.body[4] != "ask" {
			t.Errorf("got %s, %v in %d requests", data, err, s.requests())
		}
	})
}

func TestTextTooLarge(t *testing.T) {
	for form, answer := range map[Form]string{
		FormLines:    "%s\n" + "%s\n",
		FormArray:    "[%s,%s]",
		FormSequence: "\x1e%s\n\x1e%s\n",
		FormPoll:     `{"events":[],"next":%s%s}`,
	} {
		for _, over := range []int{0, 1} {
			synctest.Test(t, func(t *testing.T) {
				largest := `"` + strings.Repeat("x", 9998) + `"` // 10,000 bytes
				limit := len(largest) - over
				if form == FormSequence {
					limit++ // its line feed is part of it
				}
				if form == FormPoll {
					limit = len(fmt.Sprintf(answer, largest, "")) - over
				}
				body := fmt.Sprintf(answer, largest, "1")
				if form == FormPoll {
					body = fmt.Sprintf(answer, largest, "")
				}
				s := &script{steps: []http.HandlerFunc{typed(mediaTypes[form][0], body)}}
				_, err := got(t.Context(), newFakeServer(t, s), SubscribeOptions{Form: form, MaxEventBytes: limit})
				tooLarge := leat.CodeOf(err) == leat.CodeTooLarge && strings.Contains(err.Error(), fmt.Sprintf("the limit of %d bytes", limit))
				if tooLarge != (over == 1) || s.requests() != 1 {
					t.Errorf("%s, %d over the limit: %v in %d requests", string(form), over, err, s.requests())
				}
			})
		}
	}
}

func TestFormsAndContext(t *testing.T) {
	for form, text := range map[Form]string{FormLines: "1\n2\n3\n", FormArray: "[1,2,3]", FormSequence: "\x1e1\n\x1e2\n\x1e3\n"} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			f := newFakeServer(t, typed(mediaTypes[form][0], text))
			n := 0
			for _, err := range Subscribe(ctx, anyURL, SubscribeOptions{HTTP: f.client, Form: form}) {
				if err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				n++
				cancel()
			}
			if n != 2 { // one, and the error
				t.Errorf("%s: %d pairs", form, n)
			}
		})
	}
}

func TestQueryForms(t *testing.T) {
	for form, want := range map[Form]string{
		"":         "envelope=1&topic=a",
		FormEvents: "envelope=1&topic=a",
		FormLines:  "topic=a",
		FormPoll:   "topic=a&wait=1m0s",
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{steps: []http.HandlerFunc{silent, status(204)}}
			f := newFakeServer(t, s)
			c := &Client{URL: "http://leat.test", HTTP: f.client}
			for _, err := range c.Subscribe(t.Context(), Query{Topics: []string{"a"}, Envelope: true, Wait: time.Minute}, SubscribeOptions{Form: form}) {
				t.Error(err)
			}
			stall := 45 * time.Second
			if form == FormPoll {
				stall = 75 * time.Second
			}
			if got := s.seen[0].URL.RawQuery; got != want || s.gap(0) < stall {
				t.Errorf("%q: asked for %s, again after %v", form, got, s.gap(0))
			}
		})
	}
}
