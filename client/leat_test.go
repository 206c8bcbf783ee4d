package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store/memstore"
)

// A faultyLeat is a Leat server whose connections break.
type faultyLeat struct {
	*Client
	fake  *fakeServer
	store *memstore.Store

	// Guarded by mu.
	mu   sync.Mutex
	srv  *server.Server
	rand *rand.Rand
	cut  map[string]float64 // by method: how many answers break somewhere
	lose float64            // how many of the others get lost whole
	n    int                // answers that broke
	down bool               // every request breaks, and nothing is done
}

// newLeat returns a server that works, until it is told otherwise.
func newLeat(t *testing.T) *faultyLeat {
	st := memstore.New(memstore.Options{})
	l := &faultyLeat{store: st, srv: leatOver(t, st), rand: rand.New(rand.NewPCG(1, 2)), cut: map[string]float64{}}
	l.fake = newFakeServer(t, http.HandlerFunc(l.serve))
	l.Client = &Client{URL: "http://leat.test", HTTP: l.fake.client}
	t.Cleanup(func() {
		l.srv.Shutdown(context.Background())
		st.Close()
	})
	return l
}

func leatOver(t *testing.T, st *memstore.Store) *server.Server {
	srv, err := server.New(server.Options{Store: st, Drain: -1, Loops: -1})
	if err != nil {
		t.Error(err) // not only from the goroutine of the test
	}
	return srv
}

// restart ends the server as an operator does, and starts another one.
func (l *faultyLeat) restart(t *testing.T) {
	l.mu.Lock()
	old := l.srv
	l.mu.Unlock()
	if err := old.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	time.Sleep(3 * time.Second) // it is away for a while
	young := leatOver(t, l.store)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.srv = young
}

// serve breaks the answer where the fault says: before the first byte (the
// request was served, and nobody knows), or behind any of the first 2000.
func (l *faultyLeat) serve(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	budget, down, srv := -1, l.down, l.srv
	switch {
	case l.rand.Float64() < l.cut[r.Method]:
		budget = l.rand.IntN(2000)
		l.n++
	case l.rand.Float64() < l.lose && r.Method != "GET":
		budget = 0
		l.n++
	}
	l.mu.Unlock()
	if down {
		panic(http.ErrAbortHandler)
	}
	if budget < 0 {
		srv.ServeHTTP(w, r)
		return
	}
	f := &faultyWriter{ResponseWriter: w, left: budget}
	srv.ServeHTTP(f, r)
	panic(http.ErrAbortHandler)
}

// faults makes so many of the answers break.
func (l *faultyLeat) faults(gets, posts float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut["GET"], l.lose = gets, posts
}

func (l *faultyLeat) stop(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
}

func (l *faultyLeat) broke() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}

var errFault = errors.New("the connection broke")

// A faultyWriter takes some bytes and then fails.
type faultyWriter struct {
	http.ResponseWriter
	left int
}

func (f *faultyWriter) Write(p []byte) (int, error) {
	if f.left == 0 {
		return 0, errFault
	}
	n := min(f.left, len(p))
	f.left -= n
	f.ResponseWriter.Write(p[:n])
	if f.left == 0 {
		http.NewResponseController(f.ResponseWriter).Flush()
	}
	if n < len(p) {
		return n, errFault
	}
	return n, nil
}

func (f *faultyWriter) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// Every form of a subscription gets every record once and in order, whatever
// breaks, and also when the server is started again.
func TestLeatForms(t *testing.T) {
	for _, form := range []Form{FormEvents, FormLines, FormPoll, FormAny} {
		t.Run(string(form), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const records = 150
				l := newLeat(t)
				l.faults(0.8, 0.5)
				var published sync.WaitGroup
				published.Go(func() {
					for i := range records {
						if i == records/2 {
							l.restart(t)
						}
						m := Text("a", fmt.Sprint(i))
						m.Type = "n"
						if _, err := l.Publish(t.Context(), m); err != nil {
							t.Error(err)
							return
						}
					}
				})
				want, lastID := 0, ""
				q := Query{Topics: []string{"a"}, From: "start", Envelope: true}
				for e, err := range l.Subscribe(t.Context(), q, SubscribeOptions{Form: form, Retry: time.Millisecond}) {
					if err != nil {
						t.Fatal(err)
					}
					env, err := e.Envelope()
					if err != nil {
						t.Fatalf("%+v: %v", e, err)
					}
					data, err := env.Bytes()
					if string(data) != fmt.Sprint(want) || env.Type != "n" || err != nil || e.ID != env.ID || e.ID <= lastID {
						t.Fatalf("got %s of %+v, %v, want %d", data, e, err, want)
					}
					lastID = e.ID
					if want++; want == records {
						break
					}
				}
				published.Wait()
				if l.broke() < 40 {
					t.Errorf("only %d answers broke", l.broke())
				}
			})
		})
	}
}

