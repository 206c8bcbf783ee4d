package streams

import (
	"math"
	"strconv"
	"strings"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

// A tag is the entity tag of a stream's content as it stands (RFC 9110, section
// 8.8.3): which state of which stream it is, which bytes there are, and whether it
// has ended. It is strong: what it says fixes every byte, over restarts of the
// server and losses of its store too.
type tag struct {
	mark       leat.Offset
	start, end int64
	over       bool

	// epoch is when the store was opened that gave the tag, if the answer goes on:
	// its reader has bytes beyond end, and no newer tag. Otherwise it is 0.
	epoch uint64
}

func tagOf(m journal.Meta) tag {
	return tag{mark: m.Mark, start: m.Start, end: m.End, over: m.Over != ""}
}

func (t tag) String() string {
	text := `"` + t.mark.String() + ":" + strconv.FormatInt(t.start, 10) + ":" + strconv.FormatInt(t.end, 10)
	if t.over {
		text += ":c"
	}
	if t.epoch > 0 {
		text += ":" + strconv.FormatUint(t.epoch, 10)
	}
	return text + `"`
}

// parseTag reads an entity tag of ours. One that is weak is none: W/ is for those
// that do not fix every byte.
func parseTag(text string) (t tag, ok bool) {
	inner := strings.Trim(text, `"`)
	inner, t.over = strings.CutSuffix(inner, ":c")
	parts := strings.Split(inner, ":")
	if len(parts) != 3 && len(parts) != 4 {
		return t, false
	}
	var errs [4]error
	t.mark, errs[0] = leat.ParseOffset(parts[0])
	t.start, errs[1] = strconv.ParseInt(parts[1], 10, 64)
	t.end, errs[2] = strconv.ParseInt(parts[2], 10, 64)
	if len(parts) == 4 {
		t.epoch, errs[3] = strconv.ParseUint(parts[3], 10, 64)
	}
	return t, errs == [4]error{} && t.String() == text // in quotation marks, among others
}

// A chunkTag is the entity tag of an answer to an offset: of which stream it is, from
// where to where it goes, and whether that is the end for good. Nothing between two
// offsets ever changes.
type chunkTag struct {
	id, start, next leat.Offset
	over            bool
}

func (t chunkTag) String() string {
	text := `"` + t.id.String() + ":" + t.start.String() + ":" + t.next.String()
	if t.over {
		text += ":c"
	}
	return text + `"`
}

// parseChunkTag reads such a tag.
func parseChunkTag(text string) (t chunkTag, ok bool) {
	inner := strings.Trim(text, `"`)
	inner, t.over = strings.CutSuffix(inner, ":c")
	parts := strings.Split(inner, ":")
	if len(parts) != 3 {
		return t, false
	}
	for i, o := range []*leat.Offset{&t.id, &t.start, &t.next} {
		var err error
		if *o, err = leat.ParseOffset(parts[i]); err != nil {
			return t, false
		}
	}
	return t, t.String() == text
}

// mark is the Mark of a stream that ends where the answer does. See journal.Meta.
func (t chunkTag) mark() leat.Offset {
	if t.next.Compare(t.id) < 0 {
		return t.id
	}
	return t.next
}

// matches reports whether an If-None-Match field names t.
func (t tag) matches(fields []string) bool { return matchesTag(fields, t.String()) }

// matchesTag reports whether an If-None-Match field names a tag. The comparison is the
// weak one, by which W/ does not count.
func matchesTag(fields []string, tag string) bool {
	for part := range strings.SplitSeq(strings.Join(fields, ","), ",") {
		part = strings.TrimSpace(part)
		if part == "*" || strings.TrimPrefix(part, "W/") == tag {
			return true
		}
	}
	return false
}

// bounds are the bytes that an answer has: from start up to, not with, end.
type bounds struct {
	start, end int64

	// live says that it goes on with what is appended, until the stream ends.
	live bool

	// broken says that it has the last byte of a stream that broke off. What
	// comes after that is no end.
	broken bool

	// contentRange is the field of that name if it is part of the content.
	contentRange string
}

// A live range asks for bytes up to a position that is far beyond any end: "a very
// large value" (RFC 8673, section 2.2). Where it is not said which, it is lastByte.
const (
	veryLarge = 99_999_999_999
	lastByte  = 999_999_999_999
)

// boundsOf returns what a request for bytes is answered with: rng is its Range
// field, conditional says that there was an If-Range that holds, follow that it
// wants to go on as the stream grows.
func boundsOf(m journal.Meta, rng string, conditional, follow bool) (bounds, error) {
	open := m.Over == ""
	broken := !open && m.Over != leat.EndComplete
	whole := bounds{start: m.Start, end: m.End, live: follow && open, broken: broken}
	first, last, ok := parseRange(rng)
	switch {
	case !ok:
		return whole, nil
	case first < 0: // the last bytes there are
		first, last = max(m.Start, m.End-last), -1
	case first == 0 && last < 0:
		first = m.Start // all there is; the answer says where it begins
	}
	b := bounds{start: first, end: m.End}
	b.live = open && (follow && last < 0 || last >= max(veryLarge, m.End))
	b.broken = broken && (last < 0 || last >= m.End-1)
	switch {
	case first < m.Start && conditional:
		return whole, nil // what the client has is not continued by what there is
	case first < m.Start:
		return whole, leat.Errorf(leat.CodeGap, "the bytes from %d on are gone: the first there is is %d", first, m.Start).
			Advise("Begin with that byte, or without a Range.").With("start", m.Start).With("end", m.End)
	case first > m.End, first == m.End && !b.live && !b.broken:
		return whole, leat.Errorf(leat.CodeRange, "there is no byte %d: the stream has those from %d up to, not with, %d", first, m.Start, m.End).
			Advise("With follow=1 a range that begins at the end waits for more.").With("start", m.Start).With("end", m.End)
	case last >= 0 && last < m.End:
		b.end = last + 1
	}
	b.contentRange = b.rangeField(m, last)
	return b, nil
}

// rangeField returns the field Content-Range. What goes on echoes the end that was
// asked for, and so does what broke off and has no byte; the length of both is
// not known.
func (b *bounds) rangeField(m journal.Meta, last int64) string {
	length := "*"
	if m.Over == leat.EndComplete {
		length = strconv.FormatInt(m.End, 10)
	}
	switch {
	case b.live || b.start == b.end:
		if last < 0 {
			last = max(lastByte, m.End)
		}
	default:
		last = b.end - 1
	}
	return "bytes " + strconv.FormatInt(b.start, 10) + "-" + strconv.FormatInt(last, 10) + "/" + length
}

// parseRange reads a Range of one piece: bytes=N-, bytes=N-M, or bytes=-N, which
// gives first -1 and N as last. last is -1 if it is open. Everything else, several
// pieces included, is passed over (RFC 9110, section 14.2: "A server MAY ignore
// the Range header field").
func parseRange(text string) (first, last int64, ok bool) {
	unit, spec, ok := strings.Cut(text, "=")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return 0, 0, false
	}
	from, to, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return 0, 0, false
	}
	first, firstOK := position(from)
	last, lastOK := position(to)
	switch {
	case !firstOK || !lastOK, first < 0 && last < 0, first >= 0 && last >= 0 && last < first:
		return 0, 0, false
	}
	return first, last, true
}

// position reads a number of a range, -1 for none. Any number of digits is one:
// what is beyond all positions is the greatest.
func position(text string) (int64, bool) {
	if text == "" {
		return -1, true
	}
	if strings.Trim(text, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		n = math.MaxInt64
	}
	return n, true
}
