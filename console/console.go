// Package console is the page that a browser shows at the root of a server: it
// watches topics and publishes to them. It is embedded, loads nothing from
// elsewhere, and uses only the HTTP interface, through a plain EventSource.
package console

import (
	"embed"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed files
var files embed.FS

// pages are the files by the path that they are served at.
var pages = map[string]string{
	"/":            "index.html",
	"/console.js":  "console.js",
	"/console.css": "console.css",
}

// policy lets the page load its own files, talk to its own server, and nothing
// else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Wrap returns a handler that serves the console's few files to GET and HEAD,
// and leaves everything else to next.
func Wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, ok := pages[r.URL.Path]
		if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
			next.ServeHTTP(w, r)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-cache")
		h.Set("Content-Type", contentTypes[path.Ext(name)])
		body, err := files.ReadFile("files/" + name)
		if err != nil {
			panic(err) // it is embedded
		}
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(string(body)))
	})
}

var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
}
