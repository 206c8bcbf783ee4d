package subscription

import (
	"strings"

	"github.com/leat-dev/leat"
)

// A glob is a pattern of the Durable Streams protocol: * is one segment, and **, in
// any place, any number of them, none included. So it is not a leat.Pattern.
type glob []string

// parseGlob checks a pattern. The empty one matches nothing.
func parseGlob(pattern string) (glob, error) {
	if pattern == "" {
		return nil, nil
	}
	segments := strings.Split(pattern, "/")
	plain := make([]string, len(segments))
	for i, s := range segments {
		if plain[i] = s; s == "*" || s == "**" {
			plain[i] = "x"
		}
	}
	if err := leat.CheckName(strings.Join(plain, "/")); err != nil || len(pattern) > leat.MaxName {
		return nil, leat.Errorf(leat.CodeInvalidPattern, "%.64q is no pattern", pattern).
			Advise("A pattern is a name of which segments may be *, for one segment, or **, for any number.")
	}
	return segments, nil
}

// prefix returns what every name begins with that matches.
func (g glob) prefix() string {
	for i, s := range g {
		if s == "**" || s == "*" {
			if i == 0 {
				return ""
			}
			if s == "*" {
				return strings.Join(g[:i], "/") + "/"
			}
			return strings.Join(g[:i], "/") // ** may be none
		}
	}
	return strings.Join(g, "/")
}

// match reports whether a name matches. It goes back to the last ** only: what an
// earlier one could take instead, the last one can take too.
func (g glob) match(name string) bool {
	if len(g) == 0 {
		return false
	}
	segments := strings.Split(name, "/")
	i, star, from := 0, -1, 0
	for n := 0; n < len(segments); {
		switch {
		case i < len(g) && g[i] == "**":
			star, from = i, n
			i++
		case i < len(g) && (g[i] == "*" || g[i] == segments[n]):
			i++
			n++
		case star >= 0:
			from++
			i, n = star+1, from
		default:
			return false
		}
	}
	for i < len(g) && g[i] == "**" {
		i++
	}
	return i == len(g)
}
