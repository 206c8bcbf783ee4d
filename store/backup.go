package store

import "context"

// A Backuper is a Store that can copy itself while it works. A driver need not be one.
type Backuper interface {
	// Backup makes a directory with a copy of the store, which the driver opens as it
	// opens the store's own. Whatever was visible when Backup was called is in it; of
	// what is committed meanwhile, a part of the log from its beginning on. When Backup
	// returns nil the copy is on disk.
	//
	// The directory must be empty or not exist, else the error is CodeExists; its parents
	// are made. It gets its name when it is whole, so that no part of a copy is taken for
	// one. If Backup fails, because ctx ends or the store is closed, or there is no room
	// (CodeStoreFull), nothing is left of it, and the store goes on. It holds up no other
	// call. A second one at the same time may be refused with CodeConflict.
	//
	// A copy is opened like any store, and so begins an epoch of its own: whoever has read
	// further in the original is told so by [Epochs].
	Backup(ctx context.Context, dir string) error
}
