package sse

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// "Streams must be decoded using the UTF-8 decode algorithm." What it makes of
// ill-formed bytes is the practice of the Unicode Standard, section 3.9, whose
// tables these are, with the bounds of the second byte added.
func TestAppendUTF8(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"ascii é € 😀 \uFFFD \uFFFE \U0010FFFF": "ascii é € 😀 \uFFFD \uFFFE \U0010FFFF",
		"\x00\x7f\u0080\u07ff\u0800\uffff":     "\x00\x7f\u0080\u07ff\u0800\uffff",
		"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41": "????????A",   // table 3-8: non-shortest forms
		"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41": "????????A",   // table 3-9: surrogates
		"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42": "?????A??B",   // table 3-10: others
		"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41": "????A",       // table 3-11: truncated
		"\xe0\xa0\xe0\x9f\xed\x9f\xed\xa0":     "????" + "??", // bounds of the second byte
		"\xf0\x90\xf0\x8f\xf4\x8f\xf4\x90":     "?" + "??" + "?" + "??",
		"\xf0\x90\x80\xc3\xa9":                 "?é",
		"\xe2\x28\xa1":                         "?(?",
		"\xf8\x88\x80\x80\x80":                 "?????",
		"\xc2":                                 "?",
	} {
		want = strings.ReplaceAll(want, "?", "\uFFFD")
		if got := string(appendUTF8([]byte("before"), []byte(in))); got != "before"+want {
			t.Errorf("%+q: %+q, want %+q", in, got, want)
		}
	}
	for range 10_000 {
		b := make([]byte, rand.N(12))
		for i := range b {
			b[i] = byte(rand.N(256))
		}
		got := appendUTF8(nil, b)
		if !utf8.Valid(got) || utf8.Valid(b) && string(got) != string(b) || len(got) < len(b) {
			t.Fatalf("%+q: %+q", b, got) // limits rely on it that nothing shrinks
		}
	}
}
