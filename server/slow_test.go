package server_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/sse"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/pebblestore"
)

// overStoresAndProtocols runs a test over both stores and all writers.
func overStoresAndProtocols(t *testing.T, o server.Options, test func(t *testing.T, s *service)) {
	for _, name := range []string{"memory", "pebble"} {
		t.Run(name, func(t *testing.T) {
			for protocol, set := range protocols {
				t.Run(protocol, func(t *testing.T) {
					options := o
					if protocol == "HTTP/1.1 not taken" {
						options.Loops = -1
					}
					options.Store = memory(t)
					if name == "pebble" {
						options.Store = onFastDisk(t)
					}
					test(t, start(t, options, set))
				})
			}
		})
	}
}

// onFastDisk returns an empty store on disk, of the class os: fsyncs take time.
func onFastDisk(t testing.TB) store.Store {
	st, err := pebblestore.Open(t.TempDir(), pebblestore.Options{Durability: store.ClassOS, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// stall publishes more than the system and a client hold, of which a reader takes
// nothing, and returns the ids.
func (s *service) stall(mib int) (ids []string) {
	const size = 64 << 10
	data := strings.Repeat("x", size)
	for i := range mib << 20 / size {
		ids = append(ids, s.publish("a", fmt.Sprint(i, data)))
	}
	return ids
}

// "A reader that falls out of memory reads the store and returns": whatever it lags
// behind, by default it gets every record once, and those that come meanwhile.
func TestStalledReaderGetsEverything(t *testing.T) {
	overStoresAndProtocols(t, server.Options{TailMemory: 4 << 20}, func(t *testing.T, s *service) {
		resp := s.do("GET", "/events?topic=a", "") // its body is not read yet
		ids := s.stall(48)
		d := sse.NewDecoder(resp.Body, nil)
		next := func() sse.Event {
			for {
				ev, err := d.Next()
				if err != nil {
					t.Fatal(err)
				}
				if ev.Type != "leat.cursor" {
					return ev
				}
			}
		}
		for i, id := range ids {
			if ev := next(); ev.ID != id || len(ev.Data) < 64<<10 {
				t.Fatalf("record %d came as %s %s with %d bytes, want %s", i, ev.ID, ev.Type, len(ev.Data), id)
			}
			if i%100 == 0 {
				ids = append(ids, s.publish("a", fmt.Sprint("meanwhile", strings.Repeat("x", 64<<10))))
			}
		}
		for _, id := range ids[slices.Index(ids, d.LastEventID())+1:] {
			if ev := next(); ev.ID != id {
				t.Fatalf("got %s, want %s", ev.ID, id)
			}
		}
		if id := s.publish("a", "live"); next().ID != id {
			t.Error("it is not live again")
		}
	})
}

// items reads an answer with events or lines.
func items(resp *http.Response) func() (item, error) {
	if resp.Header.Get("Content-Type") == "text/event-stream" {
		d := sse.NewDecoder(resp.Body, nil)
		return func() (item, error) {
			ev, err := d.Next()
			it := item{kind: itemRecord, id: ev.ID, data: string(ev.Data)}
			switch ev.Type {
			case "leat.cursor":
				it.kind = itemPosition
			case "leat.gap":
				it.kind, it.gap = itemGap, new(gap)
				err = errors.Join(err, json.Unmarshal(ev.Data, it.gap))
			}
			return it, err
		}
	}
	in := bufio.NewReader(resp.Body)
	return func() (item, error) {
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				return item{}, err
			}
			if len(line) == 1 {
				continue
			}
			env := new(envelope)
			err = json.Unmarshal(line, env)
			return itemOf(env), err
		}
	}
}

// With skip, "every record is either delivered or covered by a gap that was told", and a
// reader that takes something again is soon at what is new.
func TestSlowReaderIsSkipped(t *testing.T) {
	o := server.Options{TailMemory: 4 << 20, Slow: []server.SlowRule{{Pattern: "a", Records: 20, Skip: true}}}
	overStoresAndProtocols(t, o, func(t *testing.T, s *service) {
		for _, form := range []string{"sse", "ndjson"} {
			resp := s.do("GET", "/events?topic=a&as="+form, "")
			ids := s.stall(32)
			next := items(resp)
			skipped := 0
			for len(ids) > 0 {
				it, err := next()
				switch {
				case err != nil:
					t.Fatal(form, err)
				case it.kind == itemPosition:
				case it.kind == itemRecord && it.id == ids[0]:
					ids = ids[1:]
				case it.kind == itemGap && it.gap.Reason == "skipped" && it.gap.Next == it.id && it.id >= ids[0] && it.gap.Asked < ids[0]:
					n := slices.Index(ids, it.id) + 1
					if n <= 20 {
						t.Errorf("%s: a lag of %d was too much", form, n)
					}
					skipped += n
					ids = ids[n:]
				default:
					t.Fatalf("%s: got %s %s %+v, want %s", form, it.kind, it.id, it.gap, ids[0])
				}
			}
			if skipped == 0 {
				t.Errorf("%s: nothing was skipped", form)
			}
			id := s.publish("a", "live")
			if it, err := next(); err != nil || it.id != id {
				t.Errorf("%s: after the gap comes %+v, %v", form, it, err)
			}
			resp.Body.Close()
		}
	})
}

// With disconnect, a reader that takes something gets a farewell, comes back, and has
// lost nothing. Bytes, of which none may be skipped, are cut with either.
func TestSlowReaderIsDisconnected(t *testing.T) {
	o := server.Options{TailMemory: 4 << 20, Slow: []server.SlowRule{{Pattern: "a", Bytes: 1 << 20}, {Pattern: "b", Bytes: 1 << 20, Skip: true}}}
	overStoresAndProtocols(t, o, func(t *testing.T, s *service) {
		resp := s.do("GET", "/events?topic=a&heartbeat=5m", "")
		ids := s.stall(32)
		d := sse.NewDecoder(resp.Body, nil)
		var err error
		last := ""
		for i := 0; ; {
			var ev sse.Event
			if ev, err = d.Next(); err != nil {
				break
			}
			if last = ev.Type; ev.Type == "leat.cursor" {
				continue
			}
			if ev.ID != ids[i] || i == len(ids)-1 {
				t.Fatalf("record %d of %d came as %s %s", i, len(ids), ev.ID, ev.Type)
			}
			i++
		}
		// A chunk that was announced and cannot be filled is cut behind the farewell.
		if retry, _ := d.Retry(); last != "leat.cursor" || retry < 500*time.Millisecond || retry > 6*time.Second || err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("it ends with a %q, %v, and it is to come back after %v", last, err, retry)
		}
		back := s.subscribe("topic=a", "Last-Event-ID", d.LastEventID())
		back.next()
		for _, id := range ids[slices.Index(ids, d.LastEventID())+1:] {
			if ev := back.next(); ev.ID != id {
				t.Fatalf("resumed with %s, want %s", ev.ID, id)
			}
		}
	})
}

