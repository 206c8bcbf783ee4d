package api

import (
	"context"
	"net/http"
	"path/filepath"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/surface"
)

// errStopping ends a backup when the server stops.
var errStopping = leat.Errorf(leat.CodeUnavailable, "the server is stopping: there is no backup").
	Advise("Repeat it when the server is there again, or copy the directory of the store while it is stopped.")

// backup copies the store into a directory. It ends, without a copy, when the client leaves.
func (s *Surface) backup(w http.ResponseWriter, r *http.Request, _ string) error {
	q, err := surface.ParseQuery(r)
	if err != nil {
		return err
	}
	to := q.Get("to")
	if !filepath.IsAbs(to) {
		return surface.InvalidParameter("to", to, "It is the absolute path of a directory on the server's machine that is empty or does not exist yet.")
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	stop := make(chan struct{})
	defer close(stop)
	// Ended by the end of backup, if not by that of the server.
	go func() {
		select {
		case <-s.o.Stopping:
			cancel(errStopping)
		case <-stop:
		}
	}()
	answer, err := s.o.Backup(ctx, to)
	if err != nil && context.Cause(ctx) == errStopping {
		return errStopping
	}
	if err != nil {
		return err
	}
	surface.WriteJSON(w, http.StatusOK, answer)
	return nil
}
