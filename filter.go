package leat

import (
	"slices"
	"strings"
)

// A Pattern matches stream names. It is a name in which a segment may be "*",
// which stands for any one segment, and the last segment may be "**", which
// stands for one or more segments:
//
//	orders/*      matches orders/42, not orders and not orders/eu/42
//	orders/**     matches orders/42 and orders/eu/42, not orders
//	*/errors      matches web/errors
//	**            matches every name
//
// A Pattern comes from [ParsePattern]; the zero Pattern matches nothing.
type Pattern struct{ text string }

// ParsePattern checks s and returns it as a Pattern. A name without '*' is a
// pattern too; it matches itself. The error is an [*Error] with code
// [CodeInvalidPattern].
func ParsePattern(s string) (Pattern, error) {
	if why := nameFault(s, true); why != "" {
		return Pattern{}, Errorf(CodeInvalidPattern, "%s is neither a topic name nor a pattern: %s", quote(s), why).
			Advise("In a pattern * stands for one segment and a last ** for one or more, for example orders/* or orders/**.")
	}
	return Pattern{s}, nil
}

// String returns the text that p was parsed from.
func (p Pattern) String() string { return p.text }

// Prefix returns the text that every matching name begins with: all of p
// before its first '*'.
func (p Pattern) Prefix() string {
	prefix, _, _ := strings.Cut(p.text, "*")
	return prefix
}

// Match reports whether name matches. It does not check that name is valid.
func (p Pattern) Match(name string) bool {
	pattern := p.text
	for {
		ps, prest, pmore := strings.Cut(pattern, "/")
		if ps == "**" {
			return name != ""
		}
		ns, nrest, nmore := strings.Cut(name, "/")
		if ps != ns && (ps != "*" || ns == "") || pmore != nmore {
			return false
		}
		if !pmore {
			return p.text != ""
		}
		pattern, name = prest, nrest
	}
}

// A Filter says which records a reader gets: those of the streams that have
// one of its names or match one of its patterns. It is immutable and may be
// used by many goroutines at once. A Filter comes from [ParseFilter] or
// [Everything]; the zero Filter matches nothing.
type Filter struct {
	names    []string // sorted, unique
	patterns []Pattern
	key      string
}

// ParseFilter makes a Filter of topics: names, and patterns where a '*'
// occurs. Order and repetition do not matter. The error is an [*Error] with
// code [CodeInvalidName] or [CodeInvalidPattern]; no topic at all is an error
// with code [CodeNoTopic].
func ParseFilter(topics ...string) (*Filter, error) {
	if len(topics) == 0 {
		return nil, Errorf(CodeNoTopic, "no topic is named").
			Advise("Name one or more topics, for example /events?topic=orders/42&topic=news/*.")
	}
	topics = slices.Clone(topics)
	for i, t := range topics {
		topics[i] = strings.Clone(t) // a part of a request would keep all of it
	}
	slices.Sort(topics)
	topics = slices.Compact(topics)
	exact := 0
	for _, t := range topics {
		if !strings.Contains(t, "*") {
			exact++
		}
	}
	// Names have no control characters, so a line feed separates them. They are parts
	// of the key: a filter keeps nothing of the text, a request perhaps, that the topics
	// came in, and is small since there may be one for each reader.
	f := newFilter(exact)
	f.key = strings.Join(topics, "\n")
	rest := f.key
	for _, t := range topics {
		t, rest = rest[:len(t)], rest[min(len(t)+1, len(rest)):]
		if !strings.Contains(t, "*") {
			if err := CheckName(t); err != nil {
				return nil, err
			}
			f.names = append(f.names, t)
			continue
		}
		p, err := ParsePattern(t)
		if err != nil {
			return nil, err
		}
		f.patterns = append(f.patterns, p)
	}
	return f, nil
}

// newFilter returns a Filter with room for so many names, in one piece if these are
// few: small pieces of memory, of which there would be three for each of very many
// filters, are spread over pages of garbage.
func newFilter(names int) *Filter {
	if names > 2 {
		return &Filter{names: make([]string, 0, names)}
	}
	var f struct {
		Filter
		few [2]string
	}
	f.names = f.few[:0]
	return &f.Filter
}

// Everything returns the filter that matches every stream, that of "**".
func Everything() *Filter {
	return &Filter{patterns: []Pattern{{"**"}}, key: "**"}
}

// Names returns the exact names, sorted. The caller must not change them.
func (f *Filter) Names() []string { return f.names }

// Patterns returns the patterns, sorted by their text. The caller must not
// change them.
func (f *Filter) Patterns() []Pattern { return f.patterns }

// String returns a text that is the same for all filters made of the same
// topics, and only for them: the topics, sorted, one on a line.
func (f *Filter) String() string { return f.key }

// Match reports whether records of the stream called name pass.
func (f *Filter) Match(name string) bool {
	if _, ok := slices.BinarySearch(f.names, name); ok {
		return true
	}
	for _, p := range f.patterns {
		if p.Match(name) {
			return true
		}
	}
	return false
}
