package api

import (
	"net/http"
	"strconv"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/surface"
)

// maxReason is the longest reason that a subscriber is sent, in bytes.
const maxReason = 200

// A subscriber is a connected reader in a list.
type subscriber struct {
	ID        uint64      `json:"id"`
	Remote    string      `json:"remote"`
	Surface   string      `json:"surface"`
	Format    string      `json:"format"`
	Transport string      `json:"transport"`
	Topics    []string    `json:"topics"`
	Since     time.Time   `json:"since"`
	Cursor    leat.Offset `json:"cursor"`
	Lag       int         `json:"lag"`
	More      bool        `json:"more"` // lag is what is in memory of it
	Bytes     int64       `json:"bytes"`
}

func (s *Surface) subscribers(w http.ResponseWriter, r *http.Request, _ string) error {
	q, err := surface.ParseQuery(r)
	if err != nil {
		return err
	}
	limit, err := surface.ParseLimit(q)
	if err != nil {
		return err
	}
	after := uint64(0)
	if text := q.Get("after"); text != "" {
		if after, err = strconv.ParseUint(text, 10, 64); err != nil {
			return surface.InvalidParameter("after", text, "It is the next of the list before.")
		}
	}
	found := s.o.Host.Subscribers(after, limit+1)
	var answer struct {
		Subscribers []subscriber `json:"subscribers"`
		Next        uint64       `json:"next,omitempty"`
	}
	answer.Subscribers = []subscriber{}
	for i, f := range found {
		if i == limit {
			answer.Next = found[i-1].Number
			break
		}
		topics := append([]string{}, f.Filter.Names()...)
		for _, p := range f.Filter.Patterns() {
			topics = append(topics, p.String())
		}
		answer.Subscribers = append(answer.Subscribers, subscriber{
			f.Number, f.Remote, f.Kind.Surface, f.Kind.Format, f.Kind.Transport, topics, f.Since, f.Cursor, f.Lag, f.More, f.Bytes,
		})
	}
	surface.WriteJSON(w, http.StatusOK, answer)
	return nil
}

func (s *Surface) dismiss(w http.ResponseWriter, r *http.Request, id string) error {
	q, err := surface.ParseQuery(r)
	if err != nil {
		return err
	}
	number, err := parseID(id)
	if err != nil {
		return err
	}
	reason := q.Get("reason")
	if len(reason) > maxReason {
		return surface.InvalidParameter("reason", reason[:maxReason]+"…", "It has at most "+strconv.Itoa(maxReason)+" bytes.")
	}
	if reason == "" {
		reason = "by the operator"
	}
	if !s.o.Host.Dismiss(number, reason) {
		return errLeft(id)
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// tap sends what a subscriber is sent.
func (s *Surface) tap(w http.ResponseWriter, r *http.Request, id string) error {
	number, err := parseID(id)
	if err != nil {
		return err
	}
	log, untap := s.o.Host.Tap(number)
	if log == nil {
		return errLeft(id)
	}
	defer untap()
	s.send(w, r, log, 0)
	return nil
}

func parseID(id string) (uint64, error) {
	number, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return 0, errLeft(id)
	}
	return number, nil
}

func errLeft(id string) error {
	return leat.Errorf(leat.CodeNotFound, "there is no subscriber %q", id).Advise("GET /api/subscribers says which there are.")
}
