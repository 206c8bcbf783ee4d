//go:build linux

package main

import (
	"fmt"
	"time"
)

// fanOutScenarios are readers that wait for what is published: targets 1 to 4, 6 and 7
// of the fan-out engine.
var fanOutScenarios = []scenario{
	{name: "idle 10000", needs: crowds, run: func(s *server) (result, error) { return idle(s, 10_000) }},
	{name: "idle 15000", servers: []string{"leat", "net/http", "nchan"}, run: func(s *server) (result, error) { return idle(s, 15_000) }},
	{name: "full speed 1000", needs: crowds, run: func(s *server) (result, error) { return fullSpeed(s, 1000, 3*time.Second) }},
	{name: "full speed 10000", needs: crowds, run: func(s *server) (result, error) { return fullSpeed(s, 10_000, 4*time.Second) }},
	{name: "paced 1000 x 50/s", needs: events, run: func(s *server) (result, error) { return paced(s, 1000, 50, 4*time.Second) }},
	{name: "paced 1000 x 200/s", needs: crowds, run: func(s *server) (result, error) { return paced(s, 1000, 200, 4*time.Second) }},
	{name: "resume 1000 x 1000", needs: resume, run: func(s *server) (result, error) { return comeBack(s, 1000, 1000, false) }},
	{name: "resume from disk", needs: resume | stored, run: func(s *server) (result, error) { return comeBack(s, 1000, 1000, true) }},
	{name: "500 streams x 50/s", needs: topics, run: func(s *server) (result, error) { return manyTopics(s, 500, 500, 25_000, 4*time.Second) }},
	{name: "5000 topics, 2000/s", needs: topics, run: func(s *server) (result, error) { return manyTopics(s, 5000, 4, 2000, 4*time.Second) }},
}

var fanOutTargets = []target{
	{name: "1: PSS of the server per idle reader, 10,000 readers", unit: "B", most: true, limit: 1024,
		value: func(rs results) float64 { return rs.of("idle 10000", "leat", "B/reader") }},
	{name: "1: … 15,000 readers", unit: "B", most: true, limit: 1024,
		value: func(rs results) float64 { return rs.of("idle 15000", "leat", "B/reader") }},
	{name: "2: full speed, 10,000 readers: deliveries/s, as a multiple of the hand-written handler's", unit: "x", limit: 15,
		value: ratio("full speed 10000", "deliveries/s", "net/http")},
	{name: "2: … CPU s per million deliveries", unit: "s", most: true, limit: 1,
		value: func(rs results) float64 { return rs.of("full speed 10000", "leat", "CPU s/M") }},
	{name: "3: 1,000 readers, 200 events/s: share of the rate reached", unit: "", limit: 0.995,
		value: func(rs results) float64 { return rs.of("paced 1000 x 200/s", "leat", "rate") }},
	{name: "3: … CPU per delivery, as a multiple of the bare loop's", unit: "x", most: true, limit: 1,
		value: ratio("paced 1000 x 200/s", "CPU s/M", "bare")},
	{name: "3: … p99", unit: "ms", most: true, limit: 20,
		value: func(rs results) float64 { return rs.of("paced 1000 x 200/s", "leat", "p99 ms") }},
	{name: "3: 1,000 readers, 50 events/s: CPU per delivery, as a multiple of the bare loop's", unit: "x", most: true, limit: 1.25,
		value: ratio("paced 1000 x 50/s", "CPU s/M", "bare")},
	{name: "3: … p99", unit: "ms", most: true, limit: 20,
		value: func(rs results) float64 { return rs.of("paced 1000 x 50/s", "leat", "p99 ms") }},
	{name: "4: 1,000 readers resume 1,000 events back: until all are live", unit: "s", most: true, limit: 0.25,
		value: func(rs results) float64 { return rs.of("resume 1000 x 1000", "leat", "live s") }},
	{name: "4: … with the history on disk only", unit: "s", most: true, limit: 0.25,
		value: func(rs results) float64 { return rs.of("resume from disk", "leat", "live s") }},
	{name: "6: 500 streams, 50 events/s and one reader each: share of the rate reached", unit: "", limit: 0.995,
		value: func(rs results) float64 { return rs.of("500 streams x 50/s", "leat", "rate") }},
	{name: "6: … p99", unit: "ms", most: true, limit: 15,
		value: func(rs results) float64 { return rs.of("500 streams x 50/s", "leat", "p99 ms") }},
	{name: "6: … CPU per event, as a multiple of the hand-written handler's", unit: "x", most: true, limit: 1,
		value: ratio("500 streams x 50/s", "CPU s/M", "net/http")},
	{name: "7: 5,000 topics, one reader each, 2,000 events/s: CPU per delivery, as a multiple of the handler's", unit: "x", most: true, limit: 1,
		value: ratio("5000 topics, 2000/s", "CPU s/M", "net/http")},
}

// ratio returns a number of Leat's as a multiple of a rival's.
func ratio(scenario, what, rival string) func(results) float64 {
	return func(rs results) float64 { return rs.of(scenario, "leat", what) / rs.of(scenario, rival, what) }
}

