package leat_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/leat-dev/leat"
)

// The table of the documentation, and what lies next to it.
func TestPatternMatch(t *testing.T) {
	for pattern, names := range map[string]struct{ match, differ []string }{
		"orders/*":  {[]string{"orders/42", "orders/é", "orders/*"}, []string{"orders", "orders/eu/42", "orders/", "order/42", "x/orders/42"}},
		"orders/**": {[]string{"orders/42", "orders/eu/42", "orders/a/b/c/d"}, []string{"orders", "ordersx/42", "orders/", "x/orders/42"}},
		"*/errors":  {[]string{"web/errors"}, []string{"errors", "/errors", "web/errors/1", "a/web/errors"}},
		"**":        {[]string{"a", "a/b", "a/b/c"}, []string{""}},
		"*":         {[]string{"a", "é"}, []string{"", "a/b", "a/", "/a"}},
		"*/*":       {[]string{"a/b"}, []string{"a", "a/b/c", "/b", "a/"}},
		"*/**":      {[]string{"a/b", "a/b/c"}, []string{"a", "/b", "a/"}},
		"a/*/c":     {[]string{"a/b/c"}, []string{"a/c", "a//c", "a/b/b/c", "a/b/c/d", "a/b"}},
		"a/*/**":    {[]string{"a/b/c", "a/b/c/d"}, []string{"a/b", "a", "a//c"}},
		"a":         {[]string{"a"}, []string{"", "a/", "a/b", "b", "aa", "A"}},
		"a/b":       {[]string{"a/b"}, []string{"a", "a/bb", "a/b/", "a/b/c"}},
	} {
		p, err := leat.ParsePattern(pattern)
		if err != nil {
			t.Error(err)
			continue
		}
		if p.String() != pattern {
			t.Errorf("%q is %q", pattern, p)
		}
		for _, name := range names.match {
			if !p.Match(name) {
				t.Errorf("%q does not match %q", pattern, name)
			}
		}
		for _, name := range names.differ {
			if p.Match(name) {
				t.Errorf("%q matches %q", pattern, name)
			}
		}
	}
}

// "The zero Pattern matches nothing." "The zero Filter matches nothing."
func TestZeroMatchesNothing(t *testing.T) {
	var p leat.Pattern
	var f leat.Filter
	for _, name := range append([]string{""}, validNames...) {
		if p.Match(name) || f.Match(name) {
			t.Errorf("%q is matched", name)
		}
	}
	if p.String() != "" || p.Prefix() != "" || f.String() != "" {
		t.Error("nothing is not shown as nothing")
	}
}

func TestParsePattern(t *testing.T) {
	for _, name := range validNames {
		p, err := leat.ParsePattern(name)
		if err != nil || !p.Match(name) {
			t.Errorf("the name %q as a pattern: %v, %v", name, p, err)
		}
	}
	for pattern, why := range map[string]string{
		"":                                  "empty",
		"a*":                                "whole segment",
		"*a":                                "whole segment",
		"a/b*c/d":                           "whole segment",
		"***":                               "whole segment",
		"a/***":                             "whole segment",
		"**/a":                              "last segment",
		"a/**/b":                            "last segment",
		"**/**":                             "last segment",
		"*/":                                "empty segment",
		"/*":                                "empty segment",
		"*//*":                              "empty segment",
		"*/..":                              `".."`,
		"__a/*":                             "reserved",
		"*/__*":                             "reserved",
		"*\n":                               "control",
		"*/\xff":                            "UTF-8",
		strings.Repeat("*/", 300):           "600 bytes",
		strings.Repeat("x", leat.MaxName+1): "513 bytes",
	} {
		p, err := leat.ParsePattern(pattern)
		if leat.CodeOf(err) != leat.CodeInvalidPattern || p != (leat.Pattern{}) {
			t.Errorf("%q: %v, %v, want an invalid pattern", pattern, p, err)
		} else if !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %q does not say %s", pattern, err, why)
		}
	}
}

func TestPatternPrefix(t *testing.T) {
	for pattern, want := range map[string]string{
		"a": "a", "a/b": "a/b", "*": "", "**": "", "a/*": "a/", "a/**": "a/", "a/b/*/c": "a/b/", "*/a": "",
	} {
		p, err := leat.ParsePattern(pattern)
		if err != nil || p.Prefix() != want {
			t.Errorf("the prefix of %q is %q, %v, want %q", pattern, p.Prefix(), err, want)
		}
	}
}

func TestParseFilter(t *testing.T) {
	f, err := leat.ParseFilter("b", "x/*", "a/1", "b", "**", "x/*", "a")
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Names(); !slices.Equal(got, []string{"a", "a/1", "b"}) {
		t.Errorf("the names are %q", got)
	}
	var patterns []string
	for _, p := range f.Patterns() {
		patterns = append(patterns, p.String())
	}
	if !slices.Equal(patterns, []string{"**", "x/*"}) {
		t.Errorf("the patterns are %q", patterns)
	}
	// "The same for all filters made of the same topics, and only for them."
	if want := "**\na\na/1\nb\nx/*"; f.String() != want {
		t.Errorf("the filter is %q, want %q", f, want)
	}
	if again, err := leat.ParseFilter("x/*", "a", "**", "b", "a/1"); err != nil || again.String() != f.String() {
		t.Errorf("in another order it is %q, %v", again, err)
	}
	if everything, err := leat.ParseFilter("**"); err != nil || everything.String() != leat.Everything().String() {
		t.Errorf("everything is %q, %v", everything, err)
	}
}

