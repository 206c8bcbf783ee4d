package live

import (
	"cmp"
	"slices"
	"strings"

	"github.com/leat-dev/leat"
)

// maxMatches bounds how many streams an index remembers the feeds of.
const maxMatches = 1 << 16

// An index finds the feeds that want a stream's records. Feeds are found by
// exact name, and by the literal beginning of their patterns; whether a
// pattern matches is decided by leat.Pattern alone. The answer for a stream
// is kept until the feeds change, so that a record of an active stream costs
// one look into a map.
type index struct {
	names    map[string][]*feed // by exact name
	prefixes map[string][]*feed // by the segments before the first wildcard
	matches  map[string][]*feed // by stream, feeds of one encoding together
}

func newIndex() index {
	return index{
		names:    make(map[string][]*feed),
		prefixes: make(map[string][]*feed),
		matches:  make(map[string][]*feed),
	}
}

func (x *index) add(fd *feed) {
	for _, name := range fd.filter.Names() {
		x.names[name] = append(x.names[name], fd)
	}
	for _, p := range prefixesOf(fd.filter) {
		x.prefixes[p] = append(x.prefixes[p], fd)
	}
	x.changed(fd)
}

func (x *index) remove(fd *feed) {
	for _, name := range fd.filter.Names() {
		cut(x.names, name, fd)
	}
	for _, p := range prefixesOf(fd.filter) {
		cut(x.prefixes, p, fd)
	}
	x.changed(fd)
}

func cut(m map[string][]*feed, key string, fd *feed) {
	left := slices.DeleteFunc(m[key], func(other *feed) bool { return other == fd })
	if len(left) == 0 {
		delete(m, key)
		return
	}
	m[key] = left
}

// changed forgets the answers that fd's coming or going makes wrong.
func (x *index) changed(fd *feed) {
	if len(fd.filter.Patterns()) > 0 || len(x.names)+len(x.prefixes) == 0 {
		clear(x.matches)
		return
	}
	for _, name := range fd.filter.Names() {
		delete(x.matches, name)
	}
}

// match returns the feeds that want the records of a stream, those of one
// encoding together. The slice is valid until the feeds change.
func (x *index) match(stream string) []*feed {
	if len(x.names)+len(x.prefixes) == 0 {
		return nil
	}
	feeds, ok := x.matches[stream]
	if ok {
		return feeds
	}
	feeds = append(feeds, x.names[stream]...)
	for end := 0; len(x.prefixes) > 0; end++ {
		for _, fd := range x.prefixes[stream[:end]] {
			if fd.filter.Match(stream) {
				feeds = append(feeds, fd)
			}
		}
		next := strings.IndexByte(stream[end:], '/')
		if next < 0 {
			break
		}
		end += next // the loop steps over the slash: a prefix ends with it
	}
	// A feed can have been found by its name and by each of its patterns.
	slices.SortFunc(feeds, func(a, b *feed) int {
		return cmp.Or(strings.Compare(a.encoding.String(), b.encoding.String()), cmp.Compare(a.number, b.number))
	})
	feeds = slices.Compact(feeds)
	if len(x.matches) >= maxMatches {
		clear(x.matches)
	}
	x.matches[stream] = feeds
	return feeds
}

// prefixesOf returns the literal beginnings of f's patterns: "" or whole
// segments with the slash behind them.
func prefixesOf(f *leat.Filter) []string {
	var ps []string
	for _, p := range f.Patterns() {
		ps = append(ps, p.Prefix())
	}
	slices.Sort(ps)
	return slices.Compact(ps)
}
