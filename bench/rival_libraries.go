//go:build linux

package main

import (
	"io"
	"net/http"

	r3labs "github.com/r3labs/sse/v2"
	gosse "github.com/tmaxmax/go-sse"
)

// newGoSSE serves with github.com/tmaxmax/go-sse: its server, with a replayer of as
// many events as a scenario needs at most.
func newGoSSE() http.Handler {
	replayer, err := gosse.NewFiniteReplayer(2048, true)
	if err != nil {
		panic(err) // only if the number is below 2
	}
	s := &gosse.Server{
		Provider: &gosse.Joe{Replayer: greeter{replayer}},
		OnSession: func(_ http.ResponseWriter, r *http.Request) ([]string, bool) {
			return []string{r.URL.Query().Get("topic")}, true
		},
	}
	publish := func(data, topic string) error {
		m := &gosse.Message{}
		m.AppendData(data)
		return s.Publish(m, topic)
	}
	// It numbers events from 0 and replays what comes after a number: this one is 0.
	first := publish("the first", "none")
	return posted(s, func(topic string, body []byte) error {
		if first != nil {
			return first
		}
		return publish(string(body), topic)
	})
}

// A greeter begins the answer as soon as a reader is subscribed, and not before: by
// itself it begins with the first event, and nobody could tell when that is due.
type greeter struct{ gosse.Replayer }

func (g greeter) Replay(to gosse.Subscription) error {
	if err := g.Replayer.Replay(to); err != nil {
		return err
	}
	return to.Client.Flush()
}

// newR3Labs serves with github.com/r3labs/sse as it is configured by itself, which
// keeps all events and sends them to each new reader. Streams are made on first use.
func newR3Labs() http.Handler {
	s := r3labs.New()
	s.AutoStream = true
	read := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.RawQuery = "stream=" + r.URL.Query().Get("topic")
		s.ServeHTTP(w, r)
	})
	return posted(read, func(topic string, body []byte) error {
		s.CreateStream(topic)
		s.Publish(topic, &r3labs.Event{Data: body})
		return nil
	})
}

// posted publishes what is posted, and leaves everything else to read.
func posted(read http.Handler, publish func(topic string, body []byte) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			read.ServeHTTP(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = publish(r.URL.Query().Get("topic"), body)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
}
