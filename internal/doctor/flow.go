package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// held is from when on an event counts as held back. A busy machine may take some of
// that by itself.
const held = time.Second

// flushing examines whether events come when they are sent.
func (x *exam) flushing(s *seen) {
	switch {
	case s.probeErr != nil:
		x.found(Problem, "flush", fmt.Sprintf("publishing to the stream failed: %v", s.probeErr), "publish to a topic that takes records, or leave out the probe")
	case len(s.probes) > 0:
		x.probed(s)
	case x.o.Direct != "":
		x.compared(s)
	default:
		x.bursts(s)
	}
}

// probed compares when probes were stored and when they came.
func (x *exam) probed(s *seen) {
	came := make(map[string]time.Time)
	for _, ev := range s.of(event) {
		came[ev.id] = ev.at
	}
	var delays []time.Duration
	missing := 0
	for _, p := range s.probes {
		if at, ok := came[p.id]; ok {
			delays = append(delays, max(at.Sub(p.stored), 0))
			continue
		}
		missing++
	}
	late, longest := overdue(delays)
	x.held = late+missing > 0
	switch {
	case missing > 0:
		x.found(Problem, "flush", fmt.Sprintf("%d of %d events that were published did not come within %s", missing, len(s.probes), seconds(2*probeWait)), unbuffer(s.resp.Header))
	case late > 0:
		text := fmt.Sprintf("%s held back %s", were(late), seconds(longest))
		if !s.pushed.IsZero() {
			text += fmt.Sprintf(", until %d KiB more pushed them out", pushBytes>>10)
		}
		x.found(Problem, "flush", text, unbuffer(s.resp.Header))
	default:
		x.found(OK, "flush", fmt.Sprintf("each of %d events that were published came within %s", len(delays), seconds(max(longest, time.Millisecond))), "")
	}
}

// overdue returns how many of delays are too long, and the longest of all.
func overdue(delays []time.Duration) (n int, longest time.Duration) {
	for _, d := range delays {
		if longest = max(longest, d); d > held {
			n++
		}
	}
	return n, longest
}

func were(n int) string {
	if n == 1 {
		return "1 event was"
	}
	return fmt.Sprintf("%d events were", n)
}

// compared compares when events came with when they came without what is in between.
func (x *exam) compared(s *seen) {
	if s.directErr != nil {
		x.found(Problem, "flush", fmt.Sprintf("the stream without what is in between cannot be read: %v", s.directErr), "check that address")
		return
	}
	came := make(map[string]time.Time)
	for _, ev := range s.of(event) {
		if _, twice := came[ev.name()]; !twice {
			came[ev.name()] = ev.at
		}
	}
	var delays []time.Duration
	missing := 0
	for _, ev := range s.direct {
		switch at, ok := came[ev.name()]; {
		case ok:
			delays = append(delays, at.Sub(ev.at))
		case s.until.Sub(ev.at) > held:
			missing++ // it had the time to come
		}
	}
	late, longest := overdue(delays)
	x.held = late+missing > 0
	switch {
	case len(delays)+missing == 0:
		x.found(Note, "flush", "no event has come, so nothing is known of how they are passed on", "watch for longer, or when there is more going on")
	case late+missing > 0:
		text := fmt.Sprintf("%s held back by what is in between", were(late+missing))
		if longest > 0 {
			text += fmt.Sprintf(", up to %s", seconds(longest))
		}
		if missing > 0 {
			text += fmt.Sprintf("; %d of them had not come in the end", missing)
		}
		x.found(Problem, "flush", text, unbuffer(s.resp.Header))
	default:
		x.found(OK, "flush", fmt.Sprintf("each of %d events came within %s of when it came directly", len(delays), seconds(max(longest, time.Millisecond))), "")
	}
}

// name tells an event from others: it has an id, or its content has to do.
func (s sign) name() string {
	if s.id != "" {
		return "id " + s.id
	}
	return "data " + s.typ + "\n" + s.data
}

// A burst is events that came together.
type burst struct {
	events int
	after  time.Duration // of silence
}

// bursts guesses, from how events come, whether they are held back: from one side it
// cannot be known.
func (x *exam) bursts(s *seen) {
	const together, silence, many = 20 * time.Millisecond, time.Second, 3
	var list []burst
	last := s.head
	events := s.of(event)
	for i, ev := range events {
		if quiet := ev.at.Sub(last); quiet > together || i == 0 {
			list = append(list, burst{after: quiet})
		}
		list[len(list)-1].events++
		last = ev.at
	}
	if len(list) > 0 && list[0].after < silence {
		list = list[1:] // what there was already
	}
	n, in, longest := 0, 0, time.Duration(0)
	for _, b := range list {
		if b.events >= many && b.after >= silence {
			n, in, longest = n+1, in+b.events, max(longest, b.after)
		}
	}
	switch {
	case len(events) == 0:
		x.found(Note, "flush", "no event has come, so nothing is known of how they are passed on", "watch for longer (--for), compare with the server itself (--direct URL), or on a Leat server have events published (--probe)")
	case n >= 2:
		x.found(Warning, "flush", fmt.Sprintf("%d events came in %d bursts, after silences of up to %s: either the server sends them so, or they are held back", in, n, seconds(longest)),
			"compare with the server itself (--direct URL), or on a Leat server have events published (--probe). If they are held back, "+unbuffer(s.resp.Header))
	default:
		x.found(Note, "flush", fmt.Sprintf("%d events came, not in bursts; whether each came at once cannot be known from here", len(events)), "compare with the server itself (--direct URL), or on a Leat server have events published (--probe)")
	}
}

