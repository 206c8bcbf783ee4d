package surface

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/leat-dev/leat"
)

// GuardOptions say who may use the interface.
type GuardOptions struct {
	// CORSOrigins are the origins whose pages may read and publish, such as
	// https://example.com, or "*" for all, then without credentials. None:
	// no other origin may.
	CORSOrigins []string

	// Hosts are names, without port, that are served on a loopback address
	// beside the loopback names.
	Hosts []string

	// Neighbours says that pages of other loopback names, with the same port, may do what
	// the server's own may: browsers allow six connections to each name.
	Neighbours bool
}

// A Guard turns away requests that come from where they should not: by a host
// name that is not ours (a page that rebinds its name to 127.0.0.1), or from a
// page of another origin. It answers preflights.
type Guard struct {
	log        *slog.Logger
	origins    []string
	anyOrigin  bool
	neighbours bool
	hosts      []string
	cross      *http.CrossOriginProtection
}

// NewGuard returns a Guard. An origin that is not one is an error.
func NewGuard(log *slog.Logger, o GuardOptions) (*Guard, error) {
	g := &Guard{log: log, hosts: o.Hosts, neighbours: o.Neighbours, cross: http.NewCrossOriginProtection()}
	for _, origin := range o.CORSOrigins {
		if origin == "*" {
			g.anyOrigin = true
			continue
		}
		if err := g.cross.AddTrustedOrigin(origin); err != nil {
			return nil, leat.Errorf(leat.CodeInvalidParameter, "%q is not an origin: %w", origin, err).
				Advise("An origin is a scheme, a host and perhaps a port, such as https://example.com or http://localhost:3000.")
		}
		g.origins = append(g.origins, origin)
	}
	return g, nil
}

// exposed are the response fields that a page of another origin may read.
const exposed = "Accept-Ranges, Content-Range, ETag, Leat-Earliest-Offset, Leat-End, Leat-Retention, Location, " +
	"Producer-Epoch, Producer-Expected-Seq, Producer-Received-Seq, Producer-Seq, Retry-After, Stream-Closed, " +
	"Stream-Cursor, Stream-Expires-At, Stream-Next-Offset, Stream-SSE-Data-Encoding, Stream-TTL, Stream-Up-To-Date"

// The methods and request fields that such a page may use.
const (
	allowedMethods = "DELETE, GET, HEAD, POST, PUT"
	allowedFields  = "Cache-Control, Content-Type, If-Match, If-None-Match, If-Range, Last-Event-ID, Leat-End, Leat-Retention, Leat-Trim, " +
		"Producer-Epoch, Producer-Id, Producer-Seq, Range, Stream-Closed, Stream-Expires-At, Stream-Fork-Offset, " +
		"Stream-Fork-Sub-Offset, Stream-Forked-From, Stream-Seq, Stream-TTL"
)

// Admit reports whether a request may go on. One that may not is answered.
func (g *Guard) Admit(w http.ResponseWriter, r *http.Request) bool {
	w.Header()["X-Content-Type-Options"] = noSniff
	if err := g.checkHost(r); err != nil {
		WriteError(w, r, g.log, err)
		return false
	}
	allowed := g.allow(w, r)
	if r.Method == http.MethodOptions && r.Header.Get("Access-Control-Request-Method") != "" {
		g.preflight(w, allowed)
		return false
	}
	if !(allowed && g.anyOrigin) {
		if err := g.checkOrigin(r); err != nil {
			WriteError(w, r, g.log, leat.Errorf(leat.CodeCrossOrigin, "a page of %s may not do this: %w", r.Header.Get("Origin"), err).
				Advise("Start the server with --cors-origin and that origin to allow it."))
			return false
		}
	}
	return true
}

// checkOrigin returns an error for what a page of another origin may not do. It may send
// a GET whose answer it cannot read; but it can read a WebSocket, to which CORS does not
// apply.
func (g *Guard) checkOrigin(r *http.Request) error {
	if g.neighbours && isNeighbour(r.Header.Get("Origin"), r) {
		return nil
	}
	if AsksWebSocket(r) {
		return checkUnsafe(g.cross, r)
	}
	return g.cross.Check(r)
}

// checkUnsafe returns an error for what a page of another origin could not do if it were
// a POST.
func checkUnsafe(cross *http.CrossOriginProtection, r *http.Request) error {
	unsafe := *r
	unsafe.Method = http.MethodPost
	return cross.Check(&unsafe)
}

