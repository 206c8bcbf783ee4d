package server_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/server"
)

// wantError checks an error in the form that subscriptions have for them.
func (f fetched) wantError(t *testing.T, what string, status int, code string) {
	t.Helper()
	var doc struct {
		Error struct{ Code, Message string } `json:"error"`
	}
	err := json.Unmarshal([]byte(f.body), &doc)
	if err != nil || f.status != status || doc.Error.Code != code || doc.Error.Message == "" || f.header.Get("Content-Type") != "application/json" {
		t.Errorf("%s: status %d, %q, %v; want %d %s", what, f.status, f.body, err, status, code)
	}
}

// A hook is what a receiver was sent.
type hook struct {
	body      map[string]any
	signature string
}

// receiver runs one, which answers with nothing.
func receiver(t *testing.T) (url string, hooks <-chan hook) {
	got := make(chan hook, 100)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var doc map[string]any
		mustDecode(string(body), &doc)
		got <- hook{doc, r.Header.Get("Webhook-Signature")}
	}))
	t.Cleanup(s.Close)
	return s.URL, got
}

func (h hook) report(t *testing.T, done bool, offset string) string {
	t.Helper()
	streams := h.body["streams"].([]any)
	ack := map[string]any{"stream": streams[0].(map[string]any)["path"], "offset": offset}
	text, err := json.Marshal(map[string]any{"wake_id": h.body["wake_id"], "generation": h.body["generation"], "acks": []any{ack}, "done": done})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// A webhook names the URLs that the client used, in either place of streams.
func TestSubscriptions(t *testing.T) {
	to, hooks := receiver(t)
	overProtocols(t, server.Options{Subscriptions: true}, func(t *testing.T, s *service) {
		for _, root := range []string{"/streams/", "/v1/stream/"} {
			sub := root + "__ds/subscriptions/a%20b" + strings.Trim(strings.ReplaceAll(root, "/", "-"), "-")
			document := `{"type":"webhook","pattern":"` + strings.Trim(root, "/") + `/**","webhook":{"url":"` + to + `"},"lease_ttl_ms":60000}`
			f := s.fetch("PUT", sub, document, "Content-Type", "application/json")
			f.want(t, "PUT", 201, `"jwks_url":"`+s.url+root+`__ds/jwks.json"`)
			s.fetch("PUT", sub, document).want(t, "PUT again", 200, `"lease_ttl_ms":60000`)
			name := strings.Trim(root, "/") + "/x"
			end := s.make(name, "application/json", `{"n":1}`).header.Get("Stream-Next-Offset")
			var h hook
			select {
			case h = <-hooks:
			case <-time.After(30 * time.Second):
				t.Fatal("no webhook came")
			}
			callback := s.url + sub + "/callback"
			if h.body["callback_url"] != callback || !strings.HasPrefix(h.signature, "t=") {
				t.Errorf("the webhook is %+v, want a callback to %s", h, callback)
			}
			bearer := []string{"Authorization", "Bearer " + h.body["callback_token"].(string)}
			s.fetch("POST", sub+"/callback", h.report(t, true, end)).wantError(t, "without a token", 401, "TOKEN_INVALID")
			s.fetch("POST", sub+"/callback", h.report(t, true, end), "Authorization", "Bearer x").wantError(t, "with another token", 401, "TOKEN_INVALID")
			s.fetch("POST", sub+"/ack", h.report(t, true, end), bearer...).wantError(t, "ack of a webhook", 400, "INVALID_REQUEST")
			s.fetch("POST", sub+"/callback", h.report(t, true, "9"), bearer...).wantError(t, "no offset", 409, "INVALID_OFFSET")
			if f := s.fetch("POST", sub+"/callback", h.report(t, true, end), bearer...); f.status != 200 || f.body != `{"ok":true,"next_wake":false}`+"\n" {
				t.Errorf("the last report: %d, %q", f.status, f.body)
			}
			s.fetch("POST", sub+"/callback", h.report(t, true, end), bearer...).wantError(t, "the last report again", 409, "FENCED")
			s.fetch("GET", sub, "").want(t, "GET", 200, `"streams":[{"path":"`+name+`","link_type":"glob","acked_offset":"`+end+`"}]`)
			s.fetch("DELETE", sub, "").want(t, "DELETE", 204, "")
			s.fetch("DELETE", sub, "").want(t, "DELETE again", 204, "")
			s.fetch("GET", sub, "").wantError(t, "GET of none", 404, "SUBSCRIPTION_NOT_FOUND")
			f = s.fetch("GET", root+"__ds/jwks.json", "")
			f.want(t, "keys", 200, `"crv":"Ed25519"`)
			if f.header.Get("Content-Type") != "application/jwk-set+json" || f.header.Get("Cache-Control") != "public, max-age=300" || strings.Contains(f.body, `"d"`) {
				t.Errorf("the keys come with %v, %s", f.header, f.body)
			}
		}
	})
}

func TestSubscriptionErrors(t *testing.T) {
	s := start(t, server.Options{Store: memory(t), Subscriptions: true, MaxSubscriptions: 1}, protocols["HTTP/1.1"])
	const sub = "/streams/__ds/subscriptions/s"
	for what, test := range map[string]struct {
		body, code string
	}{
		"no JSON":             {`{"type":`, "INVALID_REQUEST"},
		"no object":           {`[]`, "INVALID_REQUEST"},
		"nothing":             {``, "INVALID_REQUEST"},
		"a lease of nothing":  {`{"type":"pull-wake","pattern":"a","wake_stream":"w","lease_ttl_ms":0}`, "INVALID_REQUEST"},
		"a lease for ever":    {`{"type":"pull-wake","pattern":"a","wake_stream":"w","lease_ttl_ms":9223372036854775807}`, "INVALID_REQUEST"},
		"a broken lease":      {`{"type":"pull-wake","pattern":"a","wake_stream":"w","lease_ttl_ms":1000.5}`, "INVALID_REQUEST"},
		"a pattern of halves": {`{"type":"pull-wake","pattern":"a*","wake_stream":"w"}`, "INVALID_REQUEST"},
		"an inner address":    {`{"type":"webhook","pattern":"a","webhook":{"url":"http://10.0.0.1/"}}`, "WEBHOOK_URL_REJECTED"},
	} {
		s.fetch("PUT", sub, test.body).wantError(t, what, 400, test.code)
	}
	s.fetch("PUT", sub, strings.Repeat(" ", 1<<20)+"{}").wantError(t, "a body that is too large", 413, "TOO_LARGE")
	s.make("w", "application/json", "[]")
	const document = `{"type":"pull-wake","pattern":"a","wake_stream":"w","description":"`
	s.fetch("PUT", sub, document+`one"}`).want(t, "PUT", 201, `"status":"active"`)
	s.fetch("PUT", sub, document+`two"}`).wantError(t, "another of the name", 409, "SUBSCRIPTION_ALREADY_EXISTS")
	s.fetch("PUT", sub+"2", document+`two"}`).wantError(t, "one more", 429, "SUBSCRIPTION_LIMIT")
	s.fetch("POST", sub+"/claim", `{"worker":"one"}`).wantError(t, "a claim of nothing", 409, "NO_PENDING_WORK")
	s.fetch("POST", sub+"/claim", `{}`).wantError(t, "a claim of nobody", 400, "INVALID_REQUEST")
	s.fetch("POST", sub+"2/claim", `{"worker":"one"}`).wantError(t, "a claim of none", 404, "SUBSCRIPTION_NOT_FOUND")
	s.make("a", "application/json", "1")
	s.fetch("POST", sub+"/claim", `{"worker":"one"}`).want(t, "a claim", 200, `"lease_ttl_ms":30000`)
	f := s.fetch("POST", sub+"/claim", `{"worker":"two"}`)
	f.wantError(t, "a second claim", 409, "ALREADY_CLAIMED")
	if !strings.Contains(f.body, `"current_holder":"one"`) || !strings.Contains(f.body, `"generation":1`) {
		t.Errorf("a second claim: %s", f.body)
	}
	for _, path := range []string{"", "x", "subscriptions", "subscriptions/", "subscriptions/s/x", "subscriptions/s/streams/", "subscriptions/s/claim/x"} {
		s.fetch("GET", "/streams/__ds/"+path, "").wantError(t, path, 404, "SUBSCRIPTION_NOT_FOUND")
	}
	for path, allow := range map[string]string{"": "DELETE, GET, HEAD, PUT", "/streams": "POST", "/streams/a/b": "DELETE", "/callback": "POST", "/release": "POST"} {
		method := "PUT"
		if path == "" {
			method = "POST"
		}
		f := s.fetch(method, sub+path, "")
		if got := f.header.Get("Allow"); got != allow {
			t.Errorf("%s %s allows %q, want %q", method, path, got, allow)
		}
		f.wantError(t, path, 405, "METHOD_NOT_ALLOWED")
	}
}

// What subscriptions are kept in can be neither named, listed nor read, and least of all
// the key; and without the option there is nothing at their place.
func TestSubscriptionsAreHidden(t *testing.T) {
	st := memory(t)
	s := start(t, server.Options{Store: st, Subscriptions: true}, protocols["HTTP/1.1"])
	s.fetch("PUT", "/streams/__ds/subscriptions/s", `{"type":"pull-wake","streams":["a"],"wake_stream":"w"}`).want(t, "PUT", 201, "")
	s.make("w", "application/json", "[]")
	r := s.subscribe("topic=**&from=start")
	s.make("a", "application/json", "1")
	for got := 0; got < 2; { // the record, and the wake
		ev := r.next()
		if ev.Type == "leat.cursor" {
			continue
		}
		if data := string(ev.Data); data != "1" && !strings.Contains(data, `"type":"wake"`) {
			t.Errorf("a reader of everything got %q", data)
		}
		got++
	}
	for _, prefix := range []string{"", "_", "__", "__ds/"} {
		if f := s.fetch("GET", "/streams/?prefix="+prefix, ""); f.status != 200 || strings.Contains(f.body, "__ds") {
			t.Errorf("the list with the prefix %q: %d %s", prefix, f.status, f.body)
		}
	}
	s.fetch("GET", "/streams/__ds/key", "").wantError(t, "the key", 404, "SUBSCRIPTION_NOT_FOUND")
	s.fetch("GET", "/events?topic=__ds/key", "").want(t, "the key as a topic", 400, "reserved")
	off := start(t, server.Options{Store: st}, protocols["HTTP/1.1"])
	for _, path := range []string{"subscriptions/s", "key", "jwks.json"} {
		off.fetch("GET", "/streams/__ds/"+path, "").want(t, "without the option", 400, "reserved")
	}
}
