package pebblestore

import (
	"errors"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leat-dev/leat/store"
)

// A row is what is stored of a stream. Times are microseconds.
type row struct {
	id          uint64
	version     uint64 // 0: there is no such stream
	contentType string
	last        uint64
	lastTime    int64
	trimmed     uint64 // sequence of the newest record removed
	trimOrder   uint64 // order of the newest removal
	records     int64
	bytes       int64
	extra       int64 // bytes of types, keys and carries
	end         int64
	due         int64
	hasDue      bool
}

func (r *row) info(name string) store.Info {
	info := store.Info{
		Name:        name,
		ID:          r.id,
		Version:     r.version,
		ContentType: r.contentType,
		Last:        r.last,
		Trimmed:     r.trimmed,
		Records:     r.records,
		Bytes:       r.bytes,
		End:         r.end,
	}
	if r.last > 0 {
		info.LastTime = timeOf(r.lastTime)
	}
	if r.hasDue {
		info.Due = timeOf(r.due)
	}
	return info
}

// sizeOverhead is what a record counts for in Store.Size beside what it holds:
// two keys, fields, and an entry of the log index with the stream's name. That
// is 80 bytes and the name, of which compression leaves about 30; until a
// compaction there is more.
const sizeOverhead = 64

// size returns what the records of a stream count for in Store.Size.
func (r *row) size() int64 { return r.bytes + r.extra + r.records*sizeOverhead }

// setDue changes when the row is due; the zero time means never.
func (r *row) setDue(t time.Time) {
	r.due, r.hasDue = 0, !t.IsZero()
	if r.hasDue {
		r.due = t.UnixMicro()
	}
}

// getRow reads a row. One that does not exist has version 0.
func getRow(from pebble.Reader, buf []byte, name string) (row, error) {
	value, closer, err := from.Get(rowKey(buf, name))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return row{}, nil
	case err != nil:
		return row{}, err
	}
	defer closer.Close()
	return decodeRow(value)
}

// rowsPerGeneration bounds the row cache: at most two generations of this
// many rows, each of about 250 bytes. It is at least the number of streams
// that a group of several requests can touch, because what such a group has
// done to a row is nowhere but in the cache until the group is applied.
const rowsPerGeneration = maxGroup / txOverhead

// A rowCache keeps the rows that were written lately, so that an append to a
// stream in use reads nothing. A row moves to the young generation when it is
// used; when that is full it becomes the old one, and the old one is
// forgotten. A stream that was dropped lately has a row of version 0. The
// cache is the committer's alone.
type rowCache struct {
	young, old map[string]*row
}

func (c *rowCache) get(name string) *row {
	if r := c.young[name]; r != nil {
		return r
	}
	r := c.old[name]
	if r != nil {
		c.put(name, r)
	}
	return r
}

func (c *rowCache) put(name string, r *row) {
	if len(c.young) >= rowsPerGeneration || c.young == nil {
		c.old, c.young = c.young, make(map[string]*row)
	}
	c.young[name] = r
}

// row returns the newest row of a stream, to be read and written by the
// committer. What it finds is durable or of the group being built: nothing is
// applied before the group before it is durable.
func (s *Store) row(name string) (*row, error) {
	if r := s.rows.get(name); r != nil {
		return r, nil
	}
	r, err := getRow(s.db, s.scratch.key, name)
	if err != nil {
		return nil, err
	}
	s.rows.put(name, &r)
	return &r, nil
}
