package subscription

import (
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
)

func TestGlob(t *testing.T) {
	for _, test := range []struct {
		pattern string
		yes, no string
	}{
		{"a", "a", "b a/b"},
		{"events/*", "events/a", "events events/a/b other/a"},
		{"*", "a b", "a/b"},
		{"**", "a a/b a/b/c", ""},
		{"a/**", "a a/b a/b/c", "b ab"},
		{"**/z", "z a/z a/b/z", "a z/a"},
		{"a/**/z", "a/z a/b/z a/b/c/z", "a z a/b"},
		{"a/**/b/**/c", "a/b/c a/x/b/c a/b/x/c a/b/b/c a/x/b/y/b/z/c", "a/c a/b a/c/b"},
		{"**/*", "a a/b", ""},
		{"*/**/*", "a/b a/b/c", "a"},
	} {
		g, err := parseGlob(test.pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range strings.Fields(test.yes) {
			if !g.match(name) || !strings.HasPrefix(name, g.prefix()) {
				t.Errorf("%s does not match %s, with the prefix %q", test.pattern, name, g.prefix())
			}
		}
		for _, name := range strings.Fields(test.no) {
			if g.match(name) {
				t.Errorf("%s matches %s", test.pattern, name)
			}
		}
	}
	for _, pattern := range []string{"a*", "a/**b", "a//b", "__ds/*", "a/../b", "***", "a\x00", strings.Repeat("a", leat.MaxName+1), strings.Repeat("**/", 300) + "a"} {
		if _, err := parseGlob(pattern); leat.CodeOf(err) != leat.CodeInvalidPattern {
			t.Errorf("%.20q: %v", pattern, err)
		}
	}
	if glob(nil).match("a") {
		t.Error("no pattern matches")
	}
}

// A glob is the regular expression that one would write for it.
func FuzzGlob(f *testing.F) {
	f.Add("a/**/b/*", "a/b/b")
	f.Add("**/a/**/a", "a/a/b/a")
	f.Fuzz(func(t *testing.T, pattern, name string) {
		g, err := parseGlob(pattern)
		if err != nil || pattern == "" || leat.CheckName(name) != nil {
			t.Skip()
		}
		var b strings.Builder
		for _, s := range strings.Split(pattern, "/") {
			switch s {
			case "**":
				b.WriteString("(?:[^/]+/)*")
			case "*":
				b.WriteString("[^/]+/")
			default:
				b.WriteString(regexp.QuoteMeta(s) + "/")
			}
		}
		if want := regexp.MustCompile(`^(?s:` + b.String() + `)$`).MatchString(name + "/"); g.match(name) != want {
			t.Errorf("%q matches %q: %v, want %v", pattern, name, !want, want)
		}
		if g.match(name) && !strings.HasPrefix(name, g.prefix()) {
			t.Errorf("%q does not begin with %q", name, g.prefix())
		}
	})
}

func TestConfigs(t *testing.T) {
	overMemory(t, Options{}, func(w *world) {
		for what, change := range map[string]func(*Config){
			"no type":                   func(c *Config) { c.Type = "" },
			"another type":              func(c *Config) { c.Type = "push" },
			"no stream":                 func(c *Config) { c.Pattern = "" },
			"a lease too short":         func(c *Config) { c.Lease = MinLease - time.Millisecond },
			"a lease too long":          func(c *Config) { c.Lease = MaxLease + time.Millisecond },
			"no wake stream":            func(c *Config) { c.WakeStream = "" },
			"a reserved wake stream":    func(c *Config) { c.WakeStream = "__ds/x" },
			"a reserved stream":         func(c *Config) { c.Streams = []string{"__ds/key"} },
			"a reserved pattern":        func(c *Config) { c.Pattern = "__ds/*" },
			"its own wakes, matched":    func(c *Config) { c.Pattern = "*" },
			"its own wakes, named":      func(c *Config) { c.Streams = []string{"/wakes"} },
			"a description of controls": func(c *Config) { c.Description = "a\nb" },
			"a description too long":    func(c *Config) { c.Description = strings.Repeat("x", MaxConfig) },
		} {
			c := pullWake("events/*")
			change(&c)
			_, _, err := w.m.Create(background, "s", "http://leat.example/streams/", c)
			if code := leat.CodeOf(err); code.Status() != 400 {
				t.Errorf("%s: %v", what, err)
			}
		}
		for _, id := range []string{"", "a/b", "a\x00", "\xff", strings.Repeat("a", MaxID+1)} {
			_, _, err := w.m.Create(background, id, "", pullWake("events/*"))
			wantCode(t, fmt.Sprintf("the id %.10q", id), err, leat.CodeInvalidParameter)
		}
		w.create(strings.Repeat("a", MaxID), pullWake("events/*"))
		for _, lease := range []time.Duration{MinLease, MaxLease} {
			c := pullWake("events/*")
			c.Lease = lease
			w.create(lease.String(), c)
		}
		for name, code := range map[string]leat.Code{"": leat.CodeInvalidParameter, strings.Repeat("x", MaxWorker+1): leat.CodeInvalidParameter, strings.Repeat("x", MaxWorker): leat.CodeNoWork} {
			_, err := w.m.Claim(background, "1s", name)
			wantCode(t, fmt.Sprintf("a worker's name of %d bytes", len(name)), err, code)
		}
		// The same in other words is the same.
		c := pullWake("/events/*/")
		c.Lease, c.Streams = DefaultLease, []string{"b", "/a", "b/"}
		w.create("same", c)
		c = Config{Type: PullWake, Pattern: "events/*", WakeStream: "/wakes", Streams: []string{"a", "b"}}
		if _, made, err := w.m.Create(background, "same", "", c); made || err != nil {
			t.Errorf("the same in other words: made %v, %v", made, err)
		}
		c.Description = "another"
		_, _, err := w.m.Create(background, "same", "", c)
		wantCode(t, "another of the name", err, leat.CodeExists)
	})
}

func TestLimits(t *testing.T) {
	overStores(t, Options{MaxSubscriptions: 2, MaxStreams: 3}, func(w *world) {
		w.create("s", webhook("a/*"))
		w.create("other", webhook("b/*"))
		_, _, err := w.m.Create(background, "third", "", webhook("c"))
		wantCode(w.t, "one subscription more", err, leat.CodeSubscriptionLimit)
		if err := w.m.Delete(background, "other"); err != nil {
			w.t.Fatal(err)
		}
		c := webhook("")
		c.Streams = []string{"1", "2", "3", "4"}
		_, _, err = w.m.Create(background, "other", "", c)
		wantCode(w.t, "one stream more", err, leat.CodeSubscriptionLimit)
		c.Streams = c.Streams[:3]
		w.create("other", c)
		wantCode(w.t, "one stream more afterwards", w.m.AddStreams(background, "other", []string{"4"}), leat.CodeSubscriptionLimit)
		if err := w.m.AddStreams(background, "other", []string{"3"}); err != nil {
			w.t.Errorf("one that is linked: %v", err)
		}
		// What comes by itself is not linked, and the subscription says so.
		for i := range 4 {
			w.put(fmt.Sprint("a/", i), "1")
		}
		v, err := w.m.Get(background, "s")
		if err != nil || !v.Full || len(v.Streams) != 3 {
			w.t.Errorf("%+v, %v", v, err)
		}
		if err := w.j.Delete(background, "a/1"); err != nil {
			w.t.Fatal(err)
		}
		w.add("a/3")
		if v, err := w.m.Get(background, "s"); err != nil || v.Full || v.Streams[2].Path != "a/3" {
			w.t.Errorf("when there is room again: %+v, %v", v, err)
		}
		_, _, err = w.m.Create(background, "x", "", webhook("a/*"))
		wantCode(w.t, "a third", err, leat.CodeSubscriptionLimit)
	})
	overMemory(t, Options{MaxStreams: 3}, func(w *world) {
		for i := range 4 {
			w.put(fmt.Sprint("a/", i))
		}
		_, _, err := w.m.Create(background, "s", "", webhook("a/*"))
		wantCode(w.t, "more matches than may be linked", err, leat.CodeSubscriptionLimit)
		c := webhook("b")
		w.create("s", c)
		w.put("b", "1")
		w.one()
	})
	overMemory(t, Options{MaxSubscriptions: -1, MaxStreams: -1}, func(w *world) { w.create("s", webhook("a")) })
}

func TestExplicitStreams(t *testing.T) {
	overStores(t, Options{}, func(w *world) {
		tail := w.put("old", "1")
		w.put("g/x")
		c := webhook("g/*")
		c.Streams = []string{"a"}
		w.create("s", c)
		if err := w.m.AddStreams(background, "s", []string{"/old", "g/x", "later"}); err != nil {
			w.t.Fatal(err)
		}
		if got := w.acked("s", "old"); got != tail {
			w.t.Errorf("what was there is acknowledged up to %s, want %s", got, tail)
		}
		w.put("later", "1")
		n := w.one()
		w.callback(n.report(true, Ack{"later", n.Streams[2].Tail}))
		for range 2 {
			for _, name := range []string{"old", "g/x", "nothing"} {
				if err := w.m.RemoveStream(background, "s", name); err != nil {
					w.t.Fatal(err)
				}
			}
			v, err := w.m.Get(background, "s")
			if err != nil {
				w.t.Fatal(err)
			}
			var links []string
			for _, s := range v.Streams {
				links = append(links, s.Path+" "+s.LinkType)
			}
			if got := strings.Join(links, ", "); got != "a explicit, g/x glob, later explicit" {
				w.t.Errorf("it is linked to %s", got)
			}
			w.restart()
		}
		w.add("old")
		w.none("it is not linked any more")
		wantCode(w.t, "streams of none", w.m.AddStreams(background, "none", []string{"a"}), leat.CodeNotFound)
		wantCode(w.t, "no streams", w.m.AddStreams(background, "s", nil), leat.CodeInvalidParameter)
		wantCode(w.t, "a reserved stream", w.m.AddStreams(background, "s", []string{"__ds/key"}), leat.CodeInvalidName)
	})
}

// There is no goroutine and no timer for a subscription, at rest or in flight.
func TestManySubscriptions(t *testing.T) {
	overMemory(t, Options{}, func(w *world) {
		w.put("wakes")
		before := runtime.NumGoroutine()
		const many = 1000
		for i := range many {
			w.create(fmt.Sprint(i), pullWake("events/**"))
		}
		w.put("events/a", "1")
		if n := len(w.wakes()); n != many {
			t.Errorf("%d wakes were announced, want %d", n, many)
		}
		for i := range many {
			if _, err := w.m.Claim(background, fmt.Sprint(i), "one"); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if n := runtime.NumGoroutine(); n > before+10 { // others come and go
			t.Errorf("%d goroutines, were %d", n, before)
		}
		time.Sleep(time.Second)
		if n := len(w.wakes()); n != 2*many {
			t.Errorf("%d wakes were announced after the leases, want %d", n, 2*many)
		}
	})
}
