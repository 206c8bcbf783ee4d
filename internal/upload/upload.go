// Package upload is what happens between a request to append and the journal, the
// same for every surface: a body that has a limited time, records that are stored
// as they arrive, and an answer that says exactly how many were.
package upload

import (
	"context"
	"errors"
	"io"
	"maps"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/ingest"
	"github.com/leat-dev/leat/internal/journal"
)

// A Source is a body that is handed over as it arrives: ingest.Lines,
// ingest.Events.
type Source interface {
	// Next returns what has arrived. With an error the group has what stood
	// before it; the error is io.EOF at the end of the body.
	Next() (ingest.Group, error)
}

// A Count is the answer to an upload of many records.
type Count struct {
	Count      int          `json:"count"`
	Duplicates int          `json:"duplicates,omitempty"`
	Bytes      *int64       `json:"bytes,omitempty"` // of the body, that were stored; for bytes that are cut
	Last       *leat.Offset `json:"last,omitempty"`  // of the last record, nil if there was none
}

// An Appender is where records are stored: a journal.Journal, or what appends to one
// in a way of its own.
type Appender interface {
	Append(ctx context.Context, as ...journal.Append) ([]journal.Appended, error)
}

// Store appends what a source has as it arrives, those records that arrived
// together in one call, until its end or the first record that is wrong. complete
// finishes each append before. An error says at which line or event it was, by
// at, and how many were stored.
func Store(ctx context.Context, j Appender, from Source, complete func(*journal.Append), at func(error, int) error) (Count, error) {
	var c Count
	for {
		group, readErr := from.Next()
		for i := range group.Appends {
			complete(&group.Appends[i])
		}
		got, err := j.Append(ctx, group.Appends...)
		for _, a := range got {
			c.add(a)
		}
		switch {
		case err != nil:
			return c, c.Explain(at(err, group.Numbers[len(got)]))
		case errors.Is(readErr, io.EOF):
			return c, nil
		case readErr != nil:
			return c, c.Explain(readErr)
		}
	}
}

// StoreChunks is Store for bytes that are cut where they come to a halt. The Count
// and an error say how many bytes of the body were stored: all before that one.
func StoreChunks(ctx context.Context, j *journal.Journal, from *ingest.Chunks, complete func(*journal.Append)) (Count, error) {
	bytes := int64(0)
	c := Count{Bytes: &bytes}
	for {
		a, readErr := from.Next()
		switch {
		case errors.Is(readErr, io.EOF):
			return c, nil
		case readErr != nil:
			return c, c.Explain(readErr)
		}
		complete(&a)
		got, err := j.Append(ctx, a)
		if err != nil {
			return c, c.Explain(err)
		}
		c.add(got[0])
		bytes += int64(len(a.Data))
	}
}

func (c *Count) add(a journal.Appended) {
	c.Count++
	if a.Duplicate {
		c.Duplicates++
	}
	if !a.Offset.IsStart() { // of some duplicates it is not known
		c.Last = &a.Offset
	}
}

// Explain adds to an error what was stored before it. It leaves err, which
// others may share, as it is.
func (c *Count) Explain(err error) error {
	e := *leat.AsError(err)
	e.Fields = maps.Clone(e.Fields)
	e.With("count", c.Count)
	if c.Duplicates > 0 {
		e.With("duplicates", c.Duplicates)
	}
	if c.Bytes != nil {
		e.With("bytes", *c.Bytes)
	}
	if c.Last != nil {
		e.With("last", *c.Last)
	}
	return &e
}
