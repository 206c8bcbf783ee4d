package doctor

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// stranger is an origin that nobody has let in.
const stranger = "https://stranger.invalid"

// crossOrigin examines what pages of other origins may do.
func (x *exam) crossOrigin(ctx context.Context) {
	origin := x.o.Origin
	if origin == "" {
		origin = stranger
	}
	h, err := x.head(ctx, x.client, x.o.Method, http.Header{"Origin": {origin}})
	if err != nil {
		return // it was reached before: the other findings say how it is
	}
	allowed, credentials := h.header.Get("Access-Control-Allow-Origin"), h.header.Get("Access-Control-Allow-Credentials") == "true"
	switch {
	case x.o.Origin != "" && allowed != origin && allowed != "*":
		x.found(Problem, "cross-origin", fmt.Sprintf("a page of %s may not read the stream: Access-Control-Allow-Origin is %q", origin, allowed),
			"answer with `Access-Control-Allow-Origin: "+origin+"` and `Vary: Origin`; a Leat server does with --cors-origin "+origin)
		return
	case allowed == stranger && credentials:
		x.found(Problem, "cross-origin", "a page of any origin may read the stream with the cookies of its user: Access-Control-Allow-Origin repeats what it is asked, with credentials", "allow origins by name")
		return
	case x.o.Origin == "" && allowed == "":
		x.found(OK, "cross-origin", "only pages of the stream's own origin may read it", "")
		return
	case x.o.Origin == "":
		x.found(Note, "cross-origin", "a page of any origin may read the stream, without cookies", "if it is not public, allow origins by name")
		return
	}
	x.preflight(ctx, origin)
}

// preflight asks as a browser does before a fetch with fields of its own.
func (x *exam) preflight(ctx context.Context, origin string) {
	fields := []string{"last-event-id"}
	for name := range x.o.Header {
		fields = append(fields, strings.ToLower(name))
	}
	slices.Sort(fields)
	h, err := x.head(ctx, x.client, http.MethodOptions, http.Header{
		"Origin": {origin}, "Access-Control-Request-Method": {x.o.Method}, "Access-Control-Request-Headers": {strings.Join(fields, ",")},
	})
	if err != nil {
		return
	}
	allows := "," + strings.ToLower(strings.ReplaceAll(h.header.Get("Access-Control-Allow-Headers"), " ", "")) + ","
	var missing []string
	for _, f := range fields {
		// * does not cover Authorization.
		if !strings.Contains(allows, ","+f+",") && (f == "authorization" || !strings.Contains(allows, ",*,")) {
			missing = append(missing, f)
		}
	}
	switch {
	case h.status >= 300:
		x.found(Warning, "cross-origin", fmt.Sprintf("a page of %s may read the stream with an EventSource, but not with fetch and fields of its own: the preflight is answered %d", origin, h.status), "answer OPTIONS with 204 and Access-Control-Allow-Headers")
	case len(missing) > 0:
		x.found(Warning, "cross-origin", fmt.Sprintf("a page of %s may read the stream with an EventSource, but a fetch may not send %s", origin, strings.Join(missing, ", ")), "add them to Access-Control-Allow-Headers")
	default:
		x.found(OK, "cross-origin", fmt.Sprintf("a page of %s may read the stream, and send %s", origin, strings.Join(fields, ", ")), "")
	}
}

// An answer is the head of one.
type answer struct {
	status int
	proto  string
	header http.Header
}

// head asks for the head of an answer and leaves the rest.
func (x *exam) head(ctx context.Context, client *http.Client, method string, header http.Header) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, x.o.Patience)
	defer cancel()
	resp, err := x.send(ctx, client, method, x.o.URL, header)
	if err != nil {
		return answer{}, err
	}
	resp.Body.Close()
	return answer{resp.StatusCode, resp.Proto, resp.Header}, nil
}

// versions examines which versions of HTTP there are.
func (x *exam) versions(ctx context.Context, used *http.Response) {
	var have []string
	secure := x.url.Scheme == "https"
	for _, version := range []struct {
		name string
		set  func(*http.Protocols)
	}{
		{"HTTP/1.1", func(p *http.Protocols) { p.SetHTTP1(true) }},
		{"HTTP/2.0", func(p *http.Protocols) { p.SetHTTP2(secure); p.SetUnencryptedHTTP2(!secure) }},
	} {
		client := x.newClient(version.set)
		if h, err := x.head(ctx, client, x.o.Method, nil); err == nil && h.proto == version.name {
			have = append(have, version.name)
		}
		client.CloseIdleConnections()
	}
	if strings.Contains(used.Header.Get("Alt-Svc"), "h3=") {
		have = append(have, "HTTP/3 (by Alt-Svc)")
	}
	text := "the stream is served over " + strings.Join(have, ", ")
	const six = "over HTTP/1.1 a browser has 6 connections to an origin, for all its tabs"
	switch {
	case len(have) == 0:
		x.found(Note, "versions", "which versions of HTTP there are cannot be told: no further request was answered", "see whether the number of connections is limited")
	case !secure:
		x.found(Note, "versions", text+". Browsers speak HTTP/1.1 to an address without TLS, and "+six, "put TLS in front, with HTTP/2, or have pages share one stream")
	case len(have) == 1 && have[0] == "HTTP/1.1":
		x.found(Warning, "versions", text+" only; "+six+", and the seventh tab hangs", "turn on HTTP/2, or have pages share one stream")
	default:
		x.found(OK, "versions", text, "")
	}
}
