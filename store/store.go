// Package store is the contract between Leat and what keeps its records: a
// log of many streams with small state beside each.
//
// A driver keeps bytes, assigns sequences, and says when they are durable.
// It knows none of the rules of streams (content types, idempotent
// producers, keys, closing, retention): those are written once, in
// internal/journal, over any driver. Package storetest is the test suite that
// every driver passes.
//
// Drivers here: memstore (memory) and pebblestore (disk).
package store

import (
	"context"
	"iter"
	"time"

	"github.com/leat-dev/leat"
)

// A Store is one log. All methods may be called by many goroutines at once.
//
// Sequences. Each Tx that is committed, and each opening of a single-process
// store, takes at least one sequence; sequences grow, never restart, are not
// dense, and begin above 0. Positions in the log are plain sequences here;
// [Epochs] turns them into offsets and back. "After a" means "with a sequence
// greater than a", "up to u" means "with a sequence of at most u".
//
// Durability. A record is visible, to any method, only when it has reached
// the class that the store declares. Nothing that a Store answers can be
// taken back by a crash that its class promises to survive: neither the
// result of a Commit, a conflict included, nor an Info, nor Head.
//
// Errors are *leat.Error: CodeStoreFull when there is no room, CodeStoreFailed
// when the store takes no more writes, CodeTooLarge for a Tx over a limit,
// CodeUnavailable after Close. When a context ends, its error is returned as
// it is. A store that has failed goes on serving reads if it can.
type Store interface {
	// Abilities says what the driver can do. It never changes while the
	// store is open.
	Abilities() Abilities

	// Epochs returns the history of openings, oldest first, never empty.
	// The caller must not change it.
	Epochs() Epochs

	// Head returns the last sequence that is visible. It is at least the
	// First of the newest epoch, so never 0. It never decreases.
	Head() uint64

	// Health returns nil while the store takes writes, and otherwise the
	// error that every Commit returns.
	Health() error

	// Commit stores each Tx whole or not at all, and returns when all that
	// were stored have reached the durability class. It sets Offset and Time
	// of the records in place. There is a Result for each Tx, in order; a Tx
	// fails alone. An error means that no result is known: Txs may or may
	// not have been stored, and the store takes no more writes until opened
	// again if it cannot tell either.
	//
	// txs names no stream twice. A driver keeps no slice of the caller's
	// after Commit has returned, except the Data of records, which is
	// immutable from the call on. Txs of one call become visible together,
	// in order.
	//
	// Commit does not watch ctx after it has begun to write.
	Commit(ctx context.Context, txs []Tx) ([]Result, error)

	// Follow yields every visible record after the position given, whoever
	// committed it, once, in log order, as soon as it is visible: batches
	// are never empty of progress. The sequence ends, with the error, when
	// ctx ends or the store is closed. It works on one goroutine, the
	// caller's, and uses no timer. A consumer that is slow slows nobody:
	// what it has not taken is read from the store again.
	Follow(ctx context.Context, after uint64) iter.Seq2[Batch, error]

	// Stream returns what is known of a stream, with the values that the
	// keys given have in its state. A stream that does not exist has an Info
	// with Version 0 and nothing but its name.
	Stream(ctx context.Context, name string, keys ...string) (Info, error)

	// Keys returns up to limit keys of a stream's state, in byte order, that
	// begin with prefix and sort after the key given: a key that is set over
	// the whole of a listing is in it. A stream that does not exist has none.
	Keys(ctx context.Context, name, prefix, after string, limit int) ([]string, error)

	// Streams returns up to limit streams, by name in byte order, whose
	// names begin with prefix and sort after the name given. State is nil.
	Streams(ctx context.Context, prefix, after string, limit int) ([]Info, error)

	// ReadStream returns records of one stream after a position and up to
	// another, in log order. It stops when it has about the number of
	// payload bytes given (at least one record is returned if there is one).
	// upTo is lowered to Head; 0 means Head.
	ReadStream(ctx context.Context, name string, after, upTo uint64, bytes int) (Batch, error)

	// ReadLog is ReadStream for all streams that pass a filter. It may stop
	// early, with few records or none, to bound the work of one call:
	// Batch.Next says how far it came, and it is greater than after unless
	// after is upTo or beyond.
	ReadLog(ctx context.Context, f *leat.Filter, after, upTo uint64, bytes int) (Batch, error)

	// Back returns the position after which exactly n visible records, or
	// all if there are fewer, pass the filter up to the position given (0
	// means Head). It needs the ability Reverse.
	Back(ctx context.Context, f *leat.Filter, upTo uint64, n int) (uint64, error)

	// At returns the position after which all records have a time of t or
	// later, and before which none has.
	At(ctx context.Context, t time.Time) (uint64, error)

	// Removed returns the streams that pass the filter and have lost a
	// record after the position given, by a removal whose order is greater
	// than since and at most until. Removals of streams that no longer exist
	// count. The order of the list is that of Through. A stream that loses
	// more while it is read may be listed with that later removal instead; a
	// caller who asks again, with a later until, comes to rest once nothing is
	// removed any more.
	Removed(ctx context.Context, f *leat.Filter, after, since, until uint64) ([]Removed, error)

	// Trim removes the records of a stream up to a position, without
	// touching its state, its Version or its End. It does not hold up
	// Commit. Removing nothing is not an error and leaves no trace.
	Trim(ctx context.Context, name string, through uint64) error

	// Drop removes a stream, its records, state and due time, if it has the
	// version given; otherwise the error is ErrConflict, returned only when
	// the version that won is durable. A stream made later with the same name
	// has a new ID and shares nothing with it, but Removed goes on telling
	// what was lost. Dropping what does not exist is not an error.
	Drop(ctx context.Context, name string, version uint64) error

	// Seek finds a byte of a stream's content: it returns the first retained
	// record whose End is greater than pos, as its sequence and its Pos. Pos is
	// greater than the pos asked for if what was there is gone. Without such a
	// record both are 0. It looks at a number of records that grows as the
	// logarithm of all there are.
	Seek(ctx context.Context, name string, pos int64) (seq uint64, start int64, err error)

	// Size returns how many bytes the retained records of all streams take:
	// their payloads and what the driver estimates that it keeps with each. It
	// costs nothing, and Trim and Drop lower it by the time they return.
	Size() int64

	// Due returns up to limit streams whose due time is now or earlier,
	// earliest first. It reads nothing about the others.
	Due(ctx context.Context, now time.Time, limit int) ([]string, error)

	// Close ends every Follow, waits for calls that are under way and
	// releases the store. Later calls fail with CodeUnavailable; a second
	// Close returns nil.
	Close() error
}

