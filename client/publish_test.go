package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
)

// A fakeLog takes NDJSON of envelopes as docs/protocol.md says: each key is
// stored once, reading stops at the first wrong line, and what was stored
// before it stays.
type fakeLog struct {
	mu       sync.Mutex
	records  []string
	ids      map[string]string // by key
	requests int
	before   func(request int) http.HandlerFunc // answers instead, if not nil
	after    func(request int) http.HandlerFunc // answers after storing
	most     int                                // lines stored of a request, 0 for all
}

func (l *fakeLog) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
	if r.Method != "POST" || r.URL.Path != "/events" || r.Header.Get("Content-Type") != "application/x-ndjson" {
		http.Error(w, "wrong request", 400)
		return
	}
	if l.before != nil {
		if h := l.before(l.requests); h != nil {
			h(w, r)
			return
		}
	}
	answer := map[string]any{}
	count, duplicates := 0, 0
	dec := json.NewDecoder(r.Body)
	dec.DisallowUnknownFields()
	for {
		var line struct {
			Topic, Type, Key, Encoding string
			Data                       json.RawMessage
		}
		err := dec.Decode(&line)
		if err == io.EOF {
			break
		}
		if err != nil || string(line.Data) == `"bad"` || l.most > 0 && count == l.most {
			status, code := 400, "invalid_body"
			if l.most > 0 && count == l.most {
				status, code = 503, "unavailable"
			}
			problem(status, fmt.Sprintf(`{"status":%d,"code":%q,"detail":"line %d is wrong","line":%d,"count":%d,"last":%q}`, status, code, count+1, count+1, count, l.last()))(w, r)
			return
		}
		count++
		if _, ok := l.ids[line.Key]; ok {
			duplicates++
			continue
		}
		l.records = append(l.records, strings.TrimSpace(fmt.Sprintf("%s %s %s %s", line.Topic, line.Type, line.Data, line.Encoding)))
		if l.ids == nil {
			l.ids = map[string]string{}
		}
		l.ids[line.Key] = l.last()
	}
	if l.after != nil {
		if h := l.after(l.requests); h != nil {
			h(w, r)
			return
		}
	}
	answer["count"], answer["last"] = count, l.last()
	if duplicates > 0 {
		answer["duplicates"] = duplicates
	}
	json.NewEncoder(w).Encode(answer)
}

func (l *fakeLog) last() string { return fmt.Sprintf("0_%d", len(l.records)) }

func (l *fakeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.records, "\n")
}

func newClient(t *testing.T, h http.Handler) (*Client, *fakeServer) {
	f := newFakeServer(t, h)
	return &Client{URL: "http://leat.test", HTTP: f.client}, f
}

func numbered(n int) []Message {
	messages := make([]Message, n)
	for i := range messages {
		messages[i] = Text("t", fmt.Sprint(i+1))
	}
	return messages
}

func TestPublishForms(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log fakeLog
		c, _ := newClient(t, &log)
		object, err := JSON("j", map[string]any{"tag": "<b>&\u2028", "n": json.Number("1.00")})
		if err != nil {
			t.Fatal(err)
		}
		receipt, err := c.Publish(t.Context(),
			Text("a/b", "x\r\n\"<é\x01"),
			object,
			Message{Topic: "j", Kind: leat.KindJSON, Data: []byte(" [1e400, 12345678901234567890.10,\n {\"a\":1,\"a\":2}] ")},
			Message{Topic: "bin", Data: []byte{0, 0xff}, Type: "ty"},
			Message{Topic: "bin"},
			Message{Topic: "a/b", Kind: leat.KindText, Key: "mine"},
		)
		want := Receipt{Count: 6, Last: "0_6"}
		if err != nil || receipt != want {
			t.Errorf("got %+v, %v", receipt, err)
		}
		wantLog := `a/b  "x\r\n\"<é\u0001"
j  {"n":1.00,"tag":"\u003cb\u003e\u0026\u2028"}
j  [1e400,12345678901234567890.10,{"a":1,"a":2}]
bin ty "AP8=" base64
bin  "" base64
a/b  ""`
		if got := log.String(); got != wantLog {
			t.Errorf("got\n%s\nwant\n%s", got, wantLog)
		}
		if log.ids["mine"] == "" || len(log.ids) != 6 {
			t.Errorf("keys %v", log.ids)
		}
	})
}