// A stream that has ended ends each form, and each says how.
func TestLeatEnds(t *testing.T) {
	for _, form := range []Form{FormEvents, FormLines, FormPoll, FormAny} {
		t.Run(string(form), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLeat(t)
				if err := l.Create(t.Context(), "a", CreateOptions{ContentType: "text/plain"}); err != nil {
					t.Fatal(err)
				}
				p, err := l.Producer("a", ProducerOptions{ContentType: "text/plain"})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := p.Append(t.Context(), []byte("x")); err != nil {
					t.Fatal(err)
				}
				if err := p.End(t.Context(), leat.EndError, "disk \"100 %\" voll: äh"); err != nil {
					t.Fatal(err)
				}
				var got []string
				for e, err := range l.Subscribe(t.Context(), Query{Topics: []string{"a"}, From: "start"}, SubscribeOptions{Form: form}) {
					switch {
					case err != nil:
						t.Fatal(err)
					case e.End != nil:
						got = append(got, fmt.Sprint(e.End.Topic, " ", e.End.State, " ", e.End.Reason))
					default:
						got = append(got, "record")
					}
				}
				if want := []string{"record", "a error disk \"100 %\" voll: äh"}; !slices.Equal(got, want) {
					t.Errorf("got %q", got)
				}
			})
		})
	}
}

// A foreign position is told as a gap in each form.
func TestLeatGap(t *testing.T) {
	for _, form := range []Form{FormEvents, FormLines, FormPoll, FormAny} {
		synctest.Test(t, func(t *testing.T) {
			l := newLeat(t)
			if _, err := l.Publish(t.Context(), Text("a", "x")); err != nil {
				t.Fatal(err)
			}
			for e, err := range l.Subscribe(t.Context(), Query{Topics: []string{"a"}}, SubscribeOptions{Form: form, LastEventID: "0000000000000001_0000000000000001"}) {
				if err != nil || e.Gap == nil || e.Gap.Reason != "foreign" || e.Type != "leat.gap" || !json.Valid(e.Data) {
					t.Errorf("%s: got %+v, %v", form, e, err)
				}
				break
			}
		})
	}
}

// The elements of a JSON stream, and a stream that broke off, which is cut.
func TestLeatArray(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeat(t)
		if err := l.Create(t.Context(), "j", CreateOptions{ContentType: "application/json"}); err != nil {
			t.Fatal(err)
		}
		p, _ := l.Producer("j", ProducerOptions{ContentType: "application/json"})
		receipt, err := p.AppendLines(t.Context(), json.RawMessage(`{"a":[1,2]}`), json.RawMessage("\n\"]\"\n"), json.RawMessage("3"))
		if err != nil || receipt.Count != 3 {
			t.Fatalf("got %+v, %v", receipt, err)
		}
		target, _ := l.StreamURL("j", nil)
		o := SubscribeOptions{HTTP: l.HTTP, Form: FormArray}
		read := func() (got []string, err error) {
			for e, err := range Subscribe(t.Context(), target, o) {
				if err != nil {
					return got, err
				}
				got = append(got, string(e.Data))
			}
			return got, nil
		}
		want := []string{`{"a":[1,2]}`, `"]"`, "3"}
		if got, err := read(); err != nil || !slices.Equal(got, want) {
			t.Errorf("got %q, %v", got, err)
		}
		if err := p.End(t.Context(), leat.EndAborted, ""); err != nil {
			t.Fatal(err)
		}
		if got, err := read(); leat.CodeOf(err) != CodeTruncated || len(got) > 3 {
			t.Errorf("got %q, %v", got, err)
		}
	})
}

