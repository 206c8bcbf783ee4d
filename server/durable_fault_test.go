package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store"
)

// A hookStore does something, once, when a reader next reads records from it.
type hookStore struct {
	store.Store
	hook chan func()
}

func newHookStore(t *testing.T) *hookStore { return &hookStore{memory(t), make(chan func(), 1)} }

func (s *hookStore) ReadLog(ctx context.Context, f *leat.Filter, after, upTo uint64, bytes int) (store.Batch, error) {
	select {
	case do := <-s.hook:
		do()
	default:
	}
	return s.Store.ReadLog(ctx, f, after, upTo, bytes)
}

// What is removed between the look at a stream and the reading of its records: an
// answer as a whole is what there then is, or 410; an event stream that has begun tells
// the gap between two events, with where the reader is, and ends.
func TestDurableTrimmedInTheMoment(t *testing.T) {
	for protocol, set := range protocols {
		t.Run(protocol, func(t *testing.T) {
			st := newHookStore(t)
			s := start(t, server.Options{Store: st, TailMemory: 1, LongPollTimeout: -1}, set)
			for _, live := range []string{"", "&live=long-poll", "&live=sse"} {
				for _, fromStart := range []bool{true, false} {
					s.fetch("DELETE", "/streams/a", "")
					s.make("a", "text/plain", "")
					var at []string
					for _, text := range []string{"one", "two", "three"} {
						at = append(at, s.add("a", "text/plain", text).header.Get("Stream-Next-Offset"))
					}
					offset := at[0]
					if fromStart {
						offset = "-1"
					}
					what := offset + live
					st.hook <- func() { s.trim("a", at[1]) }
					if live == "&live=sse" {
						events := s.events("/streams/a?offset=" + offset + live)
						if len(events) != 1 || events[0].Type != "leat.gap" || !strings.Contains(string(events[0].Data), `"reason":"trimmed"`) || !strings.Contains(string(events[0].Data), at[1]) {
							t.Errorf("%s: %q", what, events)
						}
					} else {
						f := s.fetch("GET", "/streams/a?offset="+offset+live, "")
						if fromStart {
							f.wantChunk(t, what, 200, "three", at[2], "u")
						} else if f.want(t, what, 410, "Leat-Earliest-Offset is the offset with which"); f.header.Get("Leat-Earliest-Offset") != at[1] {
							t.Errorf("%s: %v", what, f.header)
						}
					}
					if len(st.hook) > 0 {
						t.Errorf("%s: nobody has looked", what)
						<-st.hook
					}
				}
			}
		})
	}
}

// An answer that has begun, and of which the rest is gone by then, is cut and never
// skipped; so is one whose stream is removed.
func TestDurableRestIsGone(t *testing.T) {
	for protocol, set := range protocols {
		for what, remove := range map[string]func(s *service, last string){
			"trimmed": func(s *service, last string) { s.trim("a", last) },
			"deleted": func(s *service, _ string) { s.fetch("DELETE", "/streams/a", "") },
		} {
			t.Run(protocol+", "+what, func(t *testing.T) {
				st := newHookStore(t)
				s := start(t, server.Options{Store: st, TailMemory: 1}, set)
				for _, contentType := range []string{"text/plain", jsonType} {
					s.make("a", contentType, "")
					text, last := strings.Repeat("1", 200<<10), ""
					for range 20 {
						last = s.add("a", contentType, text).header.Get("Stream-Next-Offset")
					}
					reads := 0
					var look func()
					look = func() {
						if reads++; reads == 5 { // of more, and the answer has begun
							remove(s, last)
							return
						}
						st.hook <- look
					}
					st.hook <- look
					f := s.fetch("GET", "/streams/a?offset=-1", "")
					if f.status != 200 || !f.cut || len(f.body) < len(text) || len(f.body) > 19*len(text) {
						t.Errorf("%s: status %d, %d bytes, cut %v", contentType, f.status, len(f.body), f.cut)
					}
					s.fetch("DELETE", "/streams/a", "")
				}
			})
		}
	}
}

