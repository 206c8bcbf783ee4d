package streams

import (
	"net/http"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/upload"
)

// trim answers a POST that removes the oldest records of a stream. It is none that
// appends or ends: a server that does not know the field refuses it for having no body.
func (s *Surface) trim(w http.ResponseWriter, r *http.Request, name string, in *upload.Body) error {
	if !in.Empty() || field(r.Header, fieldClosed) == "true" {
		return leat.Errorf(leat.CodeInvalidBody, "a request with %s does nothing else, and has a body or %s", fieldTrim, fieldClosed).
			Advise("Send them one after the other.")
	}
	upTo, err := leat.ParseOffset(field(r.Header, fieldTrim))
	if err == nil {
		err = s.o.Journal.Trim(r.Context(), name, upTo)
	}
	if err != nil {
		s.explainState(w.Header(), r, name, err)
		return err
	}
	m, err := s.o.Journal.Stat(r.Context(), name, false)
	if err != nil {
		return err
	}
	setEnd(w.Header(), m.Last, ending{m.Over, m.Reason})
	w.WriteHeader(http.StatusNoContent)
	return nil
}
