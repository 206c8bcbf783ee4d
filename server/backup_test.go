package server_test

import (
	"context"
	"log/slog"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/sse"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/pebblestore"
)

// A backup is made while the server works, and a server of the copy has all that was
// answered before. Who has read further is told that it is lost.
func TestBackup(t *testing.T) {
	dir := t.TempDir()
	open := func(name string) *service {
		st, err := pebblestore.Open(filepath.Join(dir, name), pebblestore.Options{Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { st.Close() })
		return start(t, server.Options{Store: st}, protocols["HTTP/1.1"])
	}
	s := open("data")
	first := s.publish("a", "1")
	to := filepath.Join(dir, "backup")
	resp := s.do("POST", "/api/backup?to="+url.QueryEscape(to), "")
	a := s.read(resp)
	if resp.StatusCode != 200 || a["to"] != to || a["head"] != first || a["bytes"].(float64) < 1000 || a["took"].(float64) <= 0 {
		t.Fatalf("status %d, %v", resp.StatusCode, a)
	}
	second := s.publish("a", "2")
	if resp := s.do("POST", "/api/backup?to="+url.QueryEscape(to), ""); resp.StatusCode != 409 || s.read(resp)["code"] != "exists" {
		t.Errorf("once more: status %d", resp.StatusCode)
	}

	restored := open("backup")
	further, fresh := restored.subscribe("topic=a", "Last-Event-ID", second), restored.subscribe("topic=a", "Last-Event-ID", first)
	if ev := nextOf(further, "leat.gap"); !strings.Contains(string(ev.Data), `"reason":"lost"`) {
		t.Errorf("who has read further gets %+v", ev)
	}
	id := restored.publish("a", "instead")
	for _, r := range []*reader{further, fresh} {
		if ev := nextOf(r, ""); ev.ID != id || string(ev.Data) != "instead" {
			t.Errorf("what comes then is %+v, want %s", ev, id)
		}
	}
}

// nextOf returns the next event that is no position. It must have that type.
func nextOf(r *reader, kind string) sse.Event {
	r.t.Helper()
	ev := r.next()
	for ev.Type == "leat.cursor" {
		ev = r.next()
	}
	if ev.Type != kind {
		r.t.Fatalf("%+v, want one of type %q", ev, kind)
	}
	return ev
}

func TestBackupIsRefused(t *testing.T) {
	s := start(t, server.Options{Store: memory(t), APIToken: "secret"}, protocols["HTTP/1.1"])
	for _, c := range []struct {
		query, token string
		status       int
		code         string
	}{
		{"?to=/tmp/x", "", 401, "token_invalid"},
		{"", "secret", 400, "invalid_parameter"},
		{"?to=x/y", "secret", 400, "invalid_parameter"},
		{"?to=/tmp/x", "secret", 501, "not_supported"},
	} {
		resp := s.do("POST", "/api/backup"+c.query, "", "Authorization", "Bearer "+c.token)
		if a := s.read(resp); resp.StatusCode != c.status || a["code"] != c.code || a["advice"] == nil {
			t.Errorf("%q: status %d, %v", c.query, resp.StatusCode, a)
		}
	}
}

// A slowStore makes a backup for as long as it may.
type slowStore struct {
	store.Store
	began chan struct{}
}

func (s slowStore) Backup(ctx context.Context, _ string) error {
	close(s.began)
	<-ctx.Done()
	return ctx.Err()
}

// A server that stops waits for no backup.
func TestBackupEndsWithTheServer(t *testing.T) {
	st := slowStore{memory(t), make(chan struct{})}
	s := start(t, server.Options{Store: st}, protocols["HTTP/1.1"])
	shut := make(chan error, 1)
	go func() { // awaited below
		<-st.began
		shut <- s.srv.Shutdown(context.Background())
	}()
	resp := s.do("POST", "/api/backup?to=/tmp/x", "")
	if a := s.read(resp); resp.StatusCode != 503 || a["code"] != "unavailable" {
		t.Errorf("status %d, %v", resp.StatusCode, a)
	}
	if err := <-shut; err != nil {
		t.Error(err)
	}
}