// A Tx is what one Commit does to one stream: all of it or nothing.
type Tx struct {
	// Stream is the name. It has passed leat.CheckName.
	Stream string

	// Version is that of the Info from which the Tx was computed, 0 to make
	// the stream. If the stream has another version by now the Tx is not
	// stored and its Result is a conflict.
	Version uint64

	// ContentType is the stream's, as it will be returned. It is used when
	// the Tx makes the stream and ignored otherwise.
	ContentType string

	// Records are appended in order. Stream, Kind, Type, Key, Pos, Carry and
	// Data are the caller's; Offset and Time are set by Commit. There may be
	// none. A Carry of more than leat.MaxCarry is over a limit.
	Records []leat.Record

	// State are values to set, in order. Keys are short, values small: at
	// most 4 KiB together for each Tx.
	State []Entry

	// Due changes when the stream is due: nil leaves it as it is, the zero
	// Time means never.
	Due *time.Time
}

// An Entry is one value of a stream's small keyed state. A nil Value removes
// the key. Keys are at most 600 bytes.
type Entry struct {
	Key   string
	Value []byte
}

// A Result says what became of a Tx.
type Result struct {
	// Version is the stream's new version, if Err is nil.
	Version uint64

	// Err is nil, ErrConflict, or another reason why this Tx alone was not
	// stored.
	Err error
}

// ErrConflict is the Result of a Tx computed from a version of its stream
// that is not the current one. The caller reads the stream again and computes
// the Tx again. It is returned only when the version that won is durable.
var ErrConflict = leat.Errorf(leat.CodeConflict, "the stream was changed by another writer")

// An Info is what is known of a stream.
type Info struct {
	Name string

	// ID tells streams of one name apart. It is the sequence at which the
	// stream was made.
	ID uint64

	// Version grows with each committed Tx, and changes only with these. A
	// stream that was dropped and is made anew has a greater one than it ever
	// had. 0: the stream does not exist.
	Version uint64

	ContentType string

	// Last is the sequence of the newest record ever appended, 0 if none.
	Last uint64

	// Trimmed is the sequence of the newest record ever removed, 0 if none.
	Trimmed uint64

	// Records and Bytes count what is retained: records, payload bytes.
	Records int64
	Bytes   int64

	// End is the position after the last byte ever appended.
	End int64

	// LastTime is the time of the newest record, zero if none.
	LastTime time.Time

	// Due is the due time, zero for never.
	Due time.Time

	// State has the values of the keys asked for that are set.
	State map[string][]byte
}

// A Batch is a piece of the log.
type Batch struct {
	// Records are in log order. They, their Carry and their Data are
	// immutable and may be kept.
	Records []leat.Record

	// Recycle, if it is not nil, takes the Data of one of the records back, to use
	// the memory again. Whoever read the batch may call it, once for a record, when
	// nobody looks at that Data any more; nobody has to. It may be called by many
	// goroutines at once.
	Recycle func(data []byte)

	// Next is how far the driver came: every record that was owed up to Next
	// is in Records.
	Next uint64

	// Order is the number of removals that had happened when the batch was
	// read: all of them show in the batch, later ones do not. See Removed.
	Order uint64

	// Keys is the number of keys, or entries of any kind, that were looked
	// at. It is for tests and measurements.
	Keys int
}

// A Removed says that records of a stream are gone.
type Removed struct {
	Stream string

	// Through is the sequence of the last record removed.
	Through uint64

	// Order is the place of the removal among all removals of the store: it
	// grows with every Trim that removed something and every Drop, and never
	// restarts. It is at least 1.
	Order uint64

	// Dropped says that the whole stream was removed.
	Dropped bool
}

// Abilities are what a driver declares.
type Abilities struct {
	// Class is what a committed record survives.
	Class Class

	// MaxRecord is the largest payload, in bytes.
	MaxRecord int

	// MaxTxRecords and MaxTxBytes bound one Tx, payloads counted. A larger
	// one is refused with CodeTooLarge, never split.
	MaxTxRecords int
	MaxTxBytes   int

	// Reverse says that Back works.
	Reverse bool

	// ReadAfterWrite says that Stream answers at least as new as any Commit
	// or conflict that returned before. Without it Stream may lag, and the
	// caller meets conflicts until it has caught up. Reads that name an upTo
	// of at most a Head seen before are complete in any case.
	ReadAfterWrite bool
}

// A Class is what a committed record survives.
type Class string

// The durability classes.
const (
	ClassMemory     Class = "memory"     // nothing: it is gone with the process
	ClassOS         Class = "os"         // the end of the process, not of the machine
	ClassDisk       Class = "disk"       // a power cut: fsync before the answer
	ClassReplicated Class = "replicated" // the loss of a machine
)
