package server_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/server"
)

const (
	jsonType   = "application/json"
	formType   = "application/x-www-form-urlencoded"
	ndjsonType = "application/x-ndjson"
)

// Every way to say one record, and what a reader sees of it as an event and as
// an envelope.
func TestPublishForms(t *testing.T) {
	for _, test := range []struct {
		name, query, contentType, body string
		topic, typ, data               string
		envelope                       string // without id, topic and time
	}{
		{"text", "topic=t", "text/plain", "hello", "t", "", "hello", `{"data":"hello"}`},
		{"text with a charset", "topic=t", "text/plain; charset=UTF-8", "naïve", "t", "", "naïve", `{"data":"naïve"}`},
		{"what curl -d sends", "topic=t", formType, "a=b&c=d", "t", "", "a=b&c=d", `{"data":"a=b&c=d"}`},
		{"json", "topic=t", jsonType, " {\"n\": 1.0,\n \"n\": 2e400} ", "t", "", `{"n":1.0,"n":2e400}`, `{"data":{"n":1.0,"n":2e400}}`},
		{"a type of its own", "topic=t&type=price", "application/vnd.x+json", `[1]`, "t", "price", `[1]`, `{"type":"price","data":[1]}`},
		{"binary", "topic=t", "image/png", "\x00\xff", "t", "", "AP8=", `{"data":"AP8=","encoding":"base64"}`},
		{"without a content type", "topic=t", "", "\x00", "t", "", "AA==", `{"data":"AA==","encoding":"base64"}`},
		{"empty", "topic=t", "text/plain", "", "t", "", "", `{"data":""}`},
		{"a key", "topic=t&key=k1", "text/plain", "x", "t", "", "x", `{"key":"k1","data":"x"}`},
		{"form", "", formType, "topic=t&data=hello+you&type=greeting&key=k", "t", "greeting", "hello you", `{"type":"greeting","key":"k","data":"hello you"}`},
		{"envelope of a string", "", jsonType, `{"topic":"t","data":"a\u0000b"}`, "t", "", "a\x00b", `{"data":"a\u0000b"}`},
		{"envelope of a value", "", jsonType, `{"topic":"t","type":"x","data":{"a": [1, 2]}}`, "t", "x", `{"a":[1,2]}`, `{"type":"x","data":{"a":[1,2]}}`},
		{"envelope of bytes", "", jsonType, `{"topic":"t","data":"AP8=","encoding":"base64"}`, "t", "", "AP8=", `{"data":"AP8=","encoding":"base64"}`},
		{"envelope that was read", "", jsonType, `{"id":"1_1","topic":"t","time":"2026-01-01T00:00:00Z","data":null}`, "t", "", "null", `{"data":null}`},
		{"names are decoded once", "topic=a%2Fb%2525+c", "text/plain", "x", "a/b%25 c", "", "x", `{"data":"x"}`},
		{"lines and carriage returns", "topic=t", "text/plain", "a\r\nb\rc\n\n d", "t", "", "a\nb\nc\n\n d", `{"data":"a\r\nb\rc\n\n d"}`},
		{"a payload that forges an event", "topic=t", "text/plain", "x\r\rdata: forged\n\nid: 9\n", "t", "", "x\n\ndata: forged\n\nid: 9\n", `{"data":"x\r\rdata: forged\n\nid: 9\n"}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
				plain, wrapped := s.subscribe("topic=**"), s.subscribe("topic=**&envelope=1")
				plain.next()
				wrapped.next()
				var fields []string
				if test.contentType != "" {
					fields = []string{"Content-Type", test.contentType}
				}
				resp := s.do("POST", "/events?"+test.query, test.body, fields...)
				a := s.read(resp)
				if resp.StatusCode != 200 || a["topic"] != test.topic || len(a) != 2 {
					t.Fatalf("status %d, %v", resp.StatusCode, a)
				}
				ev := plain.next()
				if ev.ID != a["id"] || ev.Type != test.typ || string(ev.Data) != test.data {
					t.Errorf("event %q %q %q, want %q %q %q", ev.ID, ev.Type, ev.Data, a["id"], test.typ, test.data)
				}
				ev = wrapped.next()
				if ev.ID != a["id"] || ev.Type != "" {
					t.Errorf("event with an envelope: id %q, type %q", ev.ID, ev.Type)
				}
				checkEnvelope(t, ev.Data, a["id"].(string), test.topic, test.envelope)
			})
		})
	}
}

// checkEnvelope compares an envelope with its id and topic, and the JSON text
// of all else but its time.
func checkEnvelope(t *testing.T, got []byte, id, topic, want string) {
	t.Helper()
	var members map[string]json.RawMessage
	if err := json.Unmarshal(got, &members); err != nil {
		t.Fatalf("%q: %v", got, err)
	}
	var when time.Time
	if err := json.Unmarshal(members["time"], &when); err != nil || time.Since(when).Abs() > time.Minute {
		t.Errorf("time %s: %v", members["time"], err)
	}
	var wanted map[string]json.RawMessage
	if err := json.Unmarshal([]byte(want), &wanted); err != nil {
		t.Fatal(err)
	}
	delete(members, "time")
	wanted["id"], _ = json.Marshal(id)
	wanted["topic"], _ = json.Marshal(topic)
	for name, text := range wanted {
		if string(members[name]) != string(text) {
			t.Errorf("member %s is %s, want %s", name, members[name], text)
		}
		delete(members, name)
	}
	if len(members) > 0 {
		t.Errorf("the envelope %q has other members", got)
	}
}

// Bad input gets a problem document with a stable code, and nothing is stored.
func TestPublishRefusals(t *testing.T) {
	const max = 1000
	overProtocols(t, server.Options{MaxRecord: max}, func(t *testing.T, s *service) {
		s.publish("text", "x")
		s.do("POST", "/events?topic=json", "1", "Content-Type", jsonType)
		head := s.st.Head()
		for _, test := range []struct {
			name, query, contentType, body string
			status                         int
			code                           string
		}{
			{"no topic", "", "text/plain", "x", 400, "no_topic"},
			{"an empty topic", "topic=", "text/plain", "x", 400, "invalid_name"},
			{"a dot segment", "topic=a/../b", "text/plain", "x", 400, "invalid_name"},
			{"an empty segment", "topic=a//b", "text/plain", "x", 400, "invalid_name"},
			{"a pattern", "topic=a/*", "text/plain", "x", 400, "invalid_name"},
			{"a reserved name", "topic=__x", "text/plain", "x", 400, "invalid_name"},
			{"a control character", "topic=a%0Ab", "text/plain", "x", 400, "invalid_name"},
			{"invalid UTF-8 in the name", "topic=%ff", "text/plain", "x", 400, "invalid_name"},
			{"a name too long", "topic=" + strings.Repeat("n", 513), "text/plain", "x", 400, "invalid_name"},
			{"a query that cannot be decoded", "topic=%zz", "text/plain", "x", 400, "invalid_parameter"},
			{"two topics", "topic=a&topic=b", "text/plain", "x", 400, "invalid_parameter"},
			{"a type of ours", "topic=a&type=leat.end", "text/plain", "x", 400, "invalid_type"},
			{"a line end in the type", "topic=a&type=a%0Aid:9", "text/plain", "x", 400, "invalid_type"},
			{"a type too long", "topic=a&type=" + strings.Repeat("t", 257), "text/plain", "x", 400, "invalid_type"},
			{"a NUL in the key", "topic=a&key=%00", "text/plain", "x", 400, "invalid_key"},
			{"a key too long", "topic=a&key=" + strings.Repeat("k", 257), "text/plain", "x", 400, "invalid_key"},
			{"another content type", "topic=json", "text/plain", "1", 409, "content_type_mismatch"},
			{"JSON that is not", "topic=json", jsonType, `{"a":}`, 400, "invalid_body"},
			{"two JSON texts", "topic=json", jsonType, `1 2`, 400, "invalid_body"},
			{"no JSON text", "topic=json", jsonType, ``, 400, "invalid_body"},
			{"invalid UTF-8 in JSON", "topic=json", jsonType, "\"\xff\"", 400, "invalid_body"},
			{"invalid UTF-8 in text", "topic=text", "text/plain", "\xff", 400, "invalid_body"},
			{"a foreign charset", "topic=text", "text/plain; charset=latin1", "x", 415, "unsupported_media_type"},
			{"not a content type", "topic=new", "no type", "x", 415, "unsupported_media_type"},
			{"a record over the limit", "topic=text", "text/plain", strings.Repeat("x", max+1), 413, "too_large"},
			{"an envelope that is not", "", jsonType, `[]`, 400, "invalid_body"},
			{"an unknown member", "", jsonType, `{"topic":"text","daat":1}`, 400, "invalid_body"},
			{"an envelope without data", "", jsonType, `{"topic":"text"}`, 400, "invalid_body"},
			{"a value for a text topic", "", jsonType, `{"topic":"text","data":1}`, 409, "content_type_mismatch"},
			{"bytes for a text topic", "", jsonType, `{"topic":"text","data":"AA==","encoding":"base64"}`, 409, "content_type_mismatch"},
			{"a form without data", "", formType, `topic=text`, 400, "invalid_body"},
			{"a multipart form", "", "multipart/form-data; boundary=x", "--x--", 400, "no_topic"},
		} {
			resp := s.do("POST", "/events?"+test.query, test.body, "Content-Type", test.contentType)
			a := s.read(resp)
			if resp.StatusCode != test.status || a["code"] != test.code || a["status"] != float64(test.status) {
				t.Errorf("%s: status %d, %v; want %d %s", test.name, resp.StatusCode, a, test.status, test.code)
			}
			if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
				t.Errorf("%s: Content-Type %q", test.name, ct)
			}
			if a["detail"] == "" || a["advice"] == nil {
				t.Errorf("%s: no detail or no advice: %v", test.name, a)
			}
		}
		if now := s.st.Head(); now != head {
			t.Errorf("the log went from %d to %d", head, now)
		}
		// The limits themselves pass.
		s.publish("text", strings.Repeat("x", max), "type="+strings.Repeat("t", 256), "key="+strings.Repeat("k", 256))
		s.publish(strings.Repeat("n", 512), "x")
	})
}

// "The answer is that of the first one, with "duplicate":true."
func TestKeys(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		first := s.publish("a", "x", "key=k")
		a := s.read(s.do("POST", "/events?topic=a&key=k", "x", "Content-Type", "text/plain"))
		if a["id"] != first || a["duplicate"] != true {
			t.Errorf("the second publish of a key: %v, the first was %s", a, first)
		}
		if other := s.publish("b", "x", "key=k"); other == first {
			t.Error("keys of different topics are the same")
		}
		lines := s.read(s.do("POST", "/events", `{"topic":"a","key":"k","data":"x"}`+"\n"+`{"topic":"a","key":"k2","data":"x"}`, "Content-Type", ndjsonType))
		if lines["count"] != 2.0 || lines["duplicates"] != 1.0 {
			t.Errorf("lines: %v", lines)
		}
		r := s.subscribe("topic=a&from=start&envelope=1")
		r.next()
		for _, key := range []string{"k", "k2"} {
			if ev := r.next(); !strings.Contains(string(ev.Data), `"key":"`+key+`"`) {
				t.Errorf("stored: %s, want key %s", ev.Data, key)
			}
		}
	})
}

// "Each line becomes visible to readers without waiting for the next."
func TestLinesArriveOneByOne(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		r := s.subscribe("topic=log/**")
		r.next()
		upload, answered := s.upload()
		last := ""
		for i := range 20 {
			line := fmt.Sprintf(`{"topic":"log/%d","data":"line %d"}`, i%3, i)
			if i%2 == 0 {
				line += "\r"
			}
			fmt.Fprint(upload, line, "\n", strings.Repeat("\n", i%2))
			ev := r.next()
			if string(ev.Data) != fmt.Sprintf("line %d", i) {
				t.Fatalf("got %q", ev.Data)
			}
			last = ev.ID
		}
		upload.Close()
		if a := <-answered; a["count"] != 20.0 || a["last"] != last {
			t.Errorf("answer %v, want 20 and %s", a, last)
		}
	})
}

// "If line 3 is wrong, lines 1 and 2 are stored, reading stops, and the problem
// document has "line":3,"count":2"
func TestLinesStopAtTheFirstError(t *testing.T) {
	for name, bad := range map[string]string{
		"not JSON":               `{"topic":"a"`,
		"a bad topic":            `{"topic":"a//b","data":"x"}`,
		"not for this topic":     `{"topic":"a","data":7}`,
		"a type that is ours":    `{"topic":"a","type":"leat.gap","data":"x"}`,
		"too large for a record": `{"topic":"a","data":"` + strings.Repeat("x", 1001) + `"}`,
	} {
		t.Run(name, func(t *testing.T) {
			overProtocols(t, server.Options{MaxRecord: 1000}, func(t *testing.T, s *service) {
				good := `{"topic":"a","data":"x"}`
				resp := s.do("POST", "/events", strings.Join([]string{good, good, bad, good}, "\n"), "Content-Type", ndjsonType)
				a := s.read(resp)
				if resp.StatusCode < 400 || a["line"] != 3.0 || a["count"] != 2.0 {
					t.Errorf("status %d, %v", resp.StatusCode, a)
				}
				info, err := s.st.Stream(t.Context(), "a")
				if err != nil || info.Records != 2 || s.st.Epochs().Offset(info.Last).String() != a["last"] {
					t.Errorf("stored %d records, the last at %d: %v; answered %v", info.Records, info.Last, err, a["last"])
				}
			})
		})
	}
}

// A body that stops half-way stores nothing of the record, or of the line, in
// which it stopped.
func TestBodyCutOff(t *testing.T) {
	s := start(t, server.Options{Store: memory(t)}, protocols["HTTP/1.1"])
	for _, request := range []string{
		"POST /events?topic=a HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\nhalf",
		"POST /events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n" +
			"1b\r\n{\"topic\":\"b\",\"data\":\"one\"}\n" + "\r\n19\r\n{\"topic\":\"b\",\"data\":\"two\"\r\n",
	} {
		c, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(c, request)
		c.(*net.TCPConn).CloseWrite()
		resp, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Fatal(err)
		}
		if a := s.read(resp); resp.StatusCode != 400 || a["code"] != "invalid_body" {
			t.Errorf("status %d, %v", resp.StatusCode, a)
		}
		c.Close()
	}
	for name, want := range map[string]int64{"a": 0, "b": 1} {
		if info, err := s.st.Stream(t.Context(), name); err != nil || info.Records != want {
			t.Errorf("%s has %d records, want %d: %v", name, info.Records, want, err)
		}
	}
}

// A body slower than the deadline gets 408; between lines there is no deadline.
func TestBodyTooSlow(t *testing.T) {
	const limit = 100 * time.Millisecond
	overProtocols(t, server.Options{BodyTimeout: limit}, func(t *testing.T, s *service) {
		r := s.subscribe("topic=**")
		r.next()
		send := func(contentType, query string, pieces ...string) answer {
			body, upload := io.Pipe()
			go func() {
				for i, p := range pieces {
					if i > 0 {
						<-time.After(3 * limit) // the server's clock is the real one
					}
					if _, err := io.WriteString(upload, p); err != nil {
						return
					}
				}
				upload.Close()
			}()
			req, _ := http.NewRequestWithContext(t.Context(), "POST", s.url+"/events?"+query, body)
			req.Header.Set("Content-Type", contentType)
			resp, err := s.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			return s.read(resp)
		}
		if a := send("text/plain", "topic=a", "ha", "lf"); a["code"] != "body_timeout" {
			t.Errorf("a slow record: %v", a)
		}
		line := `{"topic":"a","data":"x"}` + "\n"
		if a := send(ndjsonType, "", line, line, line); a["count"] != 3.0 {
			t.Errorf("slow lines: %v", a)
		}
		if a := send(ndjsonType, "", line+line[:5], line[5:]); a["code"] != "body_timeout" || a["count"] != 1.0 {
			t.Errorf("a slow line: %v", a)
		}
	})
}
