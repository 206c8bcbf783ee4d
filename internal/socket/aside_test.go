package socket

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat/internal/frame"
)

// panicOf returns what a call panics with.
func panicOf(call func()) (v any) {
	defer func() { v = recover() }()
	call()
	return nil
}

// What is begun aside ends in the caller as if it had been begun there.
func TestAside(t *testing.T) {
	ran := false
	if rest := Aside(func() Rest { return Later(func() { ran = true }) }); rest == nil || ran {
		t.Errorf("rest %v, it ran: %v", rest, ran)
	} else if rest.Run(); !ran {
		t.Error("it did not run")
	}
	if rest := Aside(func() Rest { return nil }); rest != nil {
		t.Errorf("rest %v of nothing", rest)
	}
	for name, begin := range map[string]func() Rest{
		"abort":              func() Rest { panic(http.ErrAbortHandler) },
		"end of a goroutine": func() Rest { runtime.Goexit(); return nil },
	} {
		if v := panicOf(func() { Aside(begin) }); v != http.ErrAbortHandler {
			t.Errorf("%s: panic %v", name, v)
		}
	}
	v := panicOf(func() { Aside(func() Rest { panic("of the beginning") }) })
	if text := fmt.Sprint(v); !strings.HasPrefix(text, "of the beginning\n") || !strings.Contains(text, "aside_test.go") {
		t.Errorf("panic without its place: %s", text)
	}
}

// broken is a Source that cannot be peeked at.
type broken struct {
	*script
	peek func()
}

func (s *broken) Peek(*frame.Ranges, int) State { s.peek(); return Idle }

// A look that panics, or whose goroutine is ended, ends the answer, and who has begun it
// is told.
func TestLookPanics(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		for text, peek := range map[string]func(){"of a look": func() { panic("of a look") }, http.ErrAbortHandler.Error(): func() { panic(http.ErrAbortHandler) }} {
			s, told := &broken{newScript(), peek}, Reason("nothing")
			c := conn(ctx, s, s.bell, newLine(wide))
			c.Done = func(r Reason) { told = r }
			if v := fmt.Sprint(panicOf(func() { NewWriter(Options{}).Serve(ctx, c) })); !strings.HasPrefix(v, text) || told != "" {
				t.Errorf("panic %q, told %q", v, told)
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		s := &broken{newScript(), runtime.Goexit}
		c := conn(t.Context(), s, s.bell, newLine(wide))
		c.Aside = true
		if v := panicOf(func() { NewWriter(Options{}).Serve(t.Context(), c) }); v != http.ErrAbortHandler {
			t.Errorf("panic %v", v)
		}
	})
}

// peeping is a Source that writes down whether it is looked at aside.
type peeping struct {
	*script
	aside bool // guarded by script.mu
}

func (s *peeping) Peek(out *frame.Ranges, size int) State {
	stack := make([]byte, 8<<10)
	s.mu.Lock()
	s.aside = bytes.Contains(stack[:runtime.Stack(stack, false)], []byte("lookAside"))
	s.mu.Unlock()
	return s.script.Peek(out, size)
}

// Who is sent something now and then has all looks aside, heartbeats too, and who is sent
// much has not.
func TestBusyIsLookedAfterInPlace(t *testing.T) {
	for _, test := range []struct {
		every time.Duration
		aside bool
	}{{soon, true}, {soon / 2, false}, {time.Minute, true}} {
		t.Run(test.every.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(context.WithValue(t.Context(), aside{}, true))
				defer cancel()
				s, l := &peeping{script: newScript()}, newLine(wide)
				reason := make(chan Reason, 1)
				go func() { reason <- NewWriter(Options{}).Serve(ctx, conn(ctx, s, s.bell, l)) }() // ends with ctx
				for i := range 3 * often {
					time.Sleep(test.every)
					s.add("x")
					synctest.Wait()
					s.mu.Lock()
					if want := test.aside || i < often; s.aside != want {
						t.Errorf("look %d is aside: %v", i, s.aside)
					}
					s.mu.Unlock()
				}
				cancel()
				if r := <-reason; r != ReasonGone {
					t.Errorf("reason %s", r)
				}
			})
		})
	}
}

// A bell that is rung during a look leads to another one, whenever that is, and what was
// looked at is looked at by one goroutine at a time.
func TestRungWhileLooking(t *testing.T) {
	bubble(t, func(t *testing.T, ctx context.Context) {
		s, l := newScript(), newLine(wide)
		end := serve(ctx, NewWriter(Options{}), s, l)
		const rounds, publishers = 300, often - 2 // no more, or it is busy
		for i := range rounds {
			time.Sleep(soon)
			for range publishers {
				go s.add("x") // ends by itself
			}
			synctest.Wait()
			got := strings.ReplaceAll(l.got(), "<beat>", "")
			if want := "<head>" + strings.Repeat("x", publishers*(i+1)); got != want {
				t.Fatalf("round %d: %d bytes of %d", i, len(got), len(want))
			}
		}
		s.finish(End)
		if reason := end(); reason != ReasonEnded {
			t.Errorf("reason %s", reason)
		}
	})
}
