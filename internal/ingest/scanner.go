package ingest

import "iter"

// A scanner walks over the parts of a JSON object or array that is known to be
// valid: it finds where values end and checks nothing.
type scanner struct {
	text []byte
	pos  int
}

// next skips white space and returns the byte that follows.
func (s *scanner) next() byte {
	for {
		switch c := s.text[s.pos]; c {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return c
		}
	}
}

// elements yields where each element of the array that begins here begins, and
// its text.
func (s *scanner) elements() iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for s.pos++; s.next() != ']'; {
			if s.next() == ',' {
				s.pos++
				s.next()
			}
			begin := s.pos
			if !yield(begin, s.value()) {
				return
			}
		}
	}
}

// value skips the value that begins here and returns its text.
func (s *scanner) value() []byte {
	begin := s.pos
	switch s.text[s.pos] {
	case '"':
		s.skipString()
	case '{', '[':
		s.skipNested()
	default:
		s.skipLiteral()
	}
	return s.text[begin:s.pos]
}

func (s *scanner) skipString() {
	for s.pos++; s.text[s.pos] != '"'; s.pos++ {
		if s.text[s.pos] == '\\' {
			s.pos++
		}
	}
	s.pos++
}

func (s *scanner) skipNested() {
	for depth := 0; ; {
		switch s.text[s.pos] {
		case '"':
			s.skipString()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		s.pos++
		if depth == 0 {
			return
		}
	}
}

// skipLiteral skips a number, true, false or null.
func (s *scanner) skipLiteral() {
	for {
		switch s.text[s.pos] {
		case ',', '}', ']', ' ', '\t', '\r', '\n':
			return
		}
		s.pos++
	}
}
