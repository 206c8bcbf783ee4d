package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// What an Info says of a stream, over its life.
func testInfo(k *kit) {
	if info := k.info("s", "key"); info.Version != 0 || info.State != nil || info.Records != 0 || !info.LastTime.IsZero() {
		k.Fatalf("a stream that does not exist has the Info %+v", info)
	}
	before := k.s.Head()
	version := k.set("s", store.Tx{ContentType: "a/b"})
	info := k.infoAt(version, "s")
	made := store.Info{Name: "s", ID: info.ID, Version: version, ContentType: "a/b"}
	if d := diffInfo(info, made); d != "" {
		k.Fatalf("a new stream: %s", d)
	}
	// "It is the sequence at which the stream was made."
	if info.ID <= before || info.ID > k.s.Head() {
		k.Errorf("the ID is %d, the heads before and after were %d and %d", info.ID, before, k.s.Head())
	}
	k.put("other", rec("xx"))
	bytes := int64(0)
	var first uint64
	for i := range 10 {
		stored := k.put("s", recs(i+1)...)
		last := stored[len(stored)-1]
		first = max(first, stored[0].Offset.Seq*b2u(i == 0))
		for _, r := range stored {
			bytes += int64(len(r.Data))
		}
		info := k.latest("s", stored)
		want := store.Info{
			Name: "s", ID: made.ID, Version: info.Version, ContentType: "a/b", Last: last.Offset.Seq,
			Records: int64((i + 1) * (i + 2) / 2), Bytes: bytes, End: last.End(), LastTime: last.Time,
		}
		if d := diffInfo(info, want); d != "" {
			k.Fatalf("after %d appends: %s", i+1, d)
		}
	}
	k.infoOfEnd(info.ID, bytes)
	if made.ID > first {
		k.Errorf("the ID is %d, and the first record is %d", made.ID, first)
	}
	if other := k.info("other"); other.ID == made.ID {
		k.Errorf("two streams have the ID %d", made.ID)
	}
}

// infoOfEnd ends the stream of testInfo: the entry counts as a record and its
// payload as bytes, but the content ends where it ended before.
func (k *kit) infoOfEnd(id uint64, bytes int64) {
	k.Helper()
	before := k.stream("s", 0, 0)
	end := leat.Record{Kind: leat.KindEnd, Type: string(leat.EndAborted), Data: []byte("a reason")}
	stored := k.put("s", end)
	info := k.latest("s", stored)
	want := store.Info{
		Name: "s", ID: id, Version: info.Version, ContentType: "a/b", Last: stored[0].Offset.Seq, Records: int64(len(before)) + 1,
		Bytes: bytes + int64(len(end.Data)), End: before[len(before)-1].End(), LastTime: stored[0].Time,
	}
	if d := diffInfo(info, want); d != "" || stored[0].Pos != want.End {
		k.Fatalf("after the end, which is at %d: %s", stored[0].Pos, d)
	}
}

func b2u(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// diffInfo compares all but State.
func diffInfo(got, want store.Info) string {
	if got.LastTime.Equal(want.LastTime) {
		got.LastTime = want.LastTime
	}
	if got.Due.Equal(want.Due) {
		got.Due = want.Due
	}
	got.State, want.State = nil, nil
	if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
		return fmt.Sprintf("the Info is\n%s, want\n%s", g, w)
	}
	return ""
}

// "State are values to set, in order." "A nil Value removes the key." "State
// has the values of the keys asked for that are set."
func testState(k *kit) {
	rnd := rand.New(rand.NewPCG(1, 1))
	names := []string{"s", "s/a", "t"}
	model := map[string]map[string]string{}
	var keys []string
	for i := range 40 {
		keys = append(keys, fmt.Sprintf("key/%d", i))
	}
	for round := range rounds(60) {
		name := names[rnd.IntN(len(names))]
		if model[name] == nil {
			model[name] = map[string]string{}
		}
		var entries []store.Entry
		for range rnd.IntN(6) {
			e := store.Entry{Key: keys[rnd.IntN(min(len(keys), 2+round))]}
			delete(model[name], e.Key)
			if rnd.IntN(3) > 0 {
				e.Value = []byte(strings.Repeat("v", rnd.IntN(4))) // "" is a value
				model[name][e.Key] = string(e.Value)
			}
			entries = append(entries, e)
		}
		version := k.set(name, store.Tx{State: entries})
		k.wantState(version, name, keys, model[name])
		for _, other := range names {
			if other != name && model[other] != nil && k.ab.ReadAfterWrite {
				k.wantState(k.info(other).Version, other, keys, model[other])
			}
		}
	}
	if info := k.info("s"); info.State != nil {
		k.Errorf("no key was asked for, and the state is %q", info.State)
	}
}

