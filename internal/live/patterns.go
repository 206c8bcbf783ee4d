package live

import (
	"slices"
	"strings"
)

// A node is a place in the tree of all patterns: what follows the segments that lead
// to it. The zero node has no patterns.
type node struct {
	literal map[string]*node // by the next segment
	star    *node            // behind a "*"
	here    []*feed          // of patterns that end here
	rest    []*feed          // of patterns that end with a "**" behind this
}

func (n *node) empty() bool {
	return len(n.literal) == 0 && n.star == nil && len(n.here)+len(n.rest) == 0
}

// add puts a feed where a pattern leads from n.
func (n *node) add(pattern string, fd *feed) {
	segment, behind, more := strings.Cut(pattern, "/")
	if segment == "**" {
		n.rest = append(n.rest, fd)
		return
	}
	next := n.next(segment)
	if next == nil {
		next = new(node)
		n.set(segment, next)
	}
	if more {
		next.add(behind, fd)
	} else {
		next.here = append(next.here, fd)
	}
}

// remove takes a feed away that add has put there.
func (n *node) remove(pattern string, fd *feed) {
	other := func(f *feed) bool { return f == fd }
	segment, behind, more := strings.Cut(pattern, "/")
	if segment == "**" {
		n.rest = slices.DeleteFunc(n.rest, other)
		return
	}
	next := n.next(segment)
	if more {
		next.remove(behind, fd)
	} else {
		next.here = slices.DeleteFunc(next.here, other)
	}
	if next.empty() {
		n.set(segment, nil)
	}
}

// next returns the node behind a segment of a pattern, nil if there is none.
func (n *node) next(segment string) *node {
	if segment == "*" {
		return n.star
	}
	return n.literal[segment]
}

// set puts a node behind a segment of a pattern, or takes away what is there.
func (n *node) set(segment string, next *node) {
	switch {
	case segment == "*":
		n.star = next
	case next == nil:
		delete(n.literal, segment)
	default:
		if n.literal == nil {
			n.literal = make(map[string]*node)
		}
		n.literal[segment] = next
	}
}

// match appends the feeds whose patterns match a name, from n on. A name has no empty
// segments.
func (n *node) match(name string, feeds []*feed) []*feed {
	feeds = append(feeds, n.rest...)
	segment, behind, more := strings.Cut(name, "/")
	for _, next := range [2]*node{n.literal[segment], n.star} {
		switch {
		case next == nil:
		case more:
			feeds = next.match(behind, feeds)
		default:
			feeds = append(feeds, next.here...)
		}
	}
	return feeds
}
