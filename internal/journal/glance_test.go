package journal

import (
	"context"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A glance tells of a stream that is open and was used what Stat tells, and of any
// other nothing: not of one that has ended, is gone, or whose time has come.
func TestGlance(t *testing.T) {
	ctx := context.Background()
	each(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		nothing := func(what, name string) {
			t.Helper()
			if m, known := j.Glance(name); known {
				t.Errorf("of a stream that %s: %+v", what, m)
			}
		}
		nothing("was never used", "a")
		for _, typ := range []string{"text/plain", "application/json", "image/png"} {
			name := "as " + typ
			must(t, j, Append{Stream: name, ContentType: typ, Data: []byte("1")})
			want, err := j.Stat(ctx, name, false)
			if err != nil {
				t.Fatal(err)
			}
			m, known := j.Glance(name)
			if known != j.alone {
				t.Errorf("known is %v, and whether nobody else writes %v", known, j.alone)
			}
			if known && (m.Name != name || m.ContentType != want.ContentType || m.Kind != want.Kind || m.Last != want.Last) {
				t.Errorf("got %+v, want %+v", m, want)
			}
		}
		must(t, j, text("ends", "1"), text("goes", "1"))
		if _, err := j.Write(ctx, Write{Stream: "ends", End: leat.EndComplete}); err != nil {
			t.Fatal(err)
		}
		nothing("has ended", "ends")
		if err := j.Delete(ctx, "goes"); err != nil {
			t.Fatal(err)
		}
		nothing("is gone", "goes")
		if _, _, err := j.Create(ctx, Config{ContentType: "text/plain", TTL: time.Minute}, Write{Stream: "expires"}); err != nil {
			t.Fatal(err)
		}
		if m, known := j.Glance("expires"); known != j.alone || !m.Last.IsStart() {
			t.Errorf("of one that is empty: %+v, %v", m, known)
		}
		c.add(2 * time.Minute)
		nothing("is to expire", "expires")
	})
}