func (k *kit) wantState(version uint64, name string, keys []string, want map[string]string) {
	k.Helper()
	got := k.infoAt(version, name, keys...).State
	for _, key := range keys {
		g, ok := got[key]
		w, isSet := want[key]
		if ok != isSet || string(g) != w {
			k.Fatalf("%s has %q (%v) for %s, want %q (%v)", name, g, ok, key, w, isSet)
		}
	}
	if len(got) != len(want) {
		k.Fatalf("the state of %s is %q, want %q", name, got, want)
	}
}

// "Keys are short, values small: at most 4 KiB together for each Tx." "Keys
// are at most 600 bytes."
func testStateAtItsLimits(k *kit) {
	want := map[string]string{}
	var entries []store.Entry
	for i := range 4 {
		key := strings.Repeat(string(rune('a'+i)), 600)
		value := strings.Repeat("v", 424)
		want[key] = value
		entries = append(entries, store.Entry{Key: key, Value: []byte(value)})
	}
	version := k.set("s", store.Tx{State: entries})
	var keys []string
	for _, e := range entries {
		keys = append(keys, e.Key)
	}
	k.wantState(version, "s", keys, want)
	// Keys are any bytes, and one is not the beginning of another.
	want = map[string]string{"a": "1", "a\x00": "2", "\x00": "3", "\xff": "4", "a/": "5", "é": "6"}
	keys, entries = nil, nil
	for key, value := range want {
		keys = append(keys, key)
		entries = append(entries, store.Entry{Key: key, Value: []byte(value)})
	}
	version = k.set("s", store.Tx{State: entries})
	k.wantState(version, "s", keys, want)
	value := []byte(strings.Repeat("w", 4<<10-3))
	version = k.set("t", store.Tx{State: []store.Entry{{Key: "big", Value: value}}})
	k.wantState(version, "t", []string{"big"}, map[string]string{"big": string(value)})
	// Many keys, over many Txs.
	want, keys = map[string]string{}, nil
	for i := range 50 {
		entries = entries[:0]
		for j := range 10 {
			key := fmt.Sprint("k", i*10+j)
			want[key], keys = key, append(keys, key)
			entries = append(entries, store.Entry{Key: key, Value: []byte(key)})
		}
		version = k.set("u", store.Tx{State: entries})
	}
	k.wantState(version, "u", keys, want)
}

// "Keys returns up to limit keys of a stream's state, in byte order, that begin
// with prefix and sort after the key given. A stream that does not exist has none."
func testKeys(k *kit) {
	list := func(name, prefix, after string, limit int) []string {
		keys, err := k.s.Keys(k.ctx, name, prefix, after, limit)
		if err != nil {
			k.Fatal(err)
		}
		return keys
	}
	if keys := list("s", "", "", 10); len(keys) != 0 {
		k.Errorf("a stream that does not exist has the keys %q", keys)
	}
	all := []string{"\x00", "a", "p", "p/", "p/\x00", "p/a", "p/ab", "p/b", "p/\xff", "p/\xff\xff", "p0", "q", "\xff", "\xff\xff"}
	for i := range 30 { // more than a few, for drivers to which that makes a difference
		all = append(all, fmt.Sprintf("z%02d", i))
	}
	slices.Sort(all)
	for i, key := range all {
		k.set([]string{"s", "s2"}[i%2], store.Tx{State: []store.Entry{{Key: "x", Value: []byte{}}}})
		k.set("s", store.Tx{State: []store.Entry{{Key: key, Value: []byte{}}, {Key: "gone", Value: []byte("v")}}})
	}
	version := k.set("s", store.Tx{State: []store.Entry{{Key: "gone"}, {Key: "x"}}})
	k.infoAt(version, "s")
	for _, prefix := range []string{"", "p", "p/", "p/a", "\xff", "\xff\xff", "none"} {
		for _, after := range append([]string{"", "gone", "p/aa", "o", "zz"}, all...) {
			for _, limit := range []int{0, 1, 3, 1000} {
				var want []string
				for _, key := range all {
					if strings.HasPrefix(key, prefix) && key > after && len(want) < limit {
						want = append(want, key)
					}
				}
				if got := list("s", prefix, after, limit); !slices.Equal(got, want) {
					k.Fatalf("Keys(%q, %q, %d) = %q, want %q", prefix, after, limit, got, want)
				}
			}
		}
	}
	k.dropAt("s", version)
	if keys := list("s", "", "", 10); len(keys) != 0 {
		k.Errorf("a stream that was dropped has the keys %q", keys)
	}
}

