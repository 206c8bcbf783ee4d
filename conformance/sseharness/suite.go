package main

import (
	"fmt"
	"io"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// A test is one thing that a client has to do.
type test struct {
	name  string // group/what
	needs string // the capability, or none
	run   func(*T)
}

// A suite runs tests against one service.
type suite struct {
	service  *service
	only     *regexp.Regexp // by name
	timeout  time.Duration  // for what has to happen
	away     time.Duration  // to wait for what must not
	parallel int
	verbose  bool
	out      io.Writer

	// Guarded by mu.
	mu     sync.Mutex
	failed []string
}

// run runs tests, tells how they went, and returns how many failed.
func (s *suite) run(tests []test) int {
	streams := newStreams()
	server := httptest.NewServer(streams)
	streams.url = server.URL
	defer server.Close()
	began := time.Now()
	passed, skipped := 0, map[string]int{}
	slots := make(chan struct{}, s.parallel)
	var running sync.WaitGroup
	for _, test := range tests {
		if !s.only.MatchString(test.name) {
			continue
		}
		if test.needs != "" && !slices.Contains(s.service.Capabilities, test.needs) {
			skipped[test.needs]++
			continue
		}
		slots <- struct{}{}
		// Owned by run, which waits for it; the test ends within its timeouts.
		running.Go(func() {
			s.one(streams, test)
			<-slots
		})
		passed++
	}
	running.Wait()
	passed -= len(s.failed)
	for _, capability := range slices.Sorted(mapKeys(skipped)) {
		fmt.Fprintf(s.out, "skipped %d tests, as the service has not the capability %s\n", skipped[capability], capability)
	}
	fmt.Fprintf(s.out, "%d passed, %d failed in %.1fs\n", passed, len(s.failed), time.Since(began).Seconds())
	return len(s.failed)
}

// one runs a test.
func (s *suite) one(streams *streams, test test) {
	t := &T{suite: s, name: test.name, streams: streams}
	began := time.Now()
	defer func() {
		reason := recover()
		t.close()
		took := time.Since(began).Round(time.Millisecond)
		s.mu.Lock()
		defer s.mu.Unlock()
		switch reason := reason.(type) {
		case nil:
			if s.verbose {
				fmt.Fprintf(s.out, "ok    %s (%v)\n", t.name, took)
			}
		case failure:
			s.failed = append(s.failed, t.name)
			fmt.Fprintf(s.out, "FAIL  %s (%v)\n      %s\n", t.name, took, strings.ReplaceAll(string(reason), "\n", "\n      "))
		default:
			panic(reason)
		}
	}()
	test.run(t)
}

// A failure is why a test has failed. Tests panic with it.
type failure string

// A T is a test that runs: one stream, and one client that reads it.
type T struct {
	suite   *suite
	name    string
	streams *streams
	stream  *stream
	client  *driven
	lenient bool // errors are no matter: see mayFail
}

func (t *T) fail(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }

func (t *T) close() {
	if t.client != nil {
		t.client.stop()
	}
	if t.stream != nil {
		t.streams.remove(t.stream)
	}
}

// patient returns what comes from c, and fails if that takes too long.
func patient[V any](t *T, c <-chan V, what string) V {
	timer := time.NewTimer(t.suite.timeout)
	defer timer.Stop()
	select {
	case v := <-c:
		return v
	case <-timer.C:
		t.fail("no %s within %v", what, t.suite.timeout)
		panic("unreachable")
	}
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}
