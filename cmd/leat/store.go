package main

import (
	"log/slog"

	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
	"github.com/leat-dev/leat/store/pebblestore"
)

// storeRecord is the largest record of a store that is not told another one.
const storeRecord = 16 << 20

// openStore opens the store that the command line names. It has to take the
// largest record that the server lets through; a smaller limit than its own
// would only make its transactions smaller.
func (c *serveCmd) openStore(logger *slog.Logger, d descriptors) (store.Store, error) {
	largest := max(int(c.MaxRecord), storeRecord)
	if c.Store == "memory" {
		return memstore.New(memstore.Options{MaxRecord: largest}), nil
	}
	return pebblestore.Open(c.Data, pebblestore.Options{
		Durability: store.Class(c.Durability),
		Logger:     logger,
		MaxRecord:  largest,
		MinFree:    int64(c.MinFree),

		MaxOpenFiles: d.openTables(),
	})
}