// "Streams returns up to limit streams, by name in byte order, whose names
// begin with prefix and sort after the name given. State is nil."
func testStreams(k *kit) {
	var names []string
	for i := range 30 {
		names = append(names, fmt.Sprintf("a/%d", i), fmt.Sprintf("a%d", i), fmt.Sprintf("b/%d/x", i))
	}
	names = append(names, "B", "a", "b", "a/é", "z\U0010ffff", "ü")
	for _, name := range names {
		k.set(name, store.Tx{State: []store.Entry{{Key: "k", Value: []byte("v")}}})
	}
	stored := k.put("a", recs(3)...)
	slices.Sort(names)
	for _, prefix := range []string{"", "a", "a/", "a/1", "b/", "b/1/x", "b/1/xx", "c", "z", "\xc3"} {
		var want []string
		for _, name := range names {
			if strings.HasPrefix(name, prefix) {
				want = append(want, name)
			}
		}
		for _, limit := range []int{1, 2, 7, len(names), 1000} {
			if got := k.page(prefix, limit); !slices.Equal(got, want) {
				k.Fatalf("Streams with prefix %q, %d at a time: %q, want %q", prefix, limit, got, want)
			}
		}
	}
	// The name to go on after need not be one, nor have the prefix.
	for after, want := range map[string]string{"a/": "a/0", "a/1x": "a/2", "A": "a/0"} {
		if infos, err := k.s.Streams(k.ctx, "a/", after, 1); err != nil || len(infos) != 1 || infos[0].Name != want {
			k.Errorf("Streams after %q: %+v, %v, want %s", after, infos, err, want)
		}
	}
	infos, err := k.s.Streams(k.ctx, "a", "B", 1)
	k.ok(err)
	if d := diffInfo(infos[0], k.latest("a", stored)); d != "" || infos[0].State != nil {
		k.Errorf("Streams and Stream differ about a stream: %s %q", d, infos[0].State)
	}
	k.ok(Drop(k.ctx, k.s, "a"))
	if got := k.page("a", 1000); slices.Contains(got, "a") {
		k.Error("a dropped stream is listed")
	}
}

// page goes through Streams, with so many at a time.
func (k *kit) page(prefix string, limit int) []string {
	k.Helper()
	var names []string
	for after := ""; ; {
		infos, err := k.s.Streams(k.ctx, prefix, after, limit)
		k.ok(err)
		if len(infos) > limit {
			k.Fatalf("%d streams, the limit was %d", len(infos), limit)
		}
		if len(infos) == 0 {
			return names
		}
		for _, info := range infos {
			if info.Name <= after {
				k.Fatalf("Streams after %q has %q", after, info.Name)
			}
			after = info.Name
			names = append(names, after)
		}
	}
}

// "Due returns up to limit streams whose due time is now or earlier, earliest
// first." "nil leaves it as it is, the zero Time means never."
func testDue(k *kit) {
	base := time.Date(2026, 11, 21, 8, 0, 0, 123000, time.UTC)
	due := func(name string, t time.Time) { k.Helper(); k.set(name, store.Tx{Due: &t}) }
	want := func(at time.Duration, limit int, names ...string) {
		k.Helper()
		got, err := k.s.Due(k.ctx, base.Add(at), limit)
		k.ok(err)
		if !slices.Equal(got, names) {
			k.Fatalf("due at %v are %q, want %q", at, got, names)
		}
	}
	want(time.Hour, 10)
	due("c", base)
	due("a", base.Add(time.Second))
	due("b", base.Add(2*time.Second))
	k.put("idle", rec("x"))
	want(-time.Microsecond, 10)
	want(0, 10, "c")
	want(time.Hour, 10, "c", "a", "b")
	want(time.Hour, 2, "c", "a")
	// Appending leaves the due time as it is.
	stored := k.put("c", rec("x"))
	if info := k.latest("c", stored); !info.Due.Equal(base) {
		k.Errorf("due is %v, want %v", info.Due, base)
	}
	want(time.Hour, 10, "c", "a", "b")
	due("c", base.Add(3*time.Second)) // later
	want(time.Second, 10, "a")
	want(time.Hour, 10, "a", "b", "c")
	due("b", base.Add(-time.Hour)) // earlier
	want(0, 10, "b")
	due("a", time.Time{}) // never
	want(time.Hour, 10, "b", "c")
	if info := k.info("a"); k.ab.ReadAfterWrite && !info.Due.IsZero() {
		k.Errorf("due is %v, want never", info.Due)
	}
	k.ok(Drop(k.ctx, k.s, "b"))
	want(time.Hour, 10, "c")
	due("a", base.Add(3*time.Second)) // at the same time as c
	got, err := k.s.Due(k.ctx, base.Add(time.Hour), 10)
	k.ok(err)
	if slices.Sort(got); !slices.Equal(got, []string{"a", "c"}) {
		k.Errorf("due are %q, want a and c", got)
	}
	k.ok(k.s.Trim(k.ctx, "c", stored[0].Offset.Seq))
	want(2*time.Second, 10)
}
