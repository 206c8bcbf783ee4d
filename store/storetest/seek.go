package storetest

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/leat-dev/leat"
)

// "Seek … returns the first retained record whose End is greater than pos, as
// its sequence and its Pos. Pos is greater than the pos asked for if what was
// there is gone. Without such a record both are 0."
func testSeek(k *kit) {
	rnd := rand.New(rand.NewPCG(13, 13))
	var retained []leat.Record
	k.seeks("s", nil)
	for range rounds(60) {
		switch p := rnd.IntN(10); {
		case p < 7:
			records := make([]leat.Record, 1+rnd.IntN(5))
			for i := range records {
				records[i].Data = make([]byte, rnd.IntN(4)*rnd.IntN(40)) // often none
			}
			retained = append(retained, k.put("s", records...)...)
			k.put("other", recs(1+rnd.IntN(3))...)
		case p < 9 && len(retained) > 0:
			n := 1 + rnd.IntN(len(retained))
			k.ok(k.s.Trim(k.ctx, "s", retained[n-1].Offset.Seq))
			retained = retained[n:]
		default:
			// Nothing has to come after it, but whoever drops it may not know.
			end := leat.Record{Kind: leat.KindEnd, Type: string(leat.EndComplete), Data: []byte("a reason, which has no place")}
			retained = append(retained, k.put("s", end)...)
		}
		k.seeks("s", retained)
	}
	k.ok(Drop(k.ctx, k.s, "s"))
	k.seeks("s", nil)
	k.seeks("s", k.put("s", recs(3)...))
}

// seeks compares Seek with a search through the records that a stream has,
// around the beginning and the end of some of them.
func (k *kit) seeks(name string, records []leat.Record) {
	k.Helper()
	const most = 40
	positions := []int64{-1, 0, 1, math.MaxInt64}
	for i := 0; i < len(records); i += 1 + len(records)/most {
		r := &records[i]
		positions = append(positions, r.Pos-1, r.Pos, r.Pos+1, r.End()-1, r.End())
	}
	for _, pos := range positions {
		var want leat.Record
		if i := slices.IndexFunc(records, func(r leat.Record) bool { return r.End() > pos }); i >= 0 {
			want = records[i]
		}
		seq, start, err := k.s.Seek(k.ctx, name, pos)
		k.ok(err)
		if seq != want.Offset.Seq || start != want.Pos {
			k.Fatalf("Seek of %d in %s, which has %d records: record %d at %d, want %d at %d",
				pos, name, len(records), seq, start, want.Offset.Seq, want.Pos)
		}
	}
}
