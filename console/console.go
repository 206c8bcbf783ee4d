// Package console is the page that a browser shows at the root of a server: its streams,
// who reads them, its figures, and the lab. It is embedded, loads nothing from elsewhere,
// and uses only the HTTP interface. Its source is in app, and what is embedded is built
// from that by make console.
package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
	"time"
)

//go:embed dist
var dist embed.FS

// An asset is a file of the page.
type asset struct {
	body        []byte
	contentType string
	tag         string // of its content
}

// assets are the files by the path that they are served at.
var assets = map[string]asset{
	"/":            read("index.html"),
	"/console.js":  read("console.js"),
	"/console.css": read("console.css"),
}

var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
}

func read(name string) asset {
	body, err := dist.ReadFile("dist/" + name)
	if err != nil {
		panic(err) // it is embedded
	}
	sum := sha256.Sum256(body)
	return asset{body, contentTypes[path.Ext(name)], `"` + hex.EncodeToString(sum[:16]) + `"`}
}

// The policy lets the page load its own files, talk to its own server, and nothing else.
// The lanes of the lab talk to the server under other names of this machine as well.
const (
	policy      = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; connect-src 'self'"
	policyOfLab = policy + " http://*.localhost:* ws://*.localhost:*"
)

// Options are the settings of the page. The zero value is for a server without the lab.
type Options struct {
	// Lab says that the server has the lab: see server.Options.Lab.
	Lab bool
}

// Wrap returns a handler that serves the console's few files to GET and HEAD,
// and leaves everything else to next.
func Wrap(next http.Handler, o Options) http.Handler {
	p := &page{next, policy}
	if o.Lab {
		p.policy = policyOfLab
	}
	return p
}

type page struct {
	next   http.Handler
	policy string
}

// ServeHTTP implements http.Handler. There may be thousands of goroutines that wait in
// next for hours: what takes a stack is done elsewhere.
func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !p.serve(w, r) {
		p.next.ServeHTTP(w, r)
	}
}

// Through returns the handler that gets all but the page's own requests, as they are and
// at once.
func (p *page) Through() http.Handler { return p.next }

// serve serves a file of the page. It reports whether one was asked for.
func (p *page) serve(w http.ResponseWriter, r *http.Request) bool {
	a, ok := assets[r.URL.Path]
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	h := w.Header()
	h.Set("Content-Security-Policy", p.policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache")
	h.Set("Content-Type", a.contentType)
	h.Set("ETag", a.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.body))
	return true
}
