package live

import (
	"cmp"
	"slices"
	"strings"
)

// maxMatches bounds how many streams an index remembers the feeds of.
const maxMatches = 1 << 16

// An index finds the feeds that want a stream's records: by exact name, and by their
// patterns segment by segment, so that those that do not match are not looked at. The
// answer for a stream is kept until the feeds change, so that a record of an active
// stream costs one look into a map.
type index struct {
	names    map[string][]*feed // by exact name
	patterns node
	matches  map[string][]*feed // by stream, feeds of one encoding together
}

func newIndex() index {
	return index{
		names:   make(map[string][]*feed),
		matches: make(map[string][]*feed),
	}
}

func (x *index) add(fd *feed) {
	for _, name := range fd.filter.Names() {
		if others := x.names[name]; len(others) > 0 {
			x.names[name] = append(others, fd)
		} else {
			fd.self[0] = fd
			x.names[name] = fd.self[:]
		}
	}
	for _, p := range fd.filter.Patterns() {
		x.patterns.add(p.String(), fd)
	}
	x.changed(fd)
}

func (x *index) remove(fd *feed) {
	for _, name := range fd.filter.Names() {
		cut(x.names, name, fd)
	}
	for _, p := range fd.filter.Patterns() {
		x.patterns.remove(p.String(), fd)
	}
	x.changed(fd)
}

func cut(m map[string][]*feed, key string, fd *feed) {
	if len(m[key]) > 1 {
		m[key] = slices.DeleteFunc(m[key], func(other *feed) bool { return other == fd })
		return
	}
	delete(m, key) // and leave a feed's own list as it is
}

// changed forgets the answers that fd's coming or going makes wrong.
func (x *index) changed(fd *feed) {
	if len(fd.filter.Patterns()) > 0 || len(x.names) == 0 && x.patterns.empty() {
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
	if len(x.names) == 0 && x.patterns.empty() {
		return nil
	}
	feeds, ok := x.matches[stream]
	if ok {
		return feeds
	}
	feeds = append(feeds, x.names[stream]...)
	feeds = x.patterns.match(stream, feeds)
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