// What cannot be sent as it is is refused before anything is sent.
func TestPublishRefusesHere(t *testing.T) {
	for _, tc := range []struct {
		message Message
		code    leat.Code
	}{
		{Text("", "x"), leat.CodeInvalidName},
		{Text("a/*", "x"), leat.CodeInvalidName},
		{Text("a", "\xff"), leat.CodeInvalidBody},
		{Message{Topic: "a", Kind: leat.KindJSON, Data: []byte("{")}, leat.CodeInvalidBody},
		{Message{Topic: "a", Kind: leat.KindJSON, Data: []byte("1 2")}, leat.CodeInvalidBody},
		{Message{Topic: "a", Kind: leat.KindJSON}, leat.CodeInvalidBody},
		{Message{Topic: "a", Kind: leat.KindJSON, Data: []byte("\"\xff\"")}, leat.CodeInvalidBody},
		{Message{Topic: "a", Type: "\xff"}, leat.CodeInvalidType},
		{Message{Topic: "a", Key: "\xff"}, leat.CodeInvalidKey},
	} {
		_, err := new(Client).Publish(t.Context(), Text("ok", "x"), tc.message)
		e := leat.AsError(err)
		if leat.CodeOf(err) != tc.code || e.Fields["line"] != 2 || !strings.HasPrefix(e.Detail, "record 2: ") {
			t.Errorf("%+v: got %v with %v", tc.message, err, e)
		}
	}
	if _, err := JSON("a", make(chan int)); leat.CodeOf(err) != leat.CodeInvalidBody {
		t.Errorf("got %v", err)
	}
	if _, err := (&Client{URL: "nowhere"}).Publish(t.Context(), Text("a", "x")); leat.CodeOf(err) != leat.CodeInvalidParameter {
		t.Errorf("got %v", err)
	}
}

func TestPublishNothing(t *testing.T) {
	if receipt, err := new(Client).Publish(t.Context()); err != nil || receipt != (Receipt{}) {
		t.Errorf("got %+v, %v", receipt, err)
	}
}

// Whatever happens between the storing and the answer, a record is stored
// once.
func TestPublishLostAnswer(t *testing.T) {
	lost := func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }
	half := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, `{"count":3,`)
		panic(http.ErrAbortHandler)
	}
	for name, answer := range map[string]http.HandlerFunc{
		"cut": lost, "cut in the answer": half, "502": status(502), "504": status(504), "408": status(408), "429": status(429),
		"conflict": problem(409, `{"code":"conflict","detail":"busy"}`),
		"silence":  silent,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := fakeLog{after: func(request int) http.HandlerFunc {
					if request <= 2 {
						return answer
					}
					return nil
				}}
				c, _ := newClient(t, &log)
				receipt, err := c.Publish(t.Context(), numbered(3)...)
				if want := (Receipt{Count: 3, Duplicates: 3, Last: "0_3"}); err != nil || receipt != want {
					t.Errorf("got %+v, %v", receipt, err)
				}
				if len(log.records) != 3 || log.requests != 3 {
					t.Errorf("stored %q in %d requests", log.records, log.requests)
				}
			})
		})
	}
}

func TestPublishRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := fakeLog{before: func(request int) http.HandlerFunc {
			if request == 1 {
				return status(503, "Retry-After", "20")
			}
			return nil
		}}
		c, _ := newClient(t, &log)
		began := time.Now()
		if _, err := c.Publish(t.Context(), numbered(1)...); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took < 20*time.Second || took > 30*time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// After a refusal in the middle only the rest is sent again.