// Bytes are followed while they are uploaded, whatever breaks, and the end is
// told for what it is.
func TestLeatBytes(t *testing.T) {
	for name, tc := range map[string]struct {
		state leat.EndState
		want  error
	}{
		"complete": {leat.EndComplete, nil},
		"error":    {leat.EndError, &leat.Error{Code: CodeTruncated}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLeat(t)
				l.faults(0.9, 0.3)
				content := make([]byte, 50_000)
				for i := range content {
					content[i] = byte(rand.N(256))
				}
				if err := l.Create(t.Context(), "dir/größe %2F", CreateOptions{}); err != nil {
					t.Fatal(err)
				}
				target, err := l.StreamURL("dir/größe %2F", url.Values{"follow": {"1"}})
				if err != nil {
					t.Fatal(err)
				}
				last := int64(0)
				b, err := Open(t.Context(), target, OpenOptions{HTTP: l.HTTP, Retry: time.Millisecond, Progress: func(offset, size int64) {
					if offset <= last || offset > int64(len(content)) {
						t.Errorf("at %d after %d", offset, last)
					}
					last = offset
				}})
				if err != nil {
					t.Fatal(err)
				}
				defer b.Close()
				var appended sync.WaitGroup
				appended.Go(func() {
					p, _ := l.Producer("dir/größe %2F", ProducerOptions{RecordBytes: 999})
					n, err := p.Upload(t.Context(), &slow{r: bytes.NewReader(content)})
					if err == nil {
						err = p.End(t.Context(), tc.state, "")
					}
					if err != nil || n != int64(len(content)) {
						t.Errorf("uploaded %d, %v", n, err)
					}
				})
				got, err := io.ReadAll(b)
				appended.Wait()
				if !bytes.Equal(got, content) || b.Offset() != int64(len(content)) {
					t.Errorf("got %d bytes, at %d", len(got), b.Offset())
				}
				if !errors.Is(err, tc.want) || tc.want == nil && err != nil {
					t.Errorf("ended with %v, want %v", err, tc.want)
				}
				if l.broke() < 10 {
					t.Errorf("only %d answers broke", l.broke())
				}
			})
		})
	}
}

// A slow reader has 500 bytes a second.
type slow struct{ r io.Reader }

func (s *slow) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return s.r.Read(p[:min(len(p), 500)])
}

// What is uploaded in one request is read while it arrives.
func TestLeatUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeat(t)
		if err := l.Create(t.Context(), "up", CreateOptions{ContentType: "text/plain", TTL: 1500 * time.Millisecond, Retention: "records=1000"}); err != nil {
			t.Fatal(err)
		}
		target, _ := l.StreamURL("up", url.Values{"follow": {"1"}})
		b, err := Open(t.Context(), target, OpenOptions{HTTP: l.HTTP})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		source, sink := io.Pipe()
		var up Uploaded
		var uploading sync.WaitGroup
		uploading.Go(func() {
			var err error
			if up, err = l.Upload(t.Context(), "up", source, UploadOptions{ContentType: "text/plain", End: true}); err != nil {
				t.Error(err)
			}
		})
		for _, part := range []string{"one", "two", "three"} {
			io.WriteString(sink, part)
			got := make([]byte, len(part))
			if _, err := io.ReadFull(b, got); err != nil || string(got) != part {
				t.Fatalf("got %q, %v", got, err)
			}
		}
		sink.Close()
		uploading.Wait()
		if rest, err := io.ReadAll(b); len(rest) > 0 || err != nil {
			t.Errorf("then %q, %v", rest, err)
		}
		if up.Records != 3 || up.Bytes != 11 || up.Last == "" {
			t.Errorf("stored %+v", up)
		}
		if h := b.Header(); h.Get("Stream-TTL") != "2" || h.Get("Leat-Retention") != "records=1000" {
			t.Errorf("made with %v", h)
		}
		// It has ended, and others never were.
		for stream, code := range map[string]leat.Code{"up": leat.CodeEnded, "none": leat.CodeNotFound, "a//b": leat.CodeInvalidName} {
			if _, err := l.Upload(t.Context(), stream, strings.NewReader("x"), UploadOptions{}); leat.CodeOf(err) != code {
				t.Errorf("%s: %v", stream, err)
			}
		}
	})
}

// An upload that breaks off is told as that, to both sides.
func TestLeatUploadBreaksOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeat(t)
		if err := l.Create(t.Context(), "up", CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		source, sink := io.Pipe()
		go func() { // ends by itself
			io.WriteString(sink, "half")
			time.Sleep(time.Second)
			sink.CloseWithError(errBroken)
		}()
		if _, err := l.Upload(t.Context(), "up", source, UploadOptions{End: true}); !errors.Is(err, errBroken) {
			t.Errorf("got %v", err)
		}
		synctest.Wait()
		target, _ := l.StreamURL("up", nil)
		b, err := Open(t.Context(), target, OpenOptions{HTTP: l.HTTP})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		if got, err := io.ReadAll(b); string(got) != "half" || leat.CodeOf(err) != CodeTruncated || !strings.Contains(err.Error(), "truncated after 4 bytes") {
			t.Errorf("got %q, %v", got, err)
		}
	})
}
