package server_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
	"github.com/leat-dev/leat/store"
)

// A failing store takes no writes any more once fault is set, as drivers do
// after a failed write or fsync.
type failing struct {
	store.Store
	fault atomic.Pointer[leat.Error]
}

func (f *failing) Commit(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
	if err := f.fault.Load(); err != nil {
		return nil, err
	}
	return f.Store.Commit(ctx, txs)
}

func (f *failing) Health() error {
	if err := f.fault.Load(); err != nil {
		return err
	}
	return f.Store.Health()
}

// "Disk full and fsync errors (507 or 503 …, nothing acknowledged that is not
// stored, reads go on)". What the drivers do is proved in storetest.RunFaults.
func TestStoreFailure(t *testing.T) {
	for code, status := range map[leat.Code]int{leat.CodeStoreFull: 507, leat.CodeStoreFailed: 503} {
		t.Run(string(code), func(t *testing.T) {
			st := &failing{Store: memory(t)}
			s := start(t, server.Options{Store: st}, protocols["HTTP/1.1"])
			r := s.subscribe("topic=a")
			r.next()
			id := s.publish("a", "stored")
			st.fault.Store(leat.Errorf(code, "the disk: %w", errors.New("secret cause")).Advise("Mend it."))
			for _, path := range []string{"/events?topic=a", "/events?topic=new"} {
				resp := s.do("POST", path, "lost", "Content-Type", "text/plain")
				if a := s.read(resp); resp.StatusCode != status || a["code"] != string(code) || a["advice"] != "Mend it." {
					t.Errorf("publish: status %d, %v", resp.StatusCode, a)
				}
			}
			resp := s.do("GET", "/healthz", "")
			if a := s.read(resp); resp.StatusCode != 503 || a["status"] != "failed" || a["code"] != string(code) {
				t.Errorf("healthz: status %d, %v", resp.StatusCode, a)
			}
			if ev := r.next(); ev.ID != id {
				t.Errorf("the live reader got %+v", ev)
			}
			again := s.subscribe("topic=a&from=start")
			again.next()
			if ev := again.next(); ev.ID != id {
				t.Errorf("a later reader got %+v", ev)
			}
		})
	}
}

// An error that is not ours tells the client nothing of its text.
func TestInternalErrorsSayNothing(t *testing.T) {
	st := &broken{memory(t)}
	s := start(t, server.Options{Store: st}, protocols["HTTP/1.1"])
	resp := s.do("GET", "/events?topic=a&from=-10", "")
	if a := s.read(resp); resp.StatusCode != 500 || a["code"] != "internal" || strings.Contains(a["detail"].(string), "secret") {
		t.Errorf("status %d, %v", resp.StatusCode, a)
	}
}

type broken struct{ store.Store }

func (broken) Back(context.Context, *leat.Filter, uint64, int) (uint64, error) {
	return 0, errors.New("secret")
}
