package leat_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/leat-dev/leat"
)

// validNames and invalidNames are by the rules of CheckName, sentence by
// sentence.
var validNames = []string{
	"a", "orders/eu/42", "A-b.c_d~e", "...", ".a", "a.", "_", "_a", "a__", "a/_b",
	"a b", " ", "ü", "日本語/ストリーム", "a\u00a0b", "a\u2028b", "😀", "e\u0301", "a?b=c&d#e%2Fx+", "a\\b", "a:b", "<a>",
	strings.Repeat("x", leat.MaxName), strings.Repeat("é", leat.MaxName/2), "a" + strings.Repeat("/b", 255),
}

var invalidNames = map[string]string{ // and a word of the reason
	"":                                    "empty",
	strings.Repeat("x", leat.MaxName+1):   "513 bytes",
	strings.Repeat("é", leat.MaxName/2+1): "514 bytes",
	"a\xff":                               "UTF-8",
	"\xed\xa0\x80":                        "UTF-8", // half of a surrogate pair
	"\xc0\xaf":                            "UTF-8", // a slash in two bytes
	"/":                                   "empty segment",
	"/a":                                  "empty segment",
	"a/":                                  "empty segment",
	"a//b":                                "empty segment",
	".":                                   `"."`,
	"..":                                  `".."`,
	"a/./b":                               `"."`,
	"a/..":                                `".."`,
	"../a":                                `".."`,
	"__":                                  "reserved",
	"__a":                                 "reserved",
	"a/__b/c":                             "reserved",
	"a\x00":                               "control",
	"a\nb":                                "control",
	"a\rb":                                "control",
	"\t":                                  "control",
	"a\x7f":                               "control",
	"a\u0085b":                            "control", // the next line of C1
	"*":                                   "'*'",
	"a/*":                                 "'*'",
	"a*b":                                 "'*'",
	"a/**":                                "'*'",
}

func TestCheckName(t *testing.T) {
	for _, name := range validNames {
		if err := leat.CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, why := range invalidNames {
		err := leat.CheckName(name)
		if leat.CodeOf(err) != leat.CodeInvalidName {
			t.Errorf("%q: %v, want an invalid name", name, err)
			continue
		}
		if !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %q does not say %s", name, err, why)
		}
	}
}

// An error message quotes the name in a form that a terminal and a log can
// show, and never all of a long one.
func TestInvalidNameIsQuoted(t *testing.T) {
	for _, name := range []string{
		strings.Repeat("x", 5000), strings.Repeat("é", 5000), "a" + strings.Repeat("é", 5000), strings.Repeat("\xff", 5000),
		strings.Repeat("\x80", 5000), "\x1b[31m/" + strings.Repeat("\n", 5000), strings.Repeat("a/", 5000), "__" + strings.Repeat("\u202e", 150),
	} {
		err := leat.CheckName(name)
		if err == nil {
			t.Errorf("%.20q is valid", name)
			continue
		}
		text := err.Error()
		if len(text) > 800 || !utf8.ValidString(text) || strings.ContainsAny(text, "\x1b\n\u202e") {
			t.Errorf("the message about %.20q is %q", name, text)
		}
	}
}
