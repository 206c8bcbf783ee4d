package sse

import "bytes"

// firstWindow is how far indexEOL looks ahead at first: about one ordinary
// line.
const firstWindow = 256

// indexEOL returns the index of the first CR or LF in b, or -1, and how many
// bytes it has looked at.
//
// bytes.IndexByte is many times faster than a loop that looks for both, but
// searching all of b for one of them would be quadratic on a stream that uses
// only the other. So the search goes by windows that double: what it looks at
// beyond the end of the line is at most about another such line, or one
// firstWindow.
func indexEOL(b []byte) (i, looked int) {
	for from, size := 0, firstWindow; from < len(b); from, size = from+size, 2*size {
		w := b[from:min(from+size, len(b))]
		lf := bytes.IndexByte(w, '\n')
		if lf >= 0 {
			w = w[:lf+1]
		}
		looked += 2 * len(w)
		if cr := bytes.IndexByte(w, '\r'); cr >= 0 {
			return from + cr, looked
		}
		if lf >= 0 {
			return from + lf, looked
		}
	}
	return -1, looked
}

// cutField returns the value of line if its field name is name. "Field names
// must be compared literally, with no case folding performed."
func cutField(line []byte, name string) (value []byte, ok bool) {
	if len(line) < len(name) || string(line[:len(name)]) != name {
		return nil, false
	}
	line = line[len(name):]
	if len(line) == 0 {
		return line, true // no colon: the empty string is the value
	}
	if line[0] != ':' {
		return nil, false // a longer name
	}
	return dropSpace(line[1:]), true
}

// dropSpace drops one leading U+0020 from a value.
func dropSpace(value []byte) []byte {
	if len(value) > 0 && value[0] == ' ' {
		return value[1:]
	}
	return value
}
