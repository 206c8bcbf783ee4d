package subscription

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
	"github.com/leat-dev/leat/store/pebblestore"
	"github.com/leat-dev/leat/store/storetest"
)

var background = context.Background()

var quiet = slog.New(slog.DiscardHandler)

// A world is a store with a Manager over it, in a bubble of its own time, and a receiver
// of webhooks.
type world struct {
	t       *testing.T
	options Options
	open    func() store.Store // again, what was closed; nil: it stays open

	st store.Store
	j  *journal.Journal
	m  *Manager

	receiver *receiver
}

// A receiver takes the place of the network. It answers with what answer returns, and
// keeps what it was sent.
type receiver struct {
	mu     sync.Mutex
	answer func(notice) (status int, body string, err error)
	got    []received
}

type received struct {
	notice
	at        time.Time
	to        string
	body      []byte
	signature string
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	got := received{at: time.Now(), to: req.URL.String(), body: body, signature: req.Header.Get("Webhook-Signature")}
	if err := json.Unmarshal(body, &got.notice); err != nil {
		return nil, err
	}
	r.mu.Lock()
	r.got = append(r.got, got)
	answer := r.answer
	r.mu.Unlock()
	status, text := 200, ""
	if answer != nil {
		if status, text, err = answer(got.notice); err != nil {
			return nil, err
		}
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: status, Status: http.StatusText(status), Header: http.Header{}, Body: io.NopCloser(bytes.NewBufferString(text)), Request: req}, nil
}

// answers sets what it answers.
func (r *receiver) answers(status int, body string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = func(notice) (int, string, error) { return status, body, nil }
}

// take returns what it was sent since it was last asked, once nothing moves any more.
func (r *receiver) take() []received {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	got := r.got
	r.got = nil
	return got
}

// stores are those that tests run over.
var stores = map[string]func(t *testing.T) (open func() store.Store, stays bool){
	"memory": func(*testing.T) (func() store.Store, bool) {
		return func() store.Store { return memstore.New(memstore.Options{}) }, true
	},
	"pebble": func(t *testing.T) (func() store.Store, bool) {
		fs := vfs.NewMem()
		return func() store.Store {
			st, err := pebblestore.Open("data", pebblestore.Options{FS: fs, Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			return st
		}, false
	},
	"foreign": func(*testing.T) (func() store.Store, bool) {
		return func() store.Store {
			return storetest.Foreign(memstore.New(memstore.Options{}), storetest.ForeignOptions{Seed: 3})
		}, true
	},
}

// overStores runs a test over each store.
func overStores(t *testing.T, o Options, test func(w *world)) {
	for name, kind := range stores {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				open, stays := kind(t)
				w := newWorld(t, o, open())
				if !stays {
					w.open = open
				}
				defer w.close()
				test(w)
			})
		})
	}
}

// overMemory runs a test over the memory store, for what has nothing to do with stores.
func overMemory(t *testing.T, o Options, test func(w *world)) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, o, memstore.New(memstore.Options{}))
		defer w.close()
		test(w)
	})
}

func newWorld(t *testing.T, o Options, st store.Store) *world {
	w := &world{t: t, options: o, st: st, receiver: &receiver{}}
	w.start()
	return w
}

func (w *world) start() {
	w.t.Helper()
	w.j = journal.New(w.st, journal.Options{Logger: quiet})
	o := w.options
	o.Store, o.Journal, o.Logger, o.transport = w.st, w.j, quiet, w.receiver
	var err error
	if w.m, err = New(background, o); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) stop() {
	w.m.Close()
	w.j.Close()
}

// restart ends everything and begins it again.
func (w *world) restart() {
	w.t.Helper()
	w.stop()
	if w.open != nil {
		w.st.Close()
		w.st = w.open()
	}
	w.start()
}

func (w *world) close() {
	w.stop()
	w.st.Close()
}

const jsonType = "application/json"

// put makes a stream, with a first record if there is one.
func (w *world) put(name string, records ...string) string {
	w.t.Helper()
	write := journal.Write{Stream: name}
	for _, r := range records {
		write.Appends = append(write.Appends, journal.Append{ContentType: jsonType, Data: []byte(r)})
	}
	_, written, err := w.j.Create(background, journal.Config{ContentType: jsonType}, write)
	if err != nil {
		w.t.Fatal(err)
	}
	return written.Last.String()
}

// add appends a record and returns its offset.
func (w *world) add(name string) string {
	w.t.Helper()
	done, err := w.j.Append(background, journal.Append{Stream: name, ContentType: jsonType, Data: []byte(`{}`)})
	if err != nil {
		w.t.Fatal(err)
	}
	return done[0].Offset.String()
}

const hook = "https://hooks.example/a"

// webhook returns the config of a subscription with a webhook, to a pattern, with a
// lease of a second.
func webhook(pattern string) Config {
	return Config{Type: Webhook, Pattern: pattern, URL: hook, Lease: time.Second}
}

func pullWake(pattern string) Config {
	return Config{Type: PullWake, Pattern: pattern, WakeStream: "wakes", Lease: time.Second}
}

func (w *world) create(id string, c Config) View {
	w.t.Helper()
	v, made, err := w.m.Create(background, id, "http://leat.example/streams/", c)
	if err != nil || !made {
		w.t.Fatalf("creating %s: made %v, %v", id, made, err)
	}
	return v
}

// acked returns how far a subscription has a stream acknowledged.
func (w *world) acked(id, name string) string {
	w.t.Helper()
	v, err := w.m.Get(background, id)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, s := range v.Streams {
		if s.Path == name {
			return s.Acked
		}
	}
	return "not linked"
}

// one returns the one webhook that was sent.
func (w *world) one() received {
	w.t.Helper()
	got := w.receiver.take()
	if len(got) != 1 {
		w.t.Fatalf("%d webhooks were sent, want 1: %+v", len(got), got)
	}
	return got[0]
}

func (w *world) none(why string) {
	w.t.Helper()
	if got := w.receiver.take(); len(got) != 0 {
		w.t.Fatalf("%s: %d webhooks were sent: %+v", why, len(got), got)
	}
}

// report is what the worker says that got a webhook.
func (n *notice) report(done bool, acks ...Ack) Report {
	return Report{Token: n.CallbackToken, WakeID: n.WakeID, Generation: n.Generation, Acks: acks, Done: done}
}

func (w *world) callback(r Report) (next bool) {
	w.t.Helper()
	next, err := w.m.Report(background, "s", Webhook, r)
	if err != nil {
		w.t.Fatal(err)
	}
	return next
}

func wantCode(t *testing.T, what string, err error, code leat.Code) {
	t.Helper()
	if leat.CodeOf(err) != code {
		t.Errorf("%s: %v (%s), want %s", what, err, leat.CodeOf(err), code)
	}
}

// wakes returns the events that the stream of wakes has.
func (w *world) wakes() (events []map[string]any) {
	w.t.Helper()
	synctest.Wait()
	b, err := w.st.ReadStream(background, "wakes", 0, 0, 1<<20)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, r := range b.Records {
		var e map[string]any
		if err := json.Unmarshal(r.Data, &e); err != nil {
			w.t.Fatal(err)
		}
		events = append(events, e)
	}
	return events
}

const start = "0000000000000000_0000000000000000"

func writeEnd(name string) journal.Write { return journal.Write{Stream: name, End: leat.EndComplete} }
