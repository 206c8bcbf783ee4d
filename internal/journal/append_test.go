package journal

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

func TestAppend(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now})
		if done, err := j.Append(context.Background()); err != nil || len(done) != 0 {
			t.Errorf("nothing: %v, %v", done, err)
		}
		a := text("a", "one")
		a.Type = "price"
		done := must(t, j, a, text("a", ""), text("b", "xy"), text("a", "three"))
		all := slices.Concat(records(t, st, "a")[:2], records(t, st, "b"), records(t, st, "a")[2:])
		for i, r := range all {
			if r.Offset != done[i].Offset || !r.Time.Equal(done[i].Time) || done[i].Duplicate {
				t.Errorf("record %d is %+v, the result said %+v", i, r, done[i])
			}
			// The log has them in the order of the call.
			if i > 0 && r.Offset.Compare(all[i-1].Offset) <= 0 {
				t.Errorf("record %d is at %v, after %v", i, r.Offset, all[i-1].Offset)
			}
		}
		wantPositions(t, st, "a")
		if len(all) != 4 || all[0].Type != "price" || string(all[3].Data) != "three" {
			t.Errorf("got %+v", all)
		}
	})
}

// Nothing after a record that was refused is stored, in whatever stream.
func TestAppendStops(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, MaxRecord: 10})
		must(t, j, Append{Stream: "json", ContentType: "application/json", Data: []byte("1")})
		for i, bad := range []struct {
			a    Append
			code leat.Code
		}{
			{Append{Stream: "json", Data: []byte("{")}, leat.CodeInvalidBody},
			{text("json", "1"), leat.CodeTypeMismatch},
			{text("a", strings.Repeat("x", 11)), leat.CodeTooLarge},
			{text("a", "\xff"), leat.CodeInvalidBody},
			{text("//", "x"), leat.CodeInvalidName},
			{Append{Stream: "a", Type: "leat.x"}, leat.CodeInvalidType},
			{Append{Stream: "a", Key: "\n"}, leat.CodeInvalidKey},
			{Append{Stream: "new", ContentType: "nonsense"}, leat.CodeMediaType},
			{Append{Stream: "new", ContentType: "text/plain", Data: []byte("\xff")}, leat.CodeInvalidBody},
		} {
			before := [2]int{len(records(t, st, "a")), len(records(t, st, "b"))}
			done := refused(t, j, bad.code, text("a", "1"), text("a", "2"), text("b", "3"), text("a", "4"), bad.a, text("a", "5"), text("b", "6"))
			if len(done) != 4 {
				t.Errorf("%d: %d results, want 4", i, len(done))
			}
			after := [2]int{len(records(t, st, "a")), len(records(t, st, "b"))}
			if after[0]-before[0] != 3 || after[1]-before[1] != 1 {
				t.Errorf("%d: stored %d and %d", i, after[0]-before[0], after[1]-before[1])
			}
		}
		if len(records(t, st, "new")) != 0 {
			t.Error("a refused record made a stream")
		}
	})
}

func TestMaxRecord(t *testing.T) {
	small := func(a store.Abilities) store.Abilities {
		a.MaxRecord, a.MaxTxBytes = 2000, 3000
		return a
	}
	each(t, func(t *testing.T, st store.Store, c *clock) {
		able := st.Abilities()
		for _, test := range []struct {
			option    int
			abilities func(store.Abilities) store.Abilities
			want      int
		}{
			{100, nil, 100},
			{0, nil, min(1<<20, able.MaxRecord, able.MaxTxBytes)},
			{-1, nil, min(able.MaxRecord, able.MaxTxBytes)},
			{0, small, 2000},
			{-1, small, 2000},
			{1999, small, 1999},
			{2001, small, 2000},
		} {
			j := New(&hooked{Store: st, abilities: test.abilities}, Options{Now: c.Now, MaxRecord: test.option})
			if got := j.MaxRecord(); got != test.want {
				t.Errorf("option %d: the limit is %d, want %d", test.option, got, test.want)
			}
			must(t, j, text("s", strings.Repeat("x", test.want)))
			refused(t, j, leat.CodeTooLarge, text("s", strings.Repeat("x", test.want+1)))
			j.Close()
		}
	})
}

// The limit is of what is stored.
func TestMaxRecordStored(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, MaxRecord: 4})
		must(t, j, Append{Stream: "json", ContentType: "application/json", Data: []byte(" [ 1 ]\n")},
			Append{Stream: "text", Form: FormValue, Data: []byte(`"\u0041\u0042\u0043\u0044"`)})
		refused(t, j, leat.CodeTooLarge, Append{Stream: "text", Form: FormValue, Data: []byte(`"ABCDE"`)})
	})
}
