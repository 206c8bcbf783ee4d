package pebblestore

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// No table has records and other keys: see spans.
func TestRecordsHaveTheirTables(t *testing.T) {
	s := openTest(t, Options{FS: vfs.NewMem()})
	tables := func() (records, others int) {
		t.Helper()
		must(t, s.db.Flush())
		levels, err := s.db.SSTables()
		must(t, err)
		for _, level := range levels {
			for _, table := range level {
				first, last := table.Smallest.UserKey[0], table.Largest.UserKey[0]
				switch {
				case (first == kindRecord) != (last == kindRecord):
					t.Errorf("a table from %q to %q", table.Smallest.UserKey, table.Largest.UserKey)
				case first == kindRecord:
					records++
				default:
					others++
				}
			}
		}
		return records, others
	}
	big := strings.Repeat("x", 100_000)
	for i := range 3 {
		mustAppend(t, s, "s", big, big)
		if records, others := tables(); records != i+1 || others == 0 {
			t.Fatalf("after %d flushes %d tables have records, and %d other keys", i+1, records, others)
		}
	}
}
