package ingest

import (
	"bytes"

	"github.com/leat-dev/leat/internal/journal"
)

// NewValues returns the lines of a body that has a JSON text on each, for a
// JSON stream: one record each, byte for byte without the white space around
// it. Stream is the caller's to set. A line has at most MaxRecord bytes.
func NewValues(b Body) *Lines {
	return newLines(b, b.MaxRecord, func(line []byte) (journal.Append, error) {
		if err := checkJSON("the line", line); err != nil {
			return journal.Append{}, err
		}
		return b.append(bytes.Clone(bytes.Trim(line, jsonSpace))), nil
	})
}
