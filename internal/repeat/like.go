package repeat

import (
	"bufio"
	"bytes"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// A pattern is what the heads of a connection have in common.
type pattern struct {
	first *http.Request // as net/http has parsed the head that it is from
	path  string        // its target, up to the query

	// A head is open, a query, fields, the length of the body, and rest. Where there
	// is no query, open ends with the target.
	open, fields, rest []byte
	query              bool
}

// newPattern returns the pattern of a head, if net/http takes it for that of a request
// like the one given, which it has let through.
func newPattern(head []byte, like *http.Request) (*pattern, bool) {
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil || !mayRepeat(r) || !alike(r, like) {
		return nil, false
	}
	p := &pattern{first: r}
	p.path, _, p.query = strings.Cut(r.RequestURI, "?")
	if p.open = []byte(r.Method + " " + p.path); p.query {
		p.open = append(p.open, '?')
	}
	tail, ok := bytes.CutPrefix(head, []byte(r.Method+" "+r.RequestURI))
	if !ok {
		return nil, false
	}
	at, to, ok := lengthIn(tail)
	if !ok {
		return nil, false
	}
	p.fields, p.rest = bytes.Clone(tail[:at]), bytes.Clone(tail[to:])
	return p, true
}

// alike reports whether a request is like another, but for its query and the length of
// its body. The path is compared as it was sent: a handler may have been given another.
func alike(a, b *http.Request) bool {
	pathA, _, _ := strings.Cut(a.RequestURI, "?")
	pathB, _, _ := strings.Cut(b.RequestURI, "?")
	if a.Method != b.Method || a.Host != b.Host || pathA != pathB || len(a.Header) != len(b.Header) {
		return false
	}
	for name, values := range a.Header {
		others, ok := b.Header[name]
		if !ok || len(values) != len(others) {
			return false
		}
		for i, v := range values {
			if v != others[i] && name != "Content-Length" {
				return false
			}
		}
	}
	return true
}

// lengthIn returns where the digits of the only Content-Length are in the end of a head,
// which begins behind the target. There must be one Host, no line that goes on, and none
// that ends without CR: then what ends a head is the same to net/http and to us.
func lengthIn(tail []byte) (from, to int, ok bool) {
	hosts, lengths, at := 0, 0, 0
	for line := range bytes.SplitAfterSeq(tail, []byte("\n")) {
		text, whole := bytes.CutSuffix(line, []byte("\r\n"))
		switch name, value, field := bytes.Cut(text, []byte(":")); {
		case !whole && len(line) > 0, at > 0 && len(text) > 0 && (text[0] == ' ' || text[0] == '\t'):
			return 0, 0, false
		case field && strings.EqualFold(string(name), "Host"):
			hosts++
		case field && strings.EqualFold(string(name), "Content-Length"):
			lengths++
			digits := bytes.TrimLeft(value, " ")
			from, to = at+len(text)-len(digits), at+len(text)
		}
		at += len(line)
	}
	_, digits := number(tail[from:to])
	return from, to, hosts == 1 && lengths == 1 && digits
}

// number returns the number that b is, if it has up to six digits, and is written as
// strconv.Itoa does it.
func number(b []byte) (n int, ok bool) {
	for _, d := range b {
		if d < '0' || d > '9' {
			return 0, false
		}
		n = n*10 + int(d-'0')
	}
	return n, len(b) > 0 && len(b) <= 6 && b[0] != '0'
}

// match returns the query in a head and the length of the body behind it, if it has the
// pattern.
func (p *pattern) match(head []byte) (query []byte, length int, ok bool) {
	tail, ok := bytes.CutPrefix(head, p.open)
	if !ok {
		return nil, 0, false
	}
	if p.query {
		i := bytes.IndexByte(tail, ' ')
		if i <= 0 || !isQuery(tail[:i]) {
			return nil, 0, false
		}
		query, tail = tail[:i], tail[i:]
	}
	if tail, ok = bytes.CutPrefix(tail, p.fields); !ok {
		return nil, 0, false
	}
	digits, ok := bytes.CutSuffix(tail, p.rest)
	if !ok {
		return nil, 0, false
	}
	length, ok = number(digits)
	return query, length, ok
}

// isQuery reports whether net/http takes b for a query as it is.
func isQuery(b []byte) bool {
	for _, c := range b {
		if c <= ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// A request is an http.Request with what it consists of.
type request struct {
	http.Request
	url  url.URL
	body body
}

// request returns a request with a query and a body, which a handler may change.
func (p *pattern) request(query, data []byte) *request {
	r := &request{Request: *p.first, url: *p.first.URL, body: body{rest: data}}
	r.URL, r.Body, r.ContentLength = &r.url, &r.body, int64(len(data))
	if p.query && string(query) != r.url.RawQuery {
		r.RequestURI = p.path + "?" + string(query)
		r.url.RawQuery = r.RequestURI[len(p.path)+1:]
	}
	r.Header = p.first.Header.Clone()
	r.Header["Content-Length"][0] = strconv.Itoa(len(data))
	return r
}
