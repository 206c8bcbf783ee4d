package surface

import (
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
)

// A Query has what url.ParseQuery reads, and has an error where that has one.
func FuzzParseQuery(f *testing.F) {
	for _, seed := range []string{
		"", "&", "topic=a", "topic=a&topic=b%2Fc&topic", "a=1&b=2&a=%zz&a=3", "a=1;b=2&c=3", "%zz=1", "a=b=c", "=x&=y", "a+b=c+d%20e", "a&&b=",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		want, wrong := url.ParseQuery(raw)
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = raw
		got, err := ParseQuery(r)
		if (err != nil) != (wrong != nil) {
			t.Fatalf("%q: error %v, and %v of net/url", raw, err, wrong)
		}
		n := 0
		for name, values := range want {
			n += len(values)
			if !slices.Equal(got.Values(name), values) || got.Count(name) != len(values) || got.Get(name) != values[0] {
				t.Errorf("%q: %q is %q, and %q of net/url", raw, name, got.Values(name), values)
			}
		}
		if len(got) != n {
			t.Errorf("%q: %d parameters, and %d of net/url", raw, len(got), n)
		}
		if got.Get("there is none") != "" || got.Count("there is none") != 0 {
			t.Errorf("%q has what nobody has", raw)
		}
	})
}

func TestMostParameters(t *testing.T) {
	for n, want := range map[int]leat.Code{mostParameters: "", mostParameters + 1: leat.CodeInvalidParameter} {
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = strings.Repeat("a=1&", n-1) + "a=1"
		q, err := ParseQuery(r)
		if leat.CodeOf(err) != want || want == "" && q.Count("a") != n {
			t.Errorf("%d parameters: %v, and %d were read", n, err, q.Count("a"))
		}
	}
}
