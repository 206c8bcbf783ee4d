//go:build linux

package main

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
)

// An ability is what a scenario may need of a server.
type ability int

const (
	events ability = 1 << iota // many readers of one topic
	crowds                     // a thousand of them at 200,000 deliveries a second, or ten thousand
	topics                     // of many topics
	resume                     // readers that come back get what they have missed
	stored                     // records survive the end of the process
)

// A peer is a kind of server, and how one speaks to it.
type peer struct {
	name string
	can  ability // 0: only for scenarios that name it
	// there says whether it is measured in this run; nil: always.
	there func() bool
	// start returns the process, or nil if the peer has none. It sets the server's
	// address if the process does not print it.
	start func(*server) (*exec.Cmd, error)
	// create returns the request that makes a topic; nil: it is made by its use.
	create func(topic string) string
	// alone measures what is no server, in the place of a scenario's run.
	alone func() (result, error)
	// subscribe returns the request of a reader; all: with everything there is.
	subscribe func(topic string, all bool) string
	// mark is what stands before an event in its line of data; usually nothing does.
	mark string
	// publish appends a request that publishes an event.
	publish func(b []byte, topic string, body []byte) []byte
	// content returns the path of all that was published to a topic; nil if it has none.
	content func(topic string) string
}

// peers are all kinds of servers, Leat first.
var peers = slices.Concat([]*peer{
	{
		name: "leat", can: events | crowds | topics | resume | stored, start: startLeat,
		subscribe: func(topic string, all bool) string {
			if all {
				return get("/events?topic=" + topic + "&from=start")
			}
			return get("/events?topic=" + topic)
		},
		publish: postEvents,
		content: func(topic string) string { return "/streams/" + topic },
	},
	ours("net/http", events|crowds|topics|resume),
	ours("bare", events|crowds),
	ours("go-sse", events|crowds|topics|resume),
	ours("r3labs", events|crowds|topics|resume),
	leatDurable,
}, programs, writePeers)

// ours returns a rival that this program is itself, with -rival.
func ours(name string, can ability) *peer {
	return &peer{
		name: name, can: can, start: startSelf,
		subscribe: func(topic string, all bool) string {
			if all {
				return get("/events?topic="+topic, "Last-Event-ID: 0")
			}
			return get("/events?topic=" + topic)
		},
		publish: postEvents,
	}
}

// startLeat starts Leat with its defaults, in the class disk.
func startLeat(s *server) (*exec.Cmd, error) {
	args := append([]string{"serve", "--listen", "127.0.0.1:0", "--data", s.dir}, s.args...)
	return exec.Command(*flagLeat, append(args, strings.Fields(*flagLeatFlags)...)...), nil
}

// startSelf starts this program as the rival of that name.
func startSelf(s *server) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, "-rival", s.name)
	cmd.Dir = s.dir
	return cmd, nil
}

func get(path string, headers ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
}

func post(b []byte, path, headers string, body []byte) []byte {
	return fmt.Appendf(b, "POST %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n%s", path, headers, len(body), body)
}

func postEvents(b []byte, topic string, body []byte) []byte {
	return post(b, "/events?topic="+topic, "Content-Type: text/plain\r\n", body)
}
