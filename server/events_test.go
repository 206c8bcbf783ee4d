package server_test

import (
	"fmt"
	"testing"

	"github.com/leat-dev/leat/server"
)

func TestPublishAndSubscribe(t *testing.T) {
	overProtocols(t, server.Options{}, func(t *testing.T, s *service) {
		old := s.publish("a", "before")
		r := s.subscribe("topic=a&topic=b/*")
		if ev := r.next(); ev.Type != "leat.cursor" || ev.ID != old || len(ev.Data) != 0 {
			t.Fatalf("the stream begins with %+v", ev)
		}
		id := s.publish("a", "one\ntwo", "type=price")
		if ev := r.next(); ev.ID != id || ev.Type != "price" || string(ev.Data) != "one\ntwo" {
			t.Errorf("got %+v", ev)
		}
		s.publish("c", "not asked for")
		for i := range 100 {
			id := s.publish("b/x", fmt.Sprint(i))
			if ev := r.next(); ev.ID != id || string(ev.Data) != fmt.Sprint(i) {
				t.Fatalf("got %+v", ev)
			}
		}
		r.close()
		resumed := s.subscribe("topic=a&topic=b/*", "Last-Event-ID", id)
		resumed.next()
		for i := range 100 {
			if ev := resumed.next(); string(ev.Data) != fmt.Sprint(i) {
				t.Fatalf("resumed: got %+v, want %d", ev, i)
			}
		}
	})
}
