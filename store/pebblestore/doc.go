// Package pebblestore is the durable driver: a store.Store in a directory,
// on the storage engine Pebble.
//
// # Layout
//
// Everything is in one Pebble database. The first byte of a key is its kind
// (keys.go), values are versioned lists of fields (codec.go):
//
//	r id seq   a record                l seq   which stream a sequence is of
//	s name     a stream's row          k id k  a stream's small keyed state
//	d due name when a stream is due    t through id  what was removed
//	e epoch    an opening              m …     format and counters
//
// id is the sequence at which a stream was made, so a name that is dropped
// and made anew shares no key with what it was. One stream is read from r.
// A pattern over many streams is read from l in windows that are then fetched
// from r in key order. docs/adr/0003-layout.md says why.
//
// # Durability classes
//
// In class disk, the default, a Commit returns when its group of
// transactions is written to the write-ahead log and fsynced. In class os it
// returns when the group is written to the operating system by write(2), so
// that it survives the end of the process but not of the machine. A power cut
// in class os loses a tail of the log, never something before it, and readers
// are told so by the new epoch. The opening itself is fsynced in both.
//
// One goroutine commits: all Commits that wait form a group with one write
// and one fsync, and while that is under way the next group gathers. Readers
// see a Pebble snapshot taken after the fsync (view.go), so nothing is
// visible that a crash could take back.
//
// # Failure
//
// The first write or fsync that fails is final, whatever file it was for: the
// page cache cannot be trusted after a failed fsync, so nothing is retried.
// From then on nothing in the directory changes any more (guard.go): it stays
// as a crash at that moment would have left it, which is what opening it
// again recovers from. Commits that were waiting fail, as do later ones, with
// CodeStoreFull if the disk or a quota is full and CodeStoreFailed otherwise;
// one line is logged; reads and Follow go on. Opening the store again, once
// the cause is gone, is the way back. The process is never ended, although
// Pebble would like to.
//
// With Options.MinFree it need not come to that: content is refused while
// there still is room for what frees some, and go on when there is.
//
// A record of the write-ahead log is checksummed. After a crash the torn tail
// of the newest log is cut off; damage before that stops the opening, with
// the file named, and nothing is deleted (audit.go). The one thing that cannot
// be told apart is damage in the last group of a log and a group that was
// being written. Pebble notices damage in a table only when it reads the
// block: then the read fails and a line is logged.
//
// # Memory
//
// Options.CacheSize, 64 MiB by default, bounds Pebble's block cache and its
// memtables together: at most three of 16 MiB, taken from the cache while
// they exist. On top come the latest records for followers (4 MiB), the rows
// of recently written streams (about 8 MiB at most), the group that is being
// written, and what readers hold. An idle store has no timer and reads
// nothing.
package pebblestore
