package doctor

import (
	"context"
	"sync"
	"time"
)

// How probes are published: so many, so far apart; how long they may take; and how
// much is published then to push out what is held back, which is more than what
// proxies collect by default.
const (
	probes     = 12
	probePause = 100 * time.Millisecond
	probeWait  = 3 * time.Second
	pushBytes  = 64 << 10
)

// A prober publishes while a stream is watched. It belongs to the goroutine that
// watches.
type prober struct {
	begin   func(n, size int) // publishes in the background, nil without a Probe
	close   func()            // ends that, and waits for its end
	results chan published
	timer   *time.Timer // when the next step is due
	state   probeState

	list   []probe
	have   map[string]bool // ids of events that have come
	pushed time.Time
	err    error
}

type probeState int

const (
	waiting    probeState = iota // for the stream to begin
	publishing                   // the probes
	settling                     // until they have come
	pushing                      // until what pushes has come
	done
)

type published struct {
	probe
	err error
}

func (x *exam) newProber(ctx context.Context) *prober {
	p := &prober{results: make(chan published, 1), timer: time.NewTimer(0), have: make(map[string]bool), state: done, close: func() {}}
	p.timer.Stop()
	if x.o.Probe == nil {
		return p
	}
	p.state = waiting
	ctx, cancel := context.WithCancel(ctx)
	var publishes sync.WaitGroup
	p.close = func() { cancel(); publishes.Wait() }
	p.begin = func(n, size int) {
		// Owned by p; close ends it.
		publishes.Go(func() {
			id, err := x.o.Probe(ctx, n, size)
			p.results <- published{probe{id, time.Now()}, err} // one at a time
		})
	}
	return p
}

// beginWithin has the first probe published after a time, unless the stream begins
// before.
func (p *prober) beginWithin(d time.Duration) {
	if p.state == waiting {
		p.timer.Reset(d)
	}
}

// step does what the timer was set for.
func (p *prober) step() {
	switch p.state {
	case waiting, publishing:
		p.state = publishing
		p.begin(len(p.list)+1, 0)
	case settling:
		p.state = pushing
		p.pushed = time.Now()
		p.begin(probes+1, pushBytes)
	case pushing:
		p.state = done
	}
}

// took takes notice of a probe that was published, or could not be.
func (p *prober) took(r published) {
	switch {
	case r.err != nil:
		p.err, p.state = r.err, done
		return
	case !p.pushed.IsZero():
		if p.state == pushing { // all may have come before the answer
			p.timer.Reset(probeWait)
		}
		return
	}
	p.list = append(p.list, r.probe)
	if len(p.list) < probes {
		p.timer.Reset(probePause)
		return
	}
	p.state = settling
	p.timer.Reset(probeWait)
	p.settle()
}

// saw takes notice of what came.
func (p *prober) saw(s sign) {
	if p.state == waiting && s.kind != arrived {
		p.timer.Reset(0) // it is being followed
	}
	if s.kind == event {
		p.have[s.id] = true
		p.settle()
	}
}

// settle ends the waiting once all has come.
func (p *prober) settle() {
	if p.state != settling && p.state != pushing {
		return
	}
	for _, probe := range p.list {
		if !p.have[probe.id] {
			return
		}
	}
	p.state = done
	p.timer.Stop()
}

func (p *prober) settled() bool { return p.state == done }

// finish writes what was done into what was seen.
func (p *prober) finish(s *seen) {
	s.probes, s.probeErr, s.pushed = p.list, p.err, p.pushed
}
