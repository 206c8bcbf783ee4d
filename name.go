package leat

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the length of the longest stream name, in bytes.
const MaxName = 512

// CheckName reports whether name may name a stream. A name is UTF-8 text of
// 1 to [MaxName] bytes, made of segments joined by '/'. No segment is empty,
// "." or "..", or begins with "__", which is reserved; there are no control
// characters and no '*'. Names are compared as bytes.
//
// The error is nil or an [*Error] with code [CodeInvalidName].
func CheckName(name string) error {
	if why := nameFault(name, false); why != "" {
		return Errorf(CodeInvalidName, "%s cannot name a topic: %s", quote(name), why).
			Advise("A name is UTF-8 text of at most 512 bytes, segments joined by '/', for example orders/eu/42.")
	}
	return nil
}

// nameFault says what is wrong with a name or, if wild, a pattern.
func nameFault(s string, wild bool) string {
	switch {
	case s == "":
		return "it is empty"
	case len(s) > MaxName:
		return fmt.Sprintf("it has %d bytes and the limit is %d", len(s), MaxName)
	case !utf8.ValidString(s):
		return "it is not valid UTF-8"
	}
	for _, r := range s {
		if unicode.IsControl(r) {
			return fmt.Sprintf("it has the control character %U", r)
		}
	}
	rest, last := s, false
	for !last {
		var seg string
		var more bool
		seg, rest, more = strings.Cut(rest, "/")
		last = !more
		if why := segmentFault(seg, wild, last); why != "" {
			return why
		}
	}
	return ""
}

func segmentFault(seg string, wild, last bool) string {
	switch {
	case seg == "":
		return "it has an empty segment"
	case seg == "." || seg == "..":
		return fmt.Sprintf("it has the segment %q", seg)
	case strings.HasPrefix(seg, "__"):
		return fmt.Sprintf("segments that begin with __, such as %s, are reserved", quote(seg))
	case !strings.Contains(seg, "*"):
		return ""
	case !wild:
		return "it has a '*'"
	case seg == "*", seg == "**" && last:
		return ""
	case seg == "**":
		return "** is allowed only as the last segment"
	default:
		return fmt.Sprintf("a '*' must be a whole segment, unlike in %s", quote(seg))
	}
}

// quote shows s in a message: quoted, and cut when long.
func quote(s string) string {
	const most = 64
	if len(s) <= most {
		return fmt.Sprintf("%q", s)
	}
	cut := most
	for cut > 0 && !utf8.RuneStart(s[cut]) {
		cut--
	}
	return fmt.Sprintf("%q…", s[:cut])
}
