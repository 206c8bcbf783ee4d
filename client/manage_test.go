package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store/memstore"
)

// leatHandler is a server with an empty memory store.
func leatHandler(t *testing.T, o server.Options) http.Handler {
	t.Helper()
	st := memstore.New(memstore.Options{})
	o.Store, o.Logger, o.Loops = st, slog.New(slog.DiscardHandler), -1
	srv, err := server.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		srv.Shutdown(context.Background())
		st.Close()
	})
	return srv
}

func leatClient(t *testing.T, h http.Handler) *Client {
	t.Helper()
	hs := httptest.NewServer(h)
	t.Cleanup(hs.Close)
	return &Client{URL: hs.URL}
}

func TestStreams(t *testing.T) {
	c := leatClient(t, leatHandler(t, server.Options{}))
	ctx := t.Context()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	const name = "a/b %41é"
	receipt, err := c.Publish(ctx, Text(name, "one"), Text(name, "two"), Text(name, "three"), Text("a/c", "x"), Text("b", "y"))
	ok(err)
	var names []string
	for s, err := range c.Streams(ctx, "a/") {
		ok(err)
		names = append(names, s.Name)
	}
	if strings.Join(names, "|") != name+"|a/c" {
		t.Errorf("streams %q", names)
	}
	at, err := c.Position(ctx, Query{Topics: []string{name}, From: "-1"})
	ok(err)
	ok(c.TrimStream(ctx, name, at))
	s, err := c.Stream(ctx, name)
	ok(err)
	if s.Records != 1 || s.Bytes != 5 || s.ContentType != "text/plain" || s.End != "" || s.Offset >= receipt.Last || s.Offset <= at {
		t.Errorf("%+v", s)
	}
	ok(c.EndStream(ctx, name, leat.EndError, `"50 %" is not é`))
	ok(c.EndStream(ctx, name, leat.EndError, `"50 %" is not é`))
	if s, err = c.Stream(ctx, name); err != nil || s.End != leat.EndError || s.Reason != `"50 %" is not é` || s.Records != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	ok(c.DeleteStream(ctx, name))
	for what, err := range map[string]error{
		"deleted twice": c.DeleteStream(ctx, name),
		"looked at":     func() error { _, err := c.Stream(ctx, name); return err }(),
		"trimmed":       c.TrimStream(ctx, name, at),
	} {
		if leat.CodeOf(err) != leat.CodeNotFound {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := c.DeleteStream(ctx, "a/*"); leat.CodeOf(err) != leat.CodeInvalidName {
		t.Errorf("a name that is none: %v", err)
	}
}

// A list that takes several requests has every stream once.
func TestStreamsPages(t *testing.T) {
	var asked []string
	c := leatClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Query().Get("after"))
		io.WriteString(w, []string{`{"streams":[{"name":"a"}],"next":"m"}`, `{"streams":[],"next":"n"}`, `{"streams":[{"name":"z"}]}`}[len(asked)-1])
	}))
	var names []string
	for s, err := range c.Streams(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, s.Name)
	}
	if strings.Join(names, "") != "az" || strings.Join(asked, ",") != ",m,n" {
		t.Errorf("streams %q, asked after %q", names, asked)
	}
}

// An upload that is cut again and again, before a request and after it, is stored
// exactly, and goes on where it stopped.
func TestUploadThroughCuts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		content := make([]byte, 40_000)
		for i := range content {
			content[i] = byte(i * i >> 3)
		}
		inner := leatHandler(t, server.Options{MaxRecord: 3000})
		requests := 0
		f := newFakeServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				switch requests++; {
				case requests%3 == 1: // it is lost
					panic(http.ErrAbortHandler)
				case requests%3 == 2: // its answer is lost
					inner.ServeHTTP(httptest.NewRecorder(), r)
					panic(http.ErrAbortHandler)
				}
			}
			inner.ServeHTTP(w, r)
		}))
		c := &Client{URL: "http://127.0.0.1", HTTP: f.client}
		var told []int64
		waits := 0
		o := UploadFileOptions{PieceBytes: 8000, End: true, Progress: func(n int64) { told = append(told, n) }, Notify: func(n Notice) {
			if n.Kind == Waiting {
				waits++
			}
		}}
		if err := c.UploadFile(t.Context(), "a", bytes.NewReader(content), int64(len(content)), o); err != nil {
			t.Fatal(err)
		}
		resp, err := f.client.Get("http://127.0.0.1/streams/a")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		got, _ := io.ReadAll(resp.Body)
		if !bytes.Equal(got, content) || resp.Header.Get("Stream-Closed") != "true" {
			t.Errorf("%d bytes are stored, want %d; %v", len(got), len(content), resp.Header)
		}
		// 8000 and 4000 are too large; 20 pieces of 2000.
		if len(told) != 21 || told[20] != 40_000 || waits < 14 {
			t.Errorf("progress %v, %d waits", told, waits)
		}
	})
}

