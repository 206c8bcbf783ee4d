// Package api is the surface at /api: what an operator sees of a server, and does to it.
// It is for programs on the same machine, or with a token.
package api

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
	"net/http"
	"strings"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/session"
	"github.com/leat-dev/leat/internal/surface"
	"github.com/leat-dev/leat/internal/wire"
)

// Options are the settings of a Surface; all but Token and Wire must be set.
type Options struct {
	Host   *session.Host
	Logger *slog.Logger

	// About is the answer to GET /api, and Figures that to GET /api/metrics. They are
	// encoded as JSON.
	About, Figures func() any

	// Backup copies the store into a directory, and returns the answer to
	// POST /api/backup, which is encoded as JSON.
	Backup func(ctx context.Context, dir string) (any, error)

	// Stopping is closed when the server stops.
	Stopping <-chan struct{}

	// Token is what a request has to have. Empty: it has to come from this machine.
	Token string

	// Wire is what the lab sees and harms. nil: there is no lab.
	Wire *wire.Recorder
}

// A Surface serves what is below /api.
type Surface struct{ o Options }

// New returns a Surface.
func New(o Options) *Surface { return &Surface{o} }

// Prefix is where the surface is.
const Prefix = "/api"

// Has reports whether a path is the surface's.
func Has(path string) bool { return path == Prefix || strings.HasPrefix(path, Prefix+"/") }

// A method is what one method of a resource does.
type method func(s *Surface, w http.ResponseWriter, r *http.Request, id string) error

// Answer answers a request whose path it Has.
func (s *Surface) Answer(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	err := s.admit(w, r)
	if err == nil {
		err = s.answer(w, r)
	}
	if err != nil {
		surface.WriteError(w, r, s.o.Logger, err)
	}
}

func (s *Surface) answer(w http.ResponseWriter, r *http.Request) error {
	methods, id := s.find(strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, Prefix), "/"))
	if methods == nil {
		return leat.Errorf(leat.CodeNotFound, "there is nothing at %s", r.URL.Path).Advise("GET /api says what there is.")
	}
	var allow []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodDelete} {
		if do := methods[m]; do == nil {
			continue
		} else if m == r.Method {
			return do(s, w, r, id)
		}
		allow = append(allow, m)
	}
	surface.MethodNotAllowed(w, r, s.o.Logger, strings.Join(allow, ", "))
	return nil
}

// find returns the methods of the resource at a path below /api, nil if there is none,
// and the id in the path.
func (s *Surface) find(path string) (methods map[string]method, id string) {
	switch path {
	case "":
		return map[string]method{"GET": (*Surface).about}, ""
	case "metrics":
		return map[string]method{"GET": (*Surface).figures}, ""
	case "subscribers":
		return map[string]method{"GET": (*Surface).subscribers}, ""
	case "backup":
		return map[string]method{"POST": (*Surface).backup}, ""
	case "lab/wire":
		methods = map[string]method{"GET": (*Surface).wire}
	case "lab/cut":
		methods = map[string]method{"POST": (*Surface).cut}
	case "lab/stall":
		methods = map[string]method{"POST": (*Surface).stall}
	}
	if s.o.Wire != nil && methods != nil {
		return methods, ""
	}
	switch dir, rest, _ := strings.Cut(path, "/"); {
	case dir != "subscribers":
	case strings.HasSuffix(rest, "/tap"):
		return map[string]method{"GET": (*Surface).tap}, strings.TrimSuffix(rest, "/tap")
	default:
		return map[string]method{"DELETE": (*Surface).dismiss}, rest
	}
	return nil, ""
}

// admit returns an error for who may not use the surface.
func (s *Surface) admit(w http.ResponseWriter, r *http.Request) error {
	if s.o.Token == "" {
		return surface.CheckLocal(r)
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got, want := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(s.o.Token))
	if strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
		return nil
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="leat"`)
	return leat.Errorf(leat.CodeTokenInvalid, "%s takes the token that the server was started with", r.URL.Path).
		Advise("Send it as Authorization: Bearer TOKEN.")
}

func (s *Surface) figures(w http.ResponseWriter, _ *http.Request, _ string) error {
	surface.WriteJSON(w, http.StatusOK, s.o.Figures())
	return nil
}

func (s *Surface) about(w http.ResponseWriter, _ *http.Request, _ string) error {
	surface.WriteJSON(w, http.StatusOK, s.o.About())
	return nil
}
