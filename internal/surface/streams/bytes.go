package streams

import (
	"strconv"
	"strings"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
)

// A tag is the entity tag of a stream's content as it stands (RFC 9110, section
// 8.8.3): which stream of that name it is, which bytes there are, and whether it
// has ended. It is strong: what it says fixes every byte.
type tag struct {
	id         uint64
	start, end int64
	over       bool
}

func tagOf(m journal.Meta) tag { return tag{m.ID, m.Start, m.End, m.Over != ""} }

func (t tag) String() string {
	text := `"` + strconv.FormatUint(t.id, 10) + ":" + strconv.FormatInt(t.start, 10) + ":" + strconv.FormatInt(t.end, 10)
	if t.over {
		text += ":c"
	}
	return text + `"`
}

// parseTag reads an entity tag of ours.
func parseTag(text string) (t tag, ok bool) {
	inner, ok := strings.CutPrefix(text, `"`)
	if inner, ok = strings.CutSuffix(inner, `"`); !ok {
		return t, false
	}
	parts := strings.Split(inner, ":")
	if t.over = len(parts) == 4 && parts[3] == "c"; t.over {
		parts = parts[:3]
	}
	if len(parts) != 3 {
		return t, false
	}
	var errs [3]error
	t.id, errs[0] = strconv.ParseUint(parts[0], 10, 64)
	t.start, errs[1] = strconv.ParseInt(parts[1], 10, 64)
	t.end, errs[2] = strconv.ParseInt(parts[2], 10, 64)
	return t, errs == [3]error{} && t.String() == text
}

// matches reports whether an If-None-Match field names t. The comparison is the
// weak one, by which W/ does not count.
func (t tag) matches(fields []string) bool {
	for part := range strings.SplitSeq(strings.Join(fields, ","), ",") {
		part = strings.TrimSpace(part)
		if part == "*" || strings.TrimPrefix(part, "W/") == t.String() {
			return true
		}
	}
	return false
}

// sameBytes reports whether the bytes from a position on go with what the client
// has under the tag in If-Range. They do if it is the same stream, since appending
// keeps every prefix: what a later request gets is exactly what comes next. A date
// never matches: there is none.
func sameBytes(ifRange string, m journal.Meta, from int64) bool {
	if ifRange == "" {
		return true
	}
	t, ok := parseTag(ifRange)
	return ok && t.id == m.ID && t.end <= m.End && from >= m.Start
}

// bounds are the bytes that an answer has: from start up to, not with, end.
type bounds struct {
	start, end int64

	// live says that it goes on with what is appended, until the stream ends.
	live bool

	// partial says that a range was asked for, and text is the one to answer.
	partial bool
	text    string
}

// A live range asks for bytes up to a position that is far beyond any end: "a very
// large value" (RFC 8673, section 2.2).
const veryLarge = 99_999_999_999

// boundsOf returns what a request for bytes is answered with: rng is its Range
// field, follow that it wants to go on as the stream grows.
func boundsOf(m journal.Meta, rng, ifRange string, follow bool) (bounds, error) {
	whole := bounds{start: m.Start, end: m.End, live: follow}
	first, last, ok := parseRange(rng)
	if !ok {
		return whole, nil
	}
	if first < 0 { // the last bytes there are
		first, last = max(m.Start, m.End-last), -1
		if m.End == m.Start && !follow {
			return whole, noSuchBytes(m, "there are none")
		}
	}
	if !sameBytes(ifRange, m, first) {
		return whole, nil
	}
	open := m.Over == ""
	b := bounds{start: first, end: m.End, partial: true, live: follow || open && last >= veryLarge && last >= m.End}
	switch {
	case first == 0 && first < m.Start && last < 0:
		b.start = m.Start // all there is; the answer says where it begins
	case first < m.Start:
		return whole, leat.Errorf(leat.CodeGap, "the bytes from %d on are gone: the first there is is %d", first, m.Start).
			Advise("Begin with that byte, or without a Range.").With("start", m.Start).With("end", m.End)
	case first > m.End, first == m.End && !(b.live && open):
		return whole, noSuchBytes(m, "the stream ends before")
	}
	if !b.live && last >= 0 && last < b.end {
		b.end = last + 1
	}
	b.text = b.contentRange(m, last)
	return b, nil
}

// contentRange returns the field Content-Range. A live range echoes the end that
// was asked for; the length of what still grows is not known.
func (b *bounds) contentRange(m journal.Meta, last int64) string {
	from, length := "bytes "+strconv.FormatInt(b.start, 10)+"-", "*"
	switch {
	case m.Over == "" && b.live:
		return from + strconv.FormatInt(max(last, veryLarge*10+9), 10) + "/*"
	case m.Over != "":
		length = strconv.FormatInt(m.End, 10)
	}
	return from + strconv.FormatInt(b.end-1, 10) + "/" + length
}

func noSuchBytes(m journal.Meta, why string) error {
	return leat.Errorf(leat.CodeRange, "no such bytes: %s", why).
		Advise("The stream has the bytes from start up to end; follow=1 waits for more.").With("start", m.Start).With("end", m.End)
}

// parseRange reads a Range of one piece: bytes=N-, bytes=N-M, or bytes=-N, which
// gives first -1 and N as last. last is -1 if it is open. Everything else, several
// pieces included, is passed over (RFC 9110, section 14.2: "A server MAY ignore
// the Range header field").
func parseRange(text string) (first, last int64, ok bool) {
	spec, ok := strings.CutPrefix(text, "bytes=")
	if !ok {
		return 0, 0, false
	}
	from, to, ok := strings.Cut(strings.TrimSpace(spec), "-")
	if !ok {
		return 0, 0, false
	}
	number := func(text string, missing int64) int64 {
		if text == "" {
			return missing
		}
		n, err := strconv.ParseUint(text, 10, 63)
		if err != nil {
			ok = false
		}
		return int64(n)
	}
	first, last = number(from, -1), number(to, -1)
	return first, last, ok && (first >= 0 || last >= 0) && !(first >= 0 && last >= 0 && last < first)
}
