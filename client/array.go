package client

import (
	"encoding/json"
	"io"

	"github.com/leat-dev/leat"
)

// Where in an array the search for its elements is.
type arrayPlace int

const (
	beforeArray   arrayPlace = iota // only white space, or a BOM, so far
	beforeFirst                     // behind [
	beforeElement                   // behind a comma
	inElement
	behindElement // a comma or ] is due
	behindArray   // behind ]
)

// An arrayState is what the search for elements knows of the bytes before. It
// looks at brackets and strings only; each element is then checked whole.
type arrayState struct {
	place   arrayPlace
	depth   int  // brackets that are open in the element
	inText  bool // in a string
	escaped bool // behind a backslash in it
	bom     int  // bytes of a BOM that have matched
}

// element returns the next element of an array. io.EOF says that the array has
// ended and so has the body, errNoEnd that the body ended before it.
func (t *texts) element() ([]byte, error) {
	s := &t.array
	for {
		for t.at < len(t.buf) {
			c := t.buf[t.at]
			t.looked++
			if s.place != inElement {
				if err := s.between(c); err != nil {
					return nil, t.wrongArray(err)
				}
				if s.place != inElement {
					t.at++
				}
				t.start = t.at
				continue
			}
			if s.depth <= 0 && !s.inText && ends(c) {
				// Of a number or a literal the end is what comes behind it, which
				// is what stands between elements.
				return t.takeElement()
			}
			t.at++
			if s.inside(c) {
				return t.takeElement()
			}
		}
		switch err := t.fill(); {
		case err == io.EOF && s.place != behindArray:
			return nil, errNoEnd
		case err != nil:
			return nil, err
		}
	}
}

// takeElement returns what was searched.
func (t *texts) takeElement() ([]byte, error) {
	text := t.buf[t.start:t.at]
	t.start = t.at
	t.array = arrayState{place: behindElement}
	t.n++
	if t.limit >= 0 && len(text) > t.limit {
		return nil, errTextTooLarge
	}
	if !json.Valid(text) {
		return nil, wrongText("element", t.n, text)
	}
	return text, nil
}

// between takes a byte that is not in an element.
func (s *arrayState) between(c byte) error {
	switch {
	case s.place == beforeArray && s.bom < 3 && (s.bom > 0 || c == bom[0]):
		if c != bom[s.bom] {
			return errNoArray
		}
		s.bom++
	case c == ' ' || c == '\t' || c == '\r' || c == '\n':
	case s.place == beforeArray && c == '[':
		s.place = beforeFirst
	case s.place == beforeArray:
		return errNoArray
	case (s.place == beforeFirst || s.place == behindElement) && c == ']':
		s.place = behindArray
	case s.place == behindElement && c == ',':
		s.place = beforeElement
	case (s.place == beforeFirst || s.place == beforeElement) && c != ',' && c != ']':
		s.place = inElement
	default:
		return leat.Errorf(CodeLine, "there is %q where %s", c, s.place.due())
	}
	return nil
}

const bom = "\uFEFF"

var (
	errNoArray = leat.Errorf(CodeLine, "it does not begin with [")
	errNoEnd   = leat.Errorf(CodeTruncated, "the response ended before the ] of its JSON array")
)

// due is what a place waits for.
func (p arrayPlace) due() string {
	switch p {
	case behindElement:
		return "a comma or ] is due"
	case behindArray:
		return "the array has ended"
	}
	return "an element is due"
}

// inside takes a byte of an element, and reports whether it ends it.
func (s *arrayState) inside(c byte) bool {
	if s.inText {
		switch {
		case s.escaped:
			s.escaped = false
		case c == '\\':
			s.escaped = true
		case c == '"':
			s.inText = false
			return s.depth <= 0
		}
		return false
	}
	switch c {
	case '"':
		s.inText = true
	case '[', '{':
		s.depth++
	case ']', '}':
		s.depth--
		return s.depth <= 0
	}
	return false
}

// ends reports whether c is what ends a number or a literal.
func ends(c byte) bool {
	return c == ',' || c == ']' || c == ' ' || c == '\t' || c == '\r' || c == '\n'
}

// wrongArray says of which array err is, and where.
func (t *texts) wrongArray(err error) error {
	e := leat.Errorf(CodeLine, "the JSON array is wrong behind element %d: %w", t.n, err)
	return e.With("line", t.n+1)
}
