package subscription

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/leat-dev/leat"
)

// targets decides where webhooks may go. Who may subscribe can have the server send
// requests, and it stands where others cannot reach: so they go to public addresses
// with TLS, or to this machine, which the protocol allows for development. What counts
// is the address that a connection is made to, not what the name led to before.
type targets struct {
	hosts []string // that are allowed, whatever their address

	public, local, any *http.Client
}

// The bounds of what a receiver of webhooks answers, in bytes.
const (
	maxAnswer     = 64 << 10
	maxAnswerHead = 64 << 10
)

func newTargets(hosts []string, fake http.RoundTripper) *targets {
	t := &targets{}
	for _, h := range hosts {
		t.hosts = append(t.hosts, strings.ToLower(strings.Trim(h, "[]")))
	}
	t.public = newClient(isPublic, fake)
	t.local = newClient(netip.Addr.IsLoopback, fake)
	t.any = newClient(func(netip.Addr) bool { return true }, fake)
	return t
}

// errAddress is the reason why a connection is not made.
var errAddress = errors.New("webhooks may not go to this address")

func newClient(allowed func(netip.Addr) bool, fake http.RoundTripper) *http.Client {
	dialer := &net.Dialer{
		Timeout: 10 * time.Second,
		// Called with the address that the name has led to, before it is connected to.
		Control: func(_, address string, _ syscall.RawConn) error {
			addr, err := netip.ParseAddrPort(address)
			if err != nil || !allowed(addr.Addr().Unmap()) {
				return errAddress
			}
			return nil
		},
	}
	transport := fake
	if fake == nil {
		transport = &http.Transport{
			// No proxy: it would connect where it likes.
			DialContext:            dialer.DialContext,
			TLSHandshakeTimeout:    10 * time.Second,
			MaxResponseHeaderBytes: maxAnswerHead,
			MaxIdleConnsPerHost:    mostForHost,
			MaxIdleConns:           4 * messengers,
			IdleConnTimeout:        time.Minute,
			ForceAttemptHTTP2:      true,
		}
	}
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse // it could lead anywhere, and is no 2xx
		},
	}
}

func (t *targets) close() {
	for _, c := range []*http.Client{t.public, t.local, t.any} {
		c.CloseIdleConnections()
	}
}

// check reports whether webhooks may go to a URL, as far as it says.
func (t *targets) check(text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return errTarget("it is no absolute URL")
	}
	_, err = t.clientFor(u)
	return err
}

// clientFor returns the client that reaches what it may at a URL.
func (t *targets) clientFor(u *url.URL) (*http.Client, error) {
	host := strings.ToLower(u.Hostname())
	addr, err := netip.ParseAddr(host)
	isAddr := err == nil
	local := host == "localhost" || isAddr && addr.Is4() && addr.IsLoopback()
	switch {
	case u.Scheme != "http" && u.Scheme != "https", host == "":
		return nil, errTarget("it is no https URL")
	case u.User != nil, u.Fragment != "":
		return nil, errTarget("it has a user or a fragment")
	case slices.Contains(t.hosts, host):
		return t.any, nil
	case u.Scheme == "http" && local:
		return t.local, nil
	case u.Scheme == "http":
		return nil, errTarget("http is for localhost and 127.0.0.0/8 only")
	case local, isAddr && !isPublic(addr.Unmap()), strings.HasSuffix(strings.TrimSuffix(host, "."), "localhost"):
		return nil, errTarget("the host is not a public one")
	}
	return t.public, nil
}

func errTarget(why string) error {
	return leat.Errorf(leat.CodeWebhookURL, "webhooks do not go to this URL: %s", why).
		Advise("Use https and a public host, or http and localhost; the server's option --webhook-host allows more hosts.")
}

// notPublic are networks that netip does not know as such: not all of them belong to
// somebody's inside, but none is where a receiver of webhooks is.
var notPublic = func() (list []netip.Prefix) {
	for _, p := range strings.Fields(`
		0.0.0.0/8 100.64.0.0/10 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15
		198.51.100.0/24 203.0.113.0/24 240.0.0.0/4
		64:ff9b::/96 64:ff9b:1::/48 100::/64 2001::/23 2001:db8::/32 2002::/16 3fff::/20 5f00::/16 fec0::/10`) {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}()

// isPublic reports whether an address is one of the internet's.
func isPublic(a netip.Addr) bool {
	return a.IsGlobalUnicast() && !a.IsPrivate() && a.Zone() == "" &&
		!slices.ContainsFunc(notPublic, func(p netip.Prefix) bool { return p.Contains(a) })
}

// post sends a body to a URL, and returns the beginning of the answer if it is a 2xx.
func (t *targets) post(ctx context.Context, to string, header http.Header, body []byte) ([]byte, error) {
	u, err := url.Parse(to)
	if err != nil {
		return nil, err
	}
	client, err := t.clientFor(u)
	if err != nil {
		return nil, err
	}
	return send(ctx, client, u, header, body)
}