// A second upload of the same goes on behind the first, one of something else is
// refused, and so is one that somebody else appends to.
func TestUploadAgain(t *testing.T) {
	var posts atomic.Int32
	intrude := func() {}
	inner := leatHandler(t, server.Options{})
	c := leatClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && r.Header.Get("If-Match") != "" {
			if posts.Add(1) == 3 {
				intrude()
			}
		}
		inner.ServeHTTP(w, r)
	}))
	content := []byte(strings.Repeat("0123456789", 20_000))
	upload := func(name string, content []byte, o UploadFileOptions) (from int64, err error) {
		posts.Store(0)
		o.PieceBytes = 50_000
		from = -1
		o.Progress = func(n int64) {
			if from < 0 {
				from = n
			}
		}
		err = c.UploadFile(t.Context(), name, bytes.NewReader(content), int64(len(content)), o)
		return from, err
	}
	stop, cancel := context.WithCancel(t.Context())
	defer cancel()
	err := c.UploadFile(stop, "a", bytes.NewReader(content), int64(len(content)), UploadFileOptions{PieceBytes: 50_000, Progress: func(n int64) {
		if n == 100_000 {
			cancel()
		}
	}})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("interrupted: %v", err)
	}
	if from, err := upload("a", content, UploadFileOptions{}); from != 100_000 || err != nil || posts.Load() != 2 {
		t.Errorf("begins at %d, %d pieces, %v", from, posts.Load(), err)
	}
	if from, err := upload("a", content, UploadFileOptions{End: true}); from != 200_000 || err != nil || posts.Load() != 1 {
		t.Errorf("ended later: begins at %d, %d requests, %v", from, posts.Load(), err)
	}
	if from, err := upload("a", content, UploadFileOptions{End: true}); from != 200_000 || err != nil || posts.Load() != 0 {
		t.Errorf("a third time: begins at %d, %d requests, %v", from, posts.Load(), err)
	}
	if _, err := upload("a", append(content, 'x'), UploadFileOptions{}); leat.CodeOf(err) != leat.CodeEnded {
		t.Errorf("behind the end: %v", err)
	}
	other := bytes.Clone(content)
	other[199_999] = 'x'
	for what, other := range map[string][]byte{"the last byte differs": other, "it is shorter": content[:100]} {
		if _, err := upload("a", other, UploadFileOptions{}); leat.CodeOf(err) != leat.CodePrecondition {
			t.Errorf("%s: %v", what, err)
		}
	}
	intrude = func() { c.Publish(context.Background(), Message{Topic: "b", Data: []byte("!")}) }
	if _, err := upload("b", content, UploadFileOptions{}); leat.CodeOf(err) != leat.CodePrecondition {
		t.Errorf("somebody else appends: %v", err)
	}
	if _, err := c.Publish(t.Context(), Message{Topic: "j", Kind: leat.KindJSON, Data: []byte("1")}); err != nil {
		t.Fatal(err)
	}
	if _, err := upload("j", content, UploadFileOptions{}); leat.CodeOf(err) != leat.CodeTypeMismatch {
		t.Errorf("to JSON: %v", err)
	}
	if from, err := upload("empty", nil, UploadFileOptions{End: true}); from != 0 || err != nil {
		t.Errorf("of nothing: %d, %v", from, err)
	}
	gone := &Client{URL: "http://127.0.0.1:1"}
	if err := gone.UploadFile(t.Context(), "a", bytes.NewReader(content), 1, UploadFileOptions{}); leat.CodeOf(err) != leat.CodeUnavailable {
		t.Errorf("without a server: %v", err)
	}
}

// Backup names the directory, sends the token and reads the answer.
func TestBackup(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "POST" || r.URL.Path != "/api/backup" || r.URL.Query().Get("to") != "/backups/a b" || r.Header.Get("Authorization") != "Bearer secret" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		io.WriteString(w, `{"to":"/backups/a b","head":"0000000000000001_0000000000000002","bytes":123,"took":0.25}`)
	})
	c := leatClient(t, h)
	c.Header = http.Header{"Authorization": {"Bearer secret"}}
	got, err := c.Backup(t.Context(), "/backups/a b")
	if want := (Backup{"/backups/a b", "0000000000000001_0000000000000002", 123, 250 * time.Millisecond}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := leatClient(t, leatHandler(t, server.Options{})).Backup(t.Context(), "/x"); leat.CodeOf(err) != leat.CodeNotSupported {
		t.Errorf("of a store in memory: %v", err)
	}
}