// idle measures the memory of readers that have nothing to read, a while after they
// came: what connecting left behind is given back by and by.
func idle(s *server, readers int) (r result, err error) {
	if err := s.make("idle"); err != nil {
		return r, err
	}
	before := s.memory()
	beganObjects, beganBuffers := kernelMemory()
	began, cpu := time.Now(), s.cpu()
	l, err := newLoad(s, readers, func(int) string { return s.subscribe("idle", false) })
	if err != nil {
		return r, err
	}
	defer l.close()
	r.ConnectSeconds = time.Since(began).Seconds()
	r.add("connect", r.ConnectSeconds, "s")
	r.add("connect CPU", (s.cpu()-cpu)/float64(readers)*1e6, "us/reader")
	time.Sleep(12 * time.Second)
	r.BytesPerReader = float64(s.memory()-before) / float64(readers)
	objects, buffers := kernelMemory()
	r.add("kernel objects", float64(objects-beganObjects)/float64(readers), "B/reader, both ends")
	r.add("kernel buffers", float64(buffers-beganBuffers)/float64(readers), "B/reader, both ends")
	return r, l.failure()
}

// fullSpeed publishes as fast as readers get it: four publishers, and no more than
// about 32 events that not all readers have, so that nobody wins by queueing.
func fullSpeed(s *server, readers int, d time.Duration) (r result, err error) {
	l, err := ofOneTopic(s, readers)
	if err != nil {
		return r, err
	}
	defer l.close()
	const window = 32
	p := newPublishers(s, 4, "a")
	p.mayGo = func() bool { return p.sent.Load()*int64(readers)-l.delivered.Load() < window*int64(readers) }
	return measure(s, l, p, d)
}

// ofOneTopic connects readers of the topic a, from now on.
func ofOneTopic(s *server, readers int) (*load, error) {
	if err := s.make("a"); err != nil {
		return nil, err
	}
	return newLoad(s, readers, func(int) string { return s.subscribe("a", false) })
}

// paced publishes at a rate.
func paced(s *server, readers int, rate float64, d time.Duration) (r result, err error) {
	l, err := ofOneTopic(s, readers)
	if err != nil {
		return r, err
	}
	defer l.close()
	p := newPublishers(s, 1, "a")
	p.rate = rate
	return measure(s, l, p, d)
}

// manyTopics has a reader for each topic, and events for each in turn.
func manyTopics(s *server, n, publishers int, rate float64, d time.Duration) (r result, err error) {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("t%d", i)
	}
	if err := s.make(names...); err != nil {
		return r, err
	}
	l, err := newLoad(s, n, func(i int) string { return s.subscribe(names[i], false) })
	if err != nil {
		return r, err
	}
	defer l.close()
	p := newPublishers(s, publishers, names...)
	p.rate = rate
	return measure(s, l, p, d)
}

// measure publishes for a while, after a quarter of it that does not count, and looks
// at what arrives. All topics have as many readers.
func measure(s *server, l *load, p *publishers, d time.Duration) (r result, err error) {
	p.start()
	time.Sleep(d / 4)
	l.resetLatency()
	before, n, reads, sent, busy := s.spent(), l.delivered.Load(), l.reads.Load(), p.sent.Load(), l.busy()
	time.Sleep(d)
	took, cpu, others := s.spent().since(before)
	r.Others = others
	r.Deliveries = l.delivered.Load() - n
	r.PerSecond = per(r.Deliveries, took)
	r.CPUPerMillion = per(1e6*cpu, float64(r.Deliveries))
	r.DeliveriesARead = per(r.Deliveries, float64(l.reads.Load()-reads))
	r.GeneratorBusy = (l.busy() - busy).Seconds() / took
	if p.rate > 0 {
		r.RateReached = float64(p.sent.Load()-sent) / took / p.rate
	}
	r.P50Ms, r.P99Ms = l.latency(0.5), l.latency(0.99)
	if err := p.stop(); err != nil {
		return r, err
	}
	want := p.sent.Load() * int64(len(l.conns)/len(p.topics))
	l.waitFor(want, 5*time.Second)
	r.Missing, r.Wrong = want-l.delivered.Load(), l.wrong.Load()
	return r, l.failure()
}

// comeBack has readers come at once that have all to read; again, if it is to be, from
// a server that was started after everything had been published.
func comeBack(s *server, readers, events int, again bool) (r result, err error) {
	if err := s.make("a"); err != nil {
		return r, err
	}
	if err := newPublishers(s, 1, "a").publish(events); err != nil {
		return r, err
	}
	if again {
		if err := s.restart(); err != nil {
			return r, err
		}
	}
	before := s.spent()
	l, err := newLoad(s, readers, func(int) string { return s.subscribe("a", true) })
	if err != nil {
		return r, err
	}
	defer l.close()
	r.Deliveries = int64(readers * events)
	l.waitFor(r.Deliveries, 20*time.Second)
	took, cpu, others := s.spent().since(before)
	r.SecondsUntilLive, r.Others = took, others
	r.PerSecond = per(l.delivered.Load(), r.SecondsUntilLive)
	r.CPUPerMillion = per(1e6*cpu, float64(r.Deliveries))
	r.DeliveriesARead = per(l.delivered.Load(), float64(l.reads.Load()))
	r.GeneratorBusy = l.busy().Seconds() / r.SecondsUntilLive
	r.Missing, r.Wrong = r.Deliveries-l.delivered.Load(), l.wrong.Load()
	return r, l.failure()
}
