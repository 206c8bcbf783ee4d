package events

import (
	"net/http"
	"net/url"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/session"
	"github.com/leat-dev/leat/internal/surface"
)

// A subscription is what a request asks for.
type subscription struct {
	filter *leat.Filter
	ask    *session.Ask
	form   render.Form
}

// parseQuery is the query of a request to publish or to subscribe.
func parseQuery(r *http.Request) (url.Values, error) { return surface.ParseQuery(r) }

// parseSubscription reads a request to subscribe.
func (s *Surface) parseSubscription(r *http.Request) (*subscription, error) {
	q, err := parseQuery(r)
	if err != nil {
		return nil, err
	}
	topics := q["topic"]
	if len(topics) > MaxTopics {
		return nil, leat.Errorf(leat.CodeTooManyTopics, "%d topics are named and the limit is %d", len(topics), MaxTopics).
			Advise("Use a pattern such as orders/*, or several connections.")
	}
	sub := &subscription{form: render.EventStream}
	if sub.filter, err = leat.ParseFilter(topics...); err != nil {
		return nil, err
	}
	if sub.ask, err = session.ParseAsk(r, q, s.o.Heartbeat); err != nil {
		return nil, err
	}
	envelope, err := surface.ParseFlag(q, "envelope")
	if envelope {
		sub.form = render.EventStreamEnvelope
	}
	return sub, err
}
