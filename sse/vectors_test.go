package sse_test

import (
	"bytes"
	"slices"
	"testing"
	"testing/iotest"

	"github.com/leat-dev/leat/sse"
)

// A vector is a stream and what must come of it.
type vector struct {
	name string // the WPT file in eventsource/, the group of the contract tests, or what it is about
	rule string // the sentence of the standard that it proves
	in   string
	want []string // the log of a trace

	seed   string // the last event ID to begin with
	lastID string // the last event ID at the end
}

// vectors are all tables; they also seed the fuzzers.
func vectors() []vector {
	return slices.Concat(wptVectors, contractVectors, lineEndVectors(), ruleVectors, blindSpotVectors)
}

// TestVectors decodes each vector in every way there is: by the reference, which
// keeps the table honest, whole, in chunks of 1, 2 and 3 bytes, cut in two at
// every offset, and from readers.
func TestVectors(t *testing.T) {
	seen := make(map[string]bool)
	for _, v := range vectors() {
		if seen[v.name] {
			t.Errorf("two vectors are called %q", v.name)
		}
		seen[v.name] = true
		t.Run(v.name, func(t *testing.T) {
			in, o := []byte(v.in), sse.Options{LastEventID: v.seed}
			ref := reference(in, v.seed)
			if !slices.Equal(ref.log, v.want) || ref.lastID != v.lastID {
				t.Errorf("the reference disagrees with the table:\n%s\nwant %q, last id %q", ref, v.want, v.lastID)
			}
			push(o, in).diff(t, "whole", ref)
			for _, size := range []int{1, 2, 3} {
				push(o, in, every(size, len(in))...).diff(t, "small chunks", ref)
			}
			if len(in) < 10_000 {
				for i := range in {
					push(o, in, i).diff(t, "cut in two", ref)
				}
			}
			pull(o, bytes.NewReader(in)).diff(t, "Decoder", ref)
			pull(o, iotest.OneByteReader(bytes.NewReader(in))).diff(t, "Decoder, one byte a read", ref)
			pull(o, iotest.HalfReader(bytes.NewReader(in))).diff(t, "Decoder, half reads", ref)
			pull(o, iotest.DataErrReader(bytes.NewReader(in))).diff(t, "Decoder, EOF with the last bytes", ref)
			if t.Failed() {
				t.Logf("rule: %s", v.rule)
			}
		})
	}
}
