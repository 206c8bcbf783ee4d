package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/leat-dev/leat"
)

// A cursorFile keeps where a tail has come to, so that the next one goes on there. It
// is written after each record that was printed: a tail that is killed in between
// prints one again, and never leaves one out.
type cursorFile struct {
	name  string
	saved string
}

// openCursor reads a cursor, empty if there is no such file.
func openCursor(name string) (*cursorFile, error) {
	text, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &cursorFile{name: name}, nil
	case err != nil:
		return nil, err
	}
	id := strings.TrimSuffix(string(text), "\n")
	if id == "" || strings.ContainsAny(id, "\r\n") {
		// To begin somewhere else would leave records out.
		return nil, leat.Errorf(leat.CodeInvalidParameter, "the file %s has no cursor", name).
			Advise("Remove it to begin by --from, or name the file that an earlier --resume has written.")
	}
	return &cursorFile{name, id}, nil
}

// save writes an id, in one step: there is the old one or the new one, never a part.
func (c *cursorFile) save(id string) error {
	if c == nil || id == "" || id == c.saved {
		return nil
	}
	next := c.name + ".next"
	if err := os.WriteFile(next, []byte(id+"\n"), 0o666); err != nil {
		return err
	}
	if err := os.Rename(next, c.name); err != nil {
		return err
	}
	c.saved = id
	return nil
}