func TestParseFilterKeepsNothing(t *testing.T) {
	topics := []string{"b", "a"}
	f, err := leat.ParseFilter(topics...)
	if err != nil || topics[0] != "b" {
		t.Fatalf("the caller's topics are %q, %v", topics, err)
	}
	topics[0], topics[1] = "x", "x"
	if !f.Match("a") || !f.Match("b") || f.Match("x") {
		t.Error("a filter changes with the slice that it was made of")
	}
}

func TestParseFilterErrors(t *testing.T) {
	for code, topics := range map[leat.Code][][]string{
		leat.CodeNoTopic:        {nil, {}},
		leat.CodeInvalidName:    {{""}, {"a", "b//c"}, {"x/*", "__a"}},
		leat.CodeInvalidPattern: {{"a*"}, {"a", "**/b"}},
	} {
		for _, ts := range topics {
			if f, err := leat.ParseFilter(ts...); f != nil || leat.CodeOf(err) != code {
				t.Errorf("%q: %v, %v, want %s", ts, f, err, code)
			}
		}
	}
}

// A filter matches what one of its topics matches.
func TestFilterMatch(t *testing.T) {
	all := []string{"a", "b", "a/1", "a/2", "a/1/x", "b/1", "*", "**", "a/*", "*/1", "a/**", "*/*", "*/1/*"}
	names := []string{"a", "b", "c", "a/1", "a/2", "b/1", "b/2", "c/1", "a/1/x", "c/1/x", "c/2/x", "a/1/x/y"}
	rnd := rand.New(rand.NewPCG(1, 1))
	for range 1000 {
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		topics := all[:1+rnd.IntN(4)]
		f, err := leat.ParseFilter(topics...)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			want := slices.ContainsFunc(topics, func(topic string) bool { return naive(topic, name) })
			if f.Match(name) != want {
				t.Fatalf("%q matches %q: %v, want %v", topics, name, !want, want)
			}
		}
	}
}

// naive matches segment by segment, as the documentation of Pattern reads. It
// is for valid patterns, and for any name.
func naive(pattern, name string) bool { return segments(split(pattern), split(name)) }

// split returns no segments for the empty text, which names nothing.
func split(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, "/")
}

func segments(pattern, name []string) bool {
	switch {
	case len(pattern) == 0 || len(name) == 0:
		return len(pattern) == len(name)
	case pattern[0] == "**":
		return !(len(name) == 1 && name[0] == "")
	case pattern[0] == "*" && name[0] != "", pattern[0] == name[0]:
		return segments(pattern[1:], name[1:])
	}
	return false
}

func FuzzPatternMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"orders/*", "orders/42"}, {"orders/**", "orders/eu/42"}, {"**", "a"}, {"*/errors", "web/errors"}, {"a/*/c", "a//c"},
		{"*", ""}, {"a/**", "a/"}, {"*/*", "a/b/c"}, {"a", "a"}, {"**/a", "b/a"}, {"é/*", "é/ü"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		p, err := leat.ParsePattern(pattern)
		if err != nil {
			if p.Match(name) {
				t.Fatalf("what is no pattern matches %q", name)
			}
			return
		}
		if got, want := p.Match(name), naive(pattern, name); got != want {
			t.Fatalf("%q matches %q: %v, want %v", pattern, name, got, want)
		}
		if p.Match(name) && !strings.HasPrefix(name, p.Prefix()) {
			t.Fatalf("%q matches %q, which does not begin with %q", pattern, name, p.Prefix())
		}
		if err := leat.CheckName(pattern); (err == nil) == strings.Contains(pattern, "*") {
			t.Fatalf("the pattern %q as a name: %v", pattern, err)
		}
		if again, err := leat.ParsePattern(p.String()); err != nil || again != p {
			t.Fatalf("%q is %q, %v", pattern, again, err)
		}
	})
}

func BenchmarkPatternMatch(b *testing.B) {
	p, err := leat.ParsePattern("shop/*/order/**")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if !p.Match("shop/eu/order/2026/42") {
			b.Fatal("no match")
		}
	}
}

// A Filter keeps nothing of what its topics are cut from: a reader's may be a name in
// a request of 256 KiB.
func TestFilterKeepsNoRequest(t *testing.T) {
	request := "topic=a/b&topic=c/**&" + strings.Repeat("x", 1000)
	f, err := leat.ParseFilter(request[6:9], request[16:20])
	if err != nil {
		t.Fatal(err)
	}
	one, err := leat.ParseFilter(request[6:9])
	if err != nil {
		t.Fatal(err)
	}
	first := uintptr(unsafe.Pointer(unsafe.StringData(request)))
	for _, text := range []string{f.Names()[0], f.Patterns()[0].String(), f.String(), one.Names()[0], one.String()} {
		if at := uintptr(unsafe.Pointer(unsafe.StringData(text))); at >= first && at < first+uintptr(len(request)) {
			t.Errorf("%q is a part of the request", text)
		}
	}
}