func TestPublishGoesOnInTheMiddle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := fakeLog{most: 4}
		c, _ := newClient(t, &log)
		receipt, err := c.Publish(t.Context(), numbered(10)...)
		if want := (Receipt{Count: 10, Last: "0_10"}); err != nil || receipt != want || log.requests != 3 {
			t.Errorf("got %+v, %v in %d requests", receipt, err, log.requests)
		}
	})
}

func TestPublishRefusedLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log fakeLog
		c, _ := newClient(t, &log)
		messages := numbered(5)
		messages[2] = Text("t", "bad")
		receipt, err := c.Publish(t.Context(), messages...)
		e := leat.AsError(err)
		if leat.CodeOf(err) != leat.CodeInvalidBody || e.Fields["line"] != 3 || e.Fields["status"] != 400 || e.Detail != "record 3: 400 Bad Request: line 3 is wrong" {
			t.Errorf("got %v with %v", err, e.Fields)
		}
		if want := (Receipt{Count: 2, Last: "0_2"}); receipt != want || log.requests != 1 {
			t.Errorf("got %+v after %d requests", receipt, log.requests)
		}
	})
}

// The number of a refused line counts what an earlier attempt has stored.
func TestPublishRefusedAfterRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := fakeLog{most: 4}
		c, _ := newClient(t, &log)
		messages := numbered(10)
		messages[8] = Text("t", "bad")
		log.before = func(request int) http.HandlerFunc {
			if request == 3 {
				log.most = 0
			}
			return nil
		}
		receipt, err := c.Publish(t.Context(), messages...)
		if leat.AsError(err).Fields["line"] != 9 || receipt.Count != 8 || log.requests != 3 {
			t.Errorf("got %+v, %v in %d requests", receipt, err, log.requests)
		}
	})
}

// Only a conflict with other writers is worth another attempt.
func TestPublishWrongType(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{steps: []http.HandlerFunc{problem(409, `{"code":"content_type_mismatch","detail":"it is text","line":1,"count":0,"ratio":0.5}`)}}
		c, _ := newClient(t, s)
		_, err := c.Publish(t.Context(), numbered(2)...)
		e := leat.AsError(err)
		if e.Code != leat.CodeTypeMismatch || e.Detail != "record 1: 409 Conflict: it is text" || e.Fields["ratio"] != 0.5 || len(s.seen) != 1 {
			t.Errorf("got %v after %d requests", err, len(s.seen))
		}
	})
}

// Another program that says 200 has not stored anything.
func TestPublishStrangeAnswers(t *testing.T) {
	for _, body := range []string{"", "ok", "{}", `{"count":2}`, `{"count":"1"}`, "<html>"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) }))
		_, err := (&Client{URL: server.URL}).Publish(t.Context(), numbered(1)...)
		if leat.CodeOf(err) != CodeAnswer {
			t.Errorf("%q: got %v", body, err)
		}
		server.Close()
	}
}

// The end of the context is told with the last reason for trying again.
func TestPublishContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, f := newClient(t, new(fakeLog))
		f.setDown(errRefused)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := c.Publish(ctx, numbered(1)...)
		if !errors.Is(err, context.DeadlineExceeded) || leat.CodeOf(err) != leat.CodeUnavailable || !strings.Contains(err.Error(), "no server at http://leat.test") {
			t.Errorf("got %v", err)
		}
		if n := len(f.dials); n < 6 || n > 40 {
			t.Errorf("%d attempts in a minute", n)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, _ := newClient(t, http.HandlerFunc(silent))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Publish(ctx, numbered(1)...); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
	})
}

func TestPublishPrepare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newClient(t, new(fakeLog))
		c.Prepare = func(*http.Request) error { return errBroken }
		if _, err := c.Publish(t.Context(), numbered(1)...); err != errBroken {
			t.Errorf("got %v", err)
		}
	})
}
