package doctor

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/leat-dev/leat/sse"
)

// A middlebox is known by the fields that it adds, and to hold back what it passes on.
type middlebox struct {
	name  string
	field string // that it adds
	value string // that this has in it, in lower case
	fix   string // how it is told to pass on each piece
}

var middleboxes = []middlebox{
	{"nginx", "Server", "nginx", "in its location say `proxy_buffering off;`, and do not have it ignore X-Accel-Buffering (proxy_ignore_headers)"},
	{"Apache", "Server", "apache", "give ProxyPass `flushpackets=on`, and take the path out of mod_deflate"},
	{"Varnish", "Via", "varnish", "return (pipe) for the path"},
	{"CloudFront", "X-Amz-Cf-Id", "", "turn off compression for the path"},
	{"Cloudflare", "Server", "cloudflare", "answer as text/event-stream; quick tunnels hold back GET, use a named one"},
	{"Caddy", "Via", "caddy", "give reverse_proxy `flush_interval -1`"},
	{"Envoy", "Server", "envoy", "take out its buffer and compressor filters for the path"},
}

// between returns what of these an answer has passed, nil if none is known.
func between(h http.Header) *middlebox {
	for i := range middleboxes {
		m := &middleboxes[i]
		if value := h.Get(m.field); value != "" && strings.Contains(strings.ToLower(value), m.value) {
			return m
		}
	}
	return nil
}

// unbuffer says how what is held back is let go.
func unbuffer(h http.Header) string {
	fix := "add `X-Accel-Buffering: no` and `Cache-Control: no-transform` to the answer, flush after each event, and turn off buffering and compression in whatever stands in between"
	if m := between(h); m != nil {
		return fmt.Sprintf("%s is in between: %s. Otherwise %s", m.name, m.fix, fix)
	}
	return fix
}

// noHead tells that no head has come.
func (x *exam) noHead(s *seen) {
	text := fmt.Sprintf("no head of an answer has come within %s", seconds(s.until.Sub(s.begun)))
	switch {
	case s.probeErr != nil:
		text += fmt.Sprintf("; publishing to the stream failed: %v", s.probeErr)
	case len(s.probes) > 0:
		text += fmt.Sprintf(", although %d events were published meanwhile: something holds it back", len(s.probes))
	}
	x.found(Problem, "first byte", text, "send and flush the head, and a comment, before there is an event; "+unbuffer(nil))
}

// headers examines the head. It reports whether what follows is a stream.
func (x *exam) headers(s *seen) bool {
	if !x.status(s.resp) {
		return false
	}
	h := s.resp.Header
	if final := s.resp.Request.URL.String(); final != x.o.URL {
		x.found(Note, "redirect", "the request was redirected to "+final, "use that address, or each reconnect takes twice as long")
	}
	streams := x.contentType(s.resp)
	if !streams {
		return false
	}
	x.caching(h)
	switch coding := h.Get("Content-Encoding"); coding {
	case "", "identity":
		x.found(OK, "compression", "the answer is not compressed", "")
	default:
		x.found(Warning, "compression", "the answer is compressed ("+coding+"): the compressor holds events back, unless it is flushed after each, and takes up to a MiB for each reader",
			"take the content type out of the compression of the server or proxy, and add `Cache-Control: no-transform`")
	}
	if s.resp.ContentLength >= 0 {
		x.found(Problem, "length", fmt.Sprintf("the answer says that it has %d bytes: it is over after these", s.resp.ContentLength), "send no Content-Length: over HTTP/1.1 use chunks")
	}
	switch m := between(h); {
	case strings.EqualFold(h.Get("X-Accel-Buffering"), "no"):
		x.found(OK, "proxy headers", "X-Accel-Buffering: no", "")
	case m != nil && m.name == "nginx":
		x.found(Note, "proxy headers", "nginx is in between. It obeys X-Accel-Buffering and does not pass it on, so whether the server sends it cannot be seen from here", "see what is found about flush")
	default:
		x.found(Warning, "proxy headers", "there is no X-Accel-Buffering: an nginx in between would hold events back", "add `X-Accel-Buffering: no` to the answer; `Incremental: ?1` (RFC 10036) says the same to others")
	}
	return true
}

