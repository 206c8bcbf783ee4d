package ingest

import "unicode/utf8"

// A textCheck tells whether text that comes in parts is valid UTF-8.
type textCheck struct {
	begun [utf8.UTFMax]byte // the bytes of a character that the last part ended inside of
	n     int
}

// add takes the next part, and reports whether the text can still be valid.
func (c *textCheck) add(part []byte) bool {
	for c.n > 0 && len(part) > 0 {
		c.begun[c.n] = part[0]
		c.n++
		part = part[1:]
		if !utf8.FullRune(c.begun[:c.n]) {
			continue
		}
		whole := utf8.Valid(c.begun[:c.n])
		c.n = 0
		if !whole {
			return false
		}
	}
	end := len(part)
	for i := end - 1; i >= 0 && i > end-utf8.UTFMax; i-- {
		if utf8.RuneStart(part[i]) {
			if !utf8.FullRune(part[i:]) {
				c.n = copy(c.begun[:], part[i:])
				part = part[:i]
			}
			break
		}
	}
	return utf8.Valid(part)
}

// whole reports whether the text may end here.
func (c *textCheck) whole() bool { return c.n == 0 }