// A layer cuts connections on which nothing comes for a time.
type layer struct {
	name  string
	after time.Duration
}

// idle are the limits that are in force unless somebody has set another.
var idle = []layer{
	{"Fastly", 10 * time.Second},
	{"Azure Application Gateway", 20 * time.Second},
	{"CloudFront", 30 * time.Second},
	{"Azure Front Door", 30 * time.Second},
	{"Heroku", 55 * time.Second},
	{"nginx", 60 * time.Second},
	{"Apache", 60 * time.Second},
	{"AWS ALB", 60 * time.Second},
	{"Cloudflare", 120 * time.Second},
	{"Azure App Service", 230 * time.Second},
	{"Envoy", 300 * time.Second},
	{"AWS NLB", 350 * time.Second},
}

// cutBy names who would cut a connection that is silent for d.
func cutBy(d time.Duration) string {
	var names []string
	for _, l := range idle {
		if l.after <= d {
			names = append(names, fmt.Sprintf("%s (%s)", l.name, seconds(l.after)))
		}
	}
	return strings.Join(names, ", ")
}

// heartbeat examines the silences.
func (x *exam) heartbeat(s *seen) {
	const due, usual = 5 * time.Second, 20 * time.Second
	const fix = "send a comment every 15 s when there is nothing else"
	last, longest, beats := s.head, time.Duration(0), 0
	for _, sign := range s.signs {
		quiet := sign.at.Sub(last)
		longest, last = max(longest, quiet), sign.at
		if sign.kind == arrived && quiet >= due {
			beats++
		}
	}
	end := s.until.Sub(last)
	if !s.ended && end > max(longest, due) {
		// It goes on: how long it would have lasted is not known.
		if cut := cutBy(end); cut != "" && end > usual {
			x.found(Warning, "heartbeat", fmt.Sprintf("nothing has come for %s: that would be cut by %s", seconds(end), cut), fix)
			return
		}
		x.found(Note, "heartbeat", fmt.Sprintf("nothing has come in the last %s of %s, so there is no heartbeat within that time", seconds(end), seconds(s.until.Sub(s.head))), "watch for longer: --for 70s")
		return
	}
	cut := cutBy(longest)
	switch {
	case beats == 0:
		x.found(Note, "heartbeat", fmt.Sprintf("there was no silence of more than %s, so no heartbeat was needed", seconds(longest)), "watch when less is going on")
	case longest > usual:
		x.found(Warning, "heartbeat", fmt.Sprintf("there are silences of %s: that would be cut by %s", seconds(longest), cut), fix)
	case cut != "":
		x.found(OK, "heartbeat", fmt.Sprintf("the longest silence was %s; of the usual limits only that of %s is shorter", seconds(longest), cut), "")
	default:
		x.found(OK, "heartbeat", fmt.Sprintf("the longest silence was %s; all usual limits are longer", seconds(longest)), "")
	}
}

// caps are how long an answer may last at most, whatever comes.
var caps = []layer{
	{"the route timeout of Envoy and Istio", 15 * time.Second},
	{"API Gateway (REST)", 29 * time.Second},
	{"the backend timeout of GCP's load balancer", 30 * time.Second},
	{"an idle timeout, or a WriteTimeout, of a minute", 60 * time.Second},
	{"Cloud Run", 300 * time.Second},
}

// ending examines how the answer ended, if it did while it was watched.
func (x *exam) ending(s *seen) {
	for _, r := range s.of(retry) {
		if r.retry > time.Minute || r.retry < 100*time.Millisecond {
			x.found(Warning, "retry", fmt.Sprintf("the server has readers come back after %v", r.retry), "name 1 s to 10 s, different for each reader, so that not all come back at once")
			break
		}
	}
	if !s.ended {
		return
	}
	lasted := s.until.Sub(s.head)
	whose := ""
	for _, l := range caps {
		if lasted > l.after-l.after/20 && lasted < l.after+l.after/10 {
			whose = ": that is what " + l.name + " does"
		}
	}
	switch {
	case s.err != nil && !errors.Is(s.err, context.Canceled):
		text := fmt.Sprintf("the answer was cut after %s%s", seconds(lasted), whose)
		if !errors.Is(s.err, io.ErrUnexpectedEOF) {
			text += fmt.Sprintf(" (%v)", s.err)
		}
		x.found(Problem, "end", text, "raise the limit, or have the server end answers by itself before, with `retry:` and an id to go on from")
	case whose != "":
		x.found(Warning, "end", fmt.Sprintf("the answer ended after %s%s", seconds(lasted), whose), "raise the limit, unless readers go on where they stopped")
	default:
		x.found(Note, "end", fmt.Sprintf("the answer ended after %s, as answers do", seconds(lasted)), "an EventSource comes back, unless it gets 204")
	}
}
