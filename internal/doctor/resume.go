package doctor

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// few is how many events a resume is compared over.
const few = 20

// resume comes back after an event that was seen, and compares what follows with what
// had followed.
func (x *exam) resume(ctx context.Context, s *seen) {
	all := s.of(event, moved)
	if len(s.of(event)) == 0 {
		if len(all) > 0 {
			x.found(Note, "resume", "the stream names a place to go on from, but no event has come to try it with", "watch for longer, or on a Leat server have events published (--probe)")
			return
		}
		x.found(Note, "resume", "no event has come, so going on was not tried", "watch for longer")
		return
	}
	all = all[max(0, len(all)-few):]
	from, want := place(all)
	switch {
	case from == "" && !hasIDs(all):
		x.found(Warning, "resume", "the events have no ids: who loses the connection loses what comes meanwhile", "give each event an id, and go on after the one in Last-Event-ID")
		return
	case len(want) == 0:
		x.found(Note, "resume", "too few events have come to try going on", "watch for longer, or begin earlier")
		return
	}
	got, err := x.after(ctx, from, len(want))
	if err != nil {
		x.found(Problem, "resume", fmt.Sprintf("coming back with Last-Event-ID %s failed: %v", from, err), "answer as to the first request, beginning after that event")
		return
	}
	x.resumed(from, want, got)
}

func hasIDs(signs []sign) bool {
	for _, s := range signs {
		if s.id != "" {
			return true
		}
	}
	return false
}

// place returns an id, and the events that came after it; none if there is no such
// place.
func place(signs []sign) (id string, after []sign) {
	for i, s := range signs {
		if s.id == "" {
			continue
		}
		for _, later := range signs[i+1:] {
			// An event without an id of its own stands behind the one before.
			if later.kind == event && later.id != s.id {
				after = append(after, later)
			}
		}
		if len(after) > 0 {
			return s.id, after
		}
	}
	return "", nil
}

// after subscribes with a Last-Event-ID, and returns the events that come first.
func (x *exam) after(ctx context.Context, id string, n int) ([]sign, error) {
	r := x.read(ctx, x.o.URL, http.Header{"Last-Event-ID": {id}})
	defer r.close()
	patience := time.NewTimer(x.o.Patience)
	defer patience.Stop()
	var got []sign
	for len(got) < n {
		select {
		case s, ok := <-r.signs:
			if !ok {
				return got, afterHead(r)
			}
			if s.kind == event {
				got = append(got, s)
			}
		case <-patience.C:
			return got, afterHead(r)
		case <-ctx.Done():
			return got, context.Cause(ctx)
		}
	}
	return got, nil
}

// afterHead is the error of an answer that is no stream.
func afterHead(r *reading) error {
	select {
	case o := <-r.opened:
		return o.failure()
	default:
		return fmt.Errorf("no answer has come in time")
	}
}

// resumed compares what came with what was to come.
func (x *exam) resumed(from string, want, got []sign) {
	const fix = "on a request with Last-Event-ID send what comes after that event, and nothing else; a server that cannot should say so, as Leat does with leat.gap"
	switch {
	case len(got) == 0:
		x.found(Problem, "resume", fmt.Sprintf("coming back with Last-Event-ID %s, nothing of the %d events came that had come after it: who loses the connection loses them", from, len(want)), fix)
		return
	case got[0].typ == "leat.gap":
		x.found(Warning, "resume", fmt.Sprintf("coming back with Last-Event-ID %s, the server tells that events are gone: %s", from, got[0].data), "keep events for longer than readers are away")
		return
	}
	for i := range min(len(want), len(got)) {
		if got[i].name() == want[i].name() {
			continue
		}
		text := fmt.Sprintf("coming back with Last-Event-ID %s, event %d that came is not the one that had come before", from, i+1)
		for j := range want {
			switch {
			case want[j].name() == got[i].name() && j > i:
				text = fmt.Sprintf("coming back with Last-Event-ID %s, %s skipped", from, were(j-i))
			case want[j].name() == got[i].name():
				text = fmt.Sprintf("coming back with Last-Event-ID %s, events came twice", from)
			}
		}
		if i == 0 && got[0].id == from {
			text = fmt.Sprintf("coming back with Last-Event-ID %s, that event came again", from)
		}
		x.found(Problem, "resume", text, fix)
		return
	}
	if len(got) < len(want) {
		x.found(Problem, "resume", fmt.Sprintf("coming back with Last-Event-ID %s, only %d of %d events came again in time", from, len(got), len(want)), fix)
		return
	}
	x.found(OK, "resume", fmt.Sprintf("coming back with the id of an earlier event, the %d that follow it came, none missing and none twice", len(want)), "")
}