// A reader that takes nothing of a long answer is cut when the time for that is over.
func TestDurableAnswerStalls(t *testing.T) {
	stalled := make(lines, 10)
	logger := slog.New(slog.NewTextHandler(stalled, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := start(t, server.Options{Store: memory(t), Logger: logger, StallTimeout: 200 * time.Millisecond}, protocols["HTTP/1.1"])
	s.make("a", "text/plain", "")
	text := strings.Repeat("x", 1<<20)
	for range 24 { // more than the kernel holds
		s.add("a", "text/plain", text)
	}
	for _, query := range []string{"offset=-1", "offset=-1&live=long-poll"} {
		conn, r := s.dial()
		fmt.Fprintf(conn, "GET /streams/a?%s HTTP/1.1\r\nHost: localhost\r\n\r\n", query)
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		for !strings.Contains(<-stalled, "reason=stalled") {
		}
		if f := drain(resp); !f.cut || len(f.body) >= 24<<20 {
			t.Errorf("%s: %d bytes, cut %v", query, len(f.body), f.cut)
		}
	}
}

// lines are what was written, line by line, for as long as somebody takes them.
type lines chan string

func (l lines) Write(line []byte) (int, error) {
	select {
	case l <- string(line):
	default:
	}
	return len(line), nil
}

// A stalledStore stores nothing while it is locked.
type stalledStore struct {
	store.Store
	sync.RWMutex
	began chan struct{} // has something once a Commit has begun
}

func (s *stalledStore) Commit(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
	select {
	case s.began <- struct{}{}:
	default:
	}
	s.RLock()
	defer s.RUnlock()
	return s.Store.Commit(ctx, txs)
}

// "429/503 with Retry-After under overload instead of silent queueing": when the store
// is slow and enough waits, the next is refused at once, on every surface; what waits
// is stored all the same, and readers are served.
func TestOverloaded(t *testing.T) {
	for protocol, set := range protocols {
		t.Run(protocol, func(t *testing.T) {
			st := &stalledStore{Store: memory(t), began: make(chan struct{}, 1)}
			s := start(t, server.Options{Store: st, MaxWaiting: 3000}, set)
			s.make("a", "text/plain", "before")
			s.make("b", "text/plain", "")
			<-st.began
			st.Lock()
			body := strings.Repeat("x", 2900)
			waits := s.appending("/streams/a", "text/plain")
			waits.write(t, body)
			waits.Close()
			<-st.began
			overloaded := func(what string, f fetched) {
				t.Helper()
				f.want(t, what, 429, `"code":"overloaded"`)
				if f.header.Get("Retry-After") == "" || !strings.Contains(f.body, `"advice":"`) {
					t.Errorf("%s: %v, %s", what, f.header, f.body)
				}
			}
			for _, name := range []string{"a", "b"} {
				overloaded("POST "+name, s.fetch("POST", "/streams/"+name, body, "Content-Type", "text/plain"))
				overloaded("a producer of "+name, s.fetch("POST", "/streams/"+name, body, producer(0, 0)...))
				overloaded("publish to "+name, s.fetch("POST", "/events?topic="+name, body, "Content-Type", "text/plain"))
			}
			overloaded("PUT", s.fetch("PUT", "/streams/c", body, "Content-Type", "text/plain"))
			s.fetch("GET", "/streams/a?offset=-1", "").want(t, "a reader", 200, "before")
			st.Unlock()
			if f := <-waits.answer; f.status != 204 {
				t.Errorf("what waited: %d %q", f.status, f.body)
			}
			s.fetch("POST", "/streams/b", body, producer(0, 0)...).want(t, "again", 200, "")
			if got := s.content("a"); got != "before"+body {
				t.Errorf("the content has %d bytes", len(got))
			}
		})
	}
}

// A body that does not arrive whole is nothing, of a producer as well: its request is
// still to come, and one that was stored before is known as a duplicate all the same.
func TestProducerBodyIsLate(t *testing.T) {
	overProtocols(t, server.Options{BodyTimeout: 100 * time.Millisecond}, func(t *testing.T, s *service) {
		for _, contentType := range []string{"text/plain", jsonType} {
			s.fetch("DELETE", "/streams/a", "")
			s.make("a", contentType, "")
			half := func(seq int, more ...string) fetched {
				t.Helper()
				u := s.appending("/streams/a", contentType, append(producer(0, seq, more...)[2:], more...)...)
				u.write(t, "[1,")
				return <-u.answer
			}
			broken := func(seq int) {
				t.Helper()
				u := s.appending("/streams/a", contentType, producer(0, seq)[2:]...)
				u.write(t, "[1,")
				u.CloseWithError(errGone)
				<-u.answer
			}
			half(0).want(t, "late", 408, "body_timeout")
			half(0, "Stream-Closed", "true").want(t, "late, and the last", 408, "body_timeout")
			half(1).want(t, "late, and not the next", 409, "sequence_gap")
			broken(0)
			if h := s.fetch("HEAD", "/streams/a", "").header; h.Get("Stream-Closed") != "" {
				t.Errorf("%s: it has ended: %v", contentType, h)
			}
			own := func(seq int) []string { return append(producer(0, seq)[2:], "Content-Type", contentType) }
			s.fetch("POST", "/streams/a", "1", own(0)...).want(t, "in time", 200, "")
			half(0).want(t, "late, and a duplicate", 204, "")
			broken(1)
			s.fetch("POST", "/streams/a", "2", own(1)...).want(t, "the next", 200, "")
			if got := strings.Trim(s.content("a"), "[]"); strings.ReplaceAll(got, ",", "") != "12" {
				t.Errorf("%s: the content is %q", contentType, got)
			}
		}
	})
}
