//go:build linux

package main

import (
	"fmt"
	"time"
)

// filterScenarios are readers that have a filter each.
var filterScenarios = []scenario{
	{name: "10000 filters", servers: []string{"leat"}, run: func(s *server) (result, error) { return filters(s, 10_000) }},
}

var filterTargets = []target{
	{name: "8: 10,000 readers, each with a filter of its own: PSS of the server per reader", unit: "B", most: true, limit: 2048,
		value: func(rs results) float64 { return rs.of("10000 filters", "leat", "B/reader") }},
	{name: "8: … CPU per delivery of what all of them want, as a multiple of one filter's", unit: "x", most: true, limit: 2,
		value: func(rs results) float64 {
			return rs.of("10000 filters", "leat", "CPU s/M") / rs.of("full speed 10000", "leat", "CPU s/M")
		}},
}

// filters has readers of which each wants a topic of its own and one that all want. It
// measures their memory while nothing comes, and then full speed on the common topic.
func filters(s *server, readers int) (r result, err error) {
	before := s.memory()
	l, err := newLoad(s, readers, func(i int) string {
		return get(fmt.Sprintf("/events?topic=user/%d&topic=a", i))
	})
	if err != nil {
		return r, err
	}
	defer l.close()
	time.Sleep(12 * time.Second)
	memory := float64(s.memory()-before) / float64(readers)
	const window = 32
	p := newPublishers(s, 4, "a")
	p.mayGo = func() bool { return p.sent.Load()*int64(readers)-l.delivered.Load() < window*int64(readers) }
	r, err = measure(s, l, p, 4*time.Second)
	r.BytesPerReader = memory
	return r, err
}
