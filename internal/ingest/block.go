package ingest

import "bytes"

const bom = "\uFEFF"

// A block notes of the lines of an event what package sse does not tell, since
// a browser does not want to know it: whether the id is that of this very block
// and not of one before, and what was replaced or ignored.
type block struct {
	first bool // nothing of the body has ended yet: a BOM may come first
	cr    bool // the last line ended with CR: an LF now belongs to it

	hasID   bool // it has an id, empty or not
	nulInID bool // it has an id that is ignored
	notText bool // it is not UTF-8
	ended   bool // by its blank line

	// Of the line that is being read.
	head [len(bom) + len("id:")]byte // its first bytes
	n    int                         // how many there are
	nul  bool                        // it has a NUL
	text textCheck
}

// add takes the next part of the body, with one line end at most, as its last
// byte.
func (b *block) add(part []byte) {
	if b.cr && part[0] == '\n' {
		b.cr = false
		return
	}
	last := part[len(part)-1]
	b.cr = last == '\r'
	ends := b.cr || last == '\n'
	if ends {
		part = part[:len(part)-1]
	}
	b.n += copy(b.head[b.n:], part)
	b.nul = b.nul || bytes.IndexByte(part, 0) >= 0
	if !b.text.add(part) {
		b.notText = true
	}
	if ends {
		b.endLine()
	}
}

func (b *block) endLine() {
	name := b.head[:b.n]
	if b.first {
		name = bytes.TrimPrefix(name, []byte(bom))
	}
	if string(name) == "id" || bytes.HasPrefix(name, []byte("id:")) {
		b.hasID = true
		b.nulInID = b.nulInID || b.nul
	}
	b.notText = b.notText || !b.text.whole()
	b.ended = len(name) == 0
	b.first, b.n, b.nul, b.text = false, 0, false, textCheck{}
}