// allow sets what CORS asks for, and reports whether the request has an origin
// that may read the answer.
func (g *Guard) allow(w http.ResponseWriter, r *http.Request) bool {
	if len(g.origins) == 0 && !g.anyOrigin && !g.neighbours {
		return false
	}
	h := w.Header()
	h.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	switch {
	case origin == "":
		return false
	case slices.Contains(g.origins, origin), g.neighbours && isNeighbour(origin, r):
		h.Set("Access-Control-Allow-Origin", origin)
		h.Set("Access-Control-Allow-Credentials", "true")
	case g.anyOrigin:
		h.Set("Access-Control-Allow-Origin", "*")
	default:
		return false
	}
	h.Set("Access-Control-Expose-Headers", exposed)
	return true
}

// preflight answers what a page would have to be allowed. Without the field that names
// its origin it is allowed nothing: which fields there are is no secret.
func (g *Guard) preflight(w http.ResponseWriter, allowed bool) {
	h := w.Header()
	h.Set("Access-Control-Allow-Headers", allowedFields)
	if allowed {
		h.Set("Access-Control-Allow-Methods", allowedMethods)
		h.Set("Access-Control-Max-Age", "7200")
	}
	w.WriteHeader(http.StatusNoContent)
}

// checkHost lets only loopback names through on a loopback address: a page
// whose name was rebound to 127.0.0.1 is on the same origin as we are and
// shows in nothing but the Host field.
func (g *Guard) checkHost(r *http.Request) error {
	if !localAddr(r).IsLoopback() {
		return nil
	}
	host := hostName(r)
	if host == "" || slices.Contains(g.hosts, host) || isLoopback(host) {
		return nil
	}
	return leat.Errorf(leat.CodeMisdirected, "this server listens on a loopback address and does not serve the host %q", r.Host).
		Advise("Use localhost or 127.0.0.1, or start the server with --allow-host and that name, for example behind a proxy that passes the Host on.")
}

// hostName returns the host that a request names, in lower case and without its port.
func hostName(r *http.Request) string {
	host := r.Host
	if strings.IndexByte(host, ':') >= 0 { // else there is no port, and the error would be made for each request
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
	}
	return strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
}

// isLoopback reports whether a host is this machine, whoever asks.
func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// isNeighbour reports whether an origin is another loopback name of the server that a
// request was sent to.
func isNeighbour(origin string, r *http.Request) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" || !isLoopback(u.Hostname()) || !isLoopback(hostName(r)) {
		return false
	}
	_, port, err := net.SplitHostPort(r.Host)
	return u.Port() == port && (err == nil || port == "")
}

// forwarding are the fields by which a proxy says that the request is another's.
var forwarding = []string{"Forwarded", "Via", "X-Forwarded-For", "X-Real-Ip"}

// CheckLocal returns an error unless a request comes from a program on this machine or
// from a page of this server, and not through a proxy, as far as can be told.
func CheckLocal(r *http.Request) error {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	local := err == nil && remote.Addr().Unmap().IsLoopback() && localAddr(r).IsLoopback() && isLoopback(hostName(r))
	for _, field := range forwarding {
		local = local && r.Header.Get(field) == ""
	}
	if !local {
		return leat.Errorf(leat.CodeUnauthorized, "%s is for programs on the machine of the server", r.URL.Path).
			Advise("Start the server with --api-token and send it as Authorization: Bearer TOKEN.")
	}
	// Whatever origins may read streams, their pages may not see who else does.
	if err := checkUnsafe(http.NewCrossOriginProtection(), r); err != nil {
		return leat.Errorf(leat.CodeCrossOrigin, "a page of %s may not do this: %w", r.Header.Get("Origin"), err).
			Advise("Use a page of this server.")
	}
	return nil
}

// localAddr returns the address that the request came in on, the zero value if it is
// not known.
func localAddr(r *http.Request) netip.Addr {
	switch local := r.Context().Value(http.LocalAddrContextKey).(type) {
	case *net.TCPAddr: // without its text, for the sake of speed
		return local.AddrPort().Addr().Unmap()
	case net.Addr:
		if addr, err := netip.ParseAddrPort(local.String()); err == nil {
			return addr.Addr().Unmap()
		}
	}
	return netip.Addr{}
}
