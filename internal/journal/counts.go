package journal

import (
	"github.com/leat-dev/leat/internal/tally"
	"github.com/leat-dev/leat/store"
)

// Counts are what a Journal has done since it was made.
type Counts struct {
	Records int64       // that were stored, ends included
	Bytes   int64       // of payload in them
	Waiting int64       // bytes that wait to be stored at present; see Options.MaxWaiting
	Commits store.Times // how long each took, the sync of a disk included
}

// Counts returns what was counted.
func (j *Journal) Counts() Counts {
	j.mu.Lock()
	defer j.mu.Unlock()
	return Counts{Records: j.stored.records, Bytes: j.stored.bytes, Waiting: j.queued.Load(), Commits: j.stored.commits.Read()}
}

// stored is what a journal counts. Guarded by its mu.
type stored struct {
	records, bytes int64
	commits        tally.Times
}