// status examines the status of an answer, and reports whether it is a good one.
func (x *exam) status(r *http.Response) bool {
	text := fmt.Sprintf("the answer is %d %s", r.StatusCode, http.StatusText(r.StatusCode))
	ends := "; an EventSource that gets it does not come back"
	switch code := r.StatusCode; {
	case code == http.StatusOK:
		return true
	case code == http.StatusNoContent:
		x.found(Note, "status", text+": there is nothing more to come, and an EventSource stops for good", "begin anew without a Last-Event-ID")
	case code == http.StatusUnauthorized, code == http.StatusForbidden:
		x.found(Problem, "status", text+ends, "send what it asks for, such as -H 'Authorization: Bearer …'; an EventSource can send cookies only")
	case code == http.StatusNotFound, code == http.StatusMethodNotAllowed:
		x.found(Problem, "status", text+ends, "check the address and the method")
	case code == http.StatusTooManyRequests, code >= 500:
		x.found(Problem, "status", text+ends, "turn readers away with 200, `retry:` and the end of the stream instead")
	default:
		x.found(Problem, "status", text+ends, "answer 200")
	}
	return false
}

// contentType examines whether the answer is one that streams.
func (x *exam) contentType(r *http.Response) bool {
	text := "the content type is " + r.Header.Get("Content-Type")
	switch formOf(r) {
	case events:
		x.found(OK, "content type", text, "")
	case lines:
		x.found(OK, "content type", text, "")
		x.found(Note, "content type", "some proxies pass on event by event only what is text/event-stream (cloudflared does)", "offer "+sse.MediaType+" as well, or long polls")
	case document:
		x.found(Problem, "content type", text+": that is a document, or the answer to a poll, and no stream", "check the address; a stream of events is "+sse.MediaType)
		return false
	default:
		if r.Header.Get("Content-Type") == "" {
			text = "there is no content type"
		}
		x.found(Note, "content type", text+": it is taken for a stream of bytes, and nothing of what it says is understood", "for events answer with "+sse.MediaType+"; an EventSource takes nothing else")
	}
	return true
}

// caching examines what caches may do with the answer.
func (x *exam) caching(h http.Header) {
	text := h.Get("Cache-Control")
	lower := strings.ToLower(text)
	switch {
	case !strings.Contains(lower, "no-store") && !strings.Contains(lower, "no-cache"):
		if text == "" {
			text = "nothing"
		}
		x.found(Warning, "caching", "Cache-Control says "+text+": a cache may keep the stream, and give a reader what another got", "add `Cache-Control: no-cache, no-store, no-transform`")
	case !strings.Contains(lower, "no-transform"):
		x.found(Note, "caching", "Cache-Control: "+text+", without no-transform: a proxy may compress it, and hold events back for that", "add no-transform")
	default:
		x.found(OK, "caching", "Cache-Control: "+text, "")
	}
}

// late is how long the first bytes may take without a word.
const late = 2 * time.Second

// firstByte examines when the answer began.
func (x *exam) firstByte(s *seen) {
	head := s.head.Sub(s.begun)
	if len(s.signs) == 0 {
		fix := "send a comment at once: some proxies hold a head back until there is a body"
		if s.ended {
			fix = "see what is found about the end"
		}
		x.found(Problem, "first byte", fmt.Sprintf("the head has come after %s, and nothing behind it within %s", seconds(head), seconds(s.until.Sub(s.head))), fix)
		return
	}
	first := s.signs[0].at.Sub(s.begun)
	text := fmt.Sprintf("the head has come after %s, the first byte of the stream after %s", seconds(head), seconds(first))
	if first > late {
		x.found(Warning, "first byte", text, "flush the head, and send a comment at once; if the server does, something in between waits for more: "+unbuffer(s.resp.Header))
		return
	}
	x.found(OK, "first byte", text, "")
}
