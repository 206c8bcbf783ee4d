package subscription

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/leat-dev/leat"
)

func TestTargets(t *testing.T) {
	targets := newTargets([]string{"inside.example", "10.1.2.3", "[fd00::1]"}, nil)
	for target, allowed := range map[string]bool{
		"https://hooks.example/a?b=c":   true,
		"https://hooks.example:8443/":   true,
		"https://8.8.8.8/":              true,
		"https://[2606:4700::1111]/":    true,
		"http://localhost:8080/hook":    true,
		"http://LOCALHOST/":             true,
		"http://127.0.0.1:1/":           true,
		"http://127.255.255.254/":       true,
		"http://inside.example/":        true,
		"https://INSIDE.example:1/":     true,
		"http://10.1.2.3:80/":           true,
		"http://[fd00::1]/":             true,
		"":                              false,
		"/hook":                         false,
		"hooks.example":                 false,
		"https://":                      false,
		"https:hooks.example":           false,
		"ftp://hooks.example/":          false,
		"file:///etc/passwd":            false,
		"http://hooks.example/":         false,
		"http://inside.example.evil/":   false,
		"http://localhost.evil.example": false,
		"http://127.0.0.1.evil.example": false,
		"http://127.1/":                 false,
		"http://0x7f000001/":            false,
		"http://2130706433/":            false,
		"http://0/":                     false,
		"http://0.0.0.0/":               false,
		"http://[::1]/":                 false,
		"http://[::ffff:127.0.0.1]/":    false,
		"https://localhost/":            false,
		"https://a.localhost./":         false,
		"https://127.0.0.1/":            false,
		"https://[::1]/":                false,
		"https://10.0.0.1/":             false,
		"https://172.16.0.1/":           false,
		"https://192.168.1.1/":          false,
		"https://169.254.169.254/":      false,
		"https://100.64.0.1/":           false,
		"https://[::ffff:10.0.0.1]/":    false,
		"https://[fe80::1]/":            false,
		"https://[fe80::1%25eth0]/":     false,
		"https://[fd00::2]/":            false,
		"https://[fd00:ec2::254]/":      false,
		"https://[64:ff9b::a00:1]/":     false,
		"https://[2002:a00:1::]/":       false,
		"https://224.0.0.1/":            false,
		"https://255.255.255.255/":      false,
		"https://user:pass@a.example/":  false,
		"https://a.example/#fragment":   false,
	} {
		err := targets.check(target)
		if (err == nil) != allowed || err != nil && leat.CodeOf(err) != leat.CodeWebhookURL {
			t.Errorf("%q: %v, want allowed %v", target, err, allowed)
		}
	}
}

// What a name leads to is looked at when it is connected to, whatever it led to when the
// subscription was made.
func TestTargetsAreCheckedAtDialTime(t *testing.T) {
	var requests atomic.Int64
	hooks := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	defer hooks.Close()
	u, err := url.Parse(strings.Replace(hooks.URL, "127.0.0.1", "localhost", 1))
	if err != nil {
		t.Fatal(err)
	}
	targets := newTargets(nil, nil)
	defer targets.close()
	// As if the name of a public host led to 127.0.0.1 now.
	if _, err := send(t.Context(), targets.public, u, http.Header{}, nil); !errors.Is(err, errAddress) {
		t.Errorf("a public name that leads to a loopback address: %v", err)
	}
	if n := requests.Load(); n != 0 {
		t.Errorf("%d requests got there", n)
	}
	if _, err := targets.post(t.Context(), u.String(), http.Header{}, nil); err != nil || requests.Load() != 1 {
		t.Errorf("localhost by its name: %v, %d requests", err, requests.Load())
	}
	// And as if localhost led elsewhere.
	u.Host = "192.0.2.1:1"
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if _, err := send(ctx, targets.local, u, http.Header{}, nil); !errors.Is(err, errAddress) {
		t.Errorf("localhost that leads elsewhere: %v", err)
	}
	for _, a := range []string{"10.0.0.1", "169.254.169.254", "127.0.0.1", "::1", "fd00:ec2::254", "0.0.0.0", "::", "192.0.0.192"} {
		if isPublic(netip.MustParseAddr(a)) {
			t.Errorf("%s is public", a)
		}
	}
}

func TestAnswersOfReceivers(t *testing.T) {
	hooks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/elsewhere":
			http.Redirect(w, r, "/ok", http.StatusTemporaryRedirect)
		case "/large":
			fmt.Fprint(w, strings.Repeat("x", 4*maxAnswer))
		case "/head":
			w.Header().Set("X", strings.Repeat("x", 2*maxAnswerHead))
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/never":
			<-r.Context().Done()
		default:
			fmt.Fprint(w, r.Method)
		}
	}))
	defer hooks.Close()
	targets := newTargets(nil, nil)
	defer targets.close()
	for path, want := range map[string]string{
		"/ok": "POST", "/large": strings.Repeat("x", maxAnswer), "/elsewhere": "307", "/head": "error", "/gone": "410", "/never": "error",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		if path == "/never" {
			ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
		}
		answer, err := targets.post(ctx, hooks.URL+path, http.Header{}, nil)
		cancel()
		if got := string(answer); err == nil && got != want || err != nil && want != "error" && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %.20q, %v; want %.20q", path, got, err, want)
		}
	}
}
