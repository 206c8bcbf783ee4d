package streams

import (
	"net/http"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/surface"
)

// A listed is a stream in a list.
type listed struct {
	Name        string        `json:"name"`
	ContentType string        `json:"contentType"`
	Offset      string        `json:"offset"` // of the newest entry
	Records     int64         `json:"records"`
	Bytes       int64         `json:"bytes"`
	End         leat.EndState `json:"end,omitempty"`
}

// list answers GET of the prefix itself: which streams there are.
func (s *Surface) list(w http.ResponseWriter, r *http.Request) error {
	q, err := surface.ParseQuery(r)
	if err != nil {
		return err
	}
	limit, err := surface.ParseLimit(q)
	if err != nil {
		return err
	}
	metas, next, err := s.o.Journal.List(r.Context(), q.Get("prefix"), q.Get("after"), limit)
	if err != nil {
		return err
	}
	list := make([]listed, 0, len(metas))
	for _, m := range metas {
		list = append(list, listed{m.Name, m.ContentType, m.Last.String(), m.Records, m.End - m.Start, m.Over})
	}
	w.Header().Set("Cache-Control", "no-store")
	surface.WriteJSON(w, http.StatusOK, struct {
		Streams []listed `json:"streams"`
		Next    string   `json:"next,omitempty"`
	}{list, next})
	return nil
}