// Of bytes none may be skipped: a reader of them that is too slow is cut, with either.
func TestSlowReaderOfBytesIsCut(t *testing.T) {
	for _, skip := range []bool{false, true} {
		o := server.Options{Slow: []server.SlowRule{{Pattern: "a", Bytes: 1 << 20, Skip: skip}}}
		overProtocols(t, o, func(t *testing.T, s *service) {
			s.publish("a", "begin ")
			resp := s.do("GET", "/streams/a?follow=1", "")
			whole := s.do("HEAD", "/streams/a", "").Header.Get("ETag") // it is there
			s.stall(32)
			n, err := io.Copy(io.Discard, resp.Body)
			if err == nil || n >= 32<<20 || whole == "" {
				t.Errorf("it ends with %v after %d bytes", err, n)
			}
			// A download has a length, and what comes meanwhile is not a part of it.
			download := s.do("GET", "/streams/a", "")
			s.stall(4)
			if n, err := io.Copy(io.Discard, download.Body); err != nil || n != download.ContentLength {
				t.Errorf("a download of %d bytes ends with %v after %d", download.ContentLength, err, n)
			}
		})
	}
}

// A reader that takes nothing at all is disconnected for its lag within a heartbeat, and
// one that is to be skipped stays.
func TestLateReaderIsNotWaitedFor(t *testing.T) {
	s := start(t, server.Options{
		Store: memory(t), StallTimeout: -1, Heartbeat: time.Second, TailMemory: 4 << 20,
		Slow: []server.SlowRule{{Pattern: "b", Records: 20, Skip: true}, {Pattern: "*", Records: 20}},
	}, protocols["HTTP/1.1"])
	readers := func() float64 { return s.read(s.do("GET", "/healthz", ""))["subscribers"].(float64) }
	s.do("GET", "/events?topic=a", "")
	s.do("GET", "/events?topic=a&topic=b", "") // the rules of both count, and one disconnects
	data := strings.Repeat("x", 64<<10)
	skipped := items(s.do("GET", "/events?topic=b", ""))
	for n := readers(); n != 3; n = readers() {
	}
	for range 400 {
		s.publish("a", data)
		s.publish("b", data)
	}
	for end := time.Now().Add(20 * time.Second); readers() != 1; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%v readers are left", readers())
		}
	}
	for it, err := skipped(); it.kind != itemGap; it, err = skipped() {
		if err != nil {
			t.Fatalf("the one that is to be skipped is gone: %v", err)
		}
	}
	if n := readers(); n != 1 {
		t.Errorf("%v readers are left", n)
	}
}
