package pebblestore

import (
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// layoutVersion is the value of keyFormat. A directory with a greater one is
// refused.
const layoutVersion = 1

// Open opens the store in a directory, which is made if it does not exist.
// It refuses a directory that another process has open, one that holds
// something else, one that is damaged, and one that a newer version of Leat
// has written; what these hold stays as it is. When Open returns, the new
// epoch is on disk, in class os too.
func Open(dir string, o Options) (*Store, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Store{
		dir:       dir,
		options:   o,
		began:     time.Now(),
		room:      room{poked: make(chan struct{}, 1)},
		closing:   make(chan struct{}),
		failed:    make(chan struct{}),
		stuck:     make(chan struct{}),
		committer: make(chan struct{}),
	}
	s.queue.added.L = &s.queue.mu
	s.guard = newGuard(o.FS, o.Durability == store.ClassDisk && !o.PageCache, s.fail)
	if err := s.inspect(); err != nil {
		return nil, err
	}
	if err := s.audit(); err != nil {
		return nil, err
	}
	if err := s.openDB(); err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		_ = s.closeDB()
		return nil, err
	}
	// From here on class os does not sync the log any more. What is in it so
	// far was synced.
	s.guard.relaxed.Store(o.Durability == store.ClassOS)
	s.opened.Store(true)
	go s.commitLoop() // owned by s; ends when Close closes the queue, and Close joins it
	return s, nil
}

// pebbleFile matches what Pebble may have left behind if the first opening
// was interrupted, and what file systems put into their root.
var pebbleFile = regexp.MustCompile(`^(\d+\.(log|sst|blob|dbtmp)|(MANIFEST|OPTIONS)-\d+|marker\..*|LOCK|lost\+found)$`)

// inspect refuses a directory that holds something else, before anything in
// it is touched.
func (s *Store) inspect() error {
	names, err := s.options.FS.List(s.dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return leat.Errorf(leat.CodeStoreFailed, "cannot use %s as the store's directory: %w", s.dir, err).
			Advise("Name a directory that the server may read and write, or one that does not exist yet.")
	}
	foreign := ""
	for _, name := range names {
		if strings.HasPrefix(name, "marker.manifest.") {
			return nil // a Pebble database: it says itself whose it is
		}
		if !pebbleFile.MatchString(name) {
			foreign = name
		}
	}
	if foreign != "" {
		return s.notOurs(fmt.Errorf("there is %q in it", foreign))
	}
	return nil
}

func (s *Store) notOurs(why error) error {
	return leat.Errorf(leat.CodeStoreFailed, "%s holds something that is not a store of Leat's: %w", s.dir, why).
		Advise("Name an empty directory, or one that does not exist yet.")
}

// openDB opens Pebble on a goroutine of its own, which it joins unless Pebble
// gets stuck.
func (s *Store) openDB() error {
	type opened struct {
		db  *pebble.DB
		err error
	}
	done := make(chan opened, 1)
	go func() { // owned by openDB; ends with Pebble's Open
		defer func() {
			if p := recover(); p != nil {
				done <- opened{err: fmt.Errorf("panic: %v", p)}
			}
		}()
		db, err := pebble.Open(s.dir, s.pebbleOptions())
		done <- opened{db, err}
	}()
	select {
	case o := <-done:
		s.db = o.db
		if o.err != nil {
			return s.openingFailed(o.err)
		}
		return nil
	case <-s.stuck:
		return s.failure.Load()
	}
}

// openingFailed says what it means that Pebble cannot be opened.
func (s *Store) openingFailed(err error) error {
	failure := s.failure.Load()
	switch text := err.Error(); {
	case s.guard.lockHeld.Load():
		return leat.Errorf(leat.CodeUnavailable, "the store in %s is in use by another process, or open in this one already: %w", s.dir, err).
			Advise("Stop the other server, or give this one a directory of its own.")
	case failure != nil:
		return failure
	case pebble.IsCorruptionError(err):
		return leat.Errorf(leat.CodeStoreFailed, "the store in %s is damaged and was not opened: %w", s.dir, err).
			Advise("Nothing was deleted. Check the disk, and restore the directory from a backup.")
	case strings.Contains(text, "comparer name"):
		return s.notOurs(err)
	case strings.Contains(text, "format major version"):
		return s.tooNew(err)
	}
	return s.failureOf("the storage engine", err)
}

func (s *Store) tooNew(why error) error {
	return leat.Errorf(leat.CodeStoreFailed, "the store in %s was written by a newer version of Leat: %w", s.dir, why).
		Advise("Use that version or a newer one. Nothing was lost.")
}

// begin checks the format, reads the counters, writes the new epoch and makes
// the first view.
func (s *Store) begin() error {
	if err := s.checkFormat(); err != nil {
		return err
	}
	if err := s.loadCounters(); err != nil {
		return s.wrap("opening the store", err)
	}
	epoch := uint64(max(s.options.Now().UnixMicro(), 1))
	if n := len(s.epochs); n > 0 {
		epoch = max(epoch, s.epochs[n-1].Epoch+1)
	}
	s.head++
	s.epochs = append(s.epochs, store.Epoch{Epoch: epoch, First: s.head})

	b := s.db.NewBatch()
	defer b.Close()
	_ = b.Set(keyFormat, appendCounter(nil, layoutVersion), nil)
	_ = b.Set(keyHead, appendHead(nil, s.head, s.size), nil)
	_ = b.Set(epochKey(nil, epoch), appendCounter(nil, s.head), nil)
	if err := s.apply(b); err != nil {
		return err
	}
	if len(s.epochs) == 1 {
		// Pebble makes the first log of a new database before it raises the
		// format, so that log does not say how far it was synced. A flush
		// begins another.
		if err := s.db.Flush(); err != nil {
			return s.failureOf("flushing", err)
		}
		if err := s.failure.Load(); err != nil {
			return err
		}
	}
	s.view = &view{snap: s.db.NewSnapshot(), head: s.head, order: s.order, size: s.size, refs: 1}
	s.tail = tail{limit: s.options.TailSize, start: s.head}
	s.past.floor = s.order
	return nil
}

func (s *Store) checkFormat() error {
	version, err := s.counter(keyFormat)
	switch {
	case errors.Is(err, errNewer), err == nil && version > layoutVersion:
		return s.tooNew(fmt.Errorf("layout version %d, known is %d", version, layoutVersion))
	case err != nil:
		return s.wrap("opening the store", err)
	case version != 0:
		return nil
	}
	// A new database has nothing in it at all.
	it, err := s.db.NewIter(nil)
	if err != nil {
		return s.wrap("opening the store", err)
	}
	defer it.Close()
	if it.First() {
		return s.notOurs(errors.New("it has no format"))
	}
	return s.wrap("opening the store", it.Error())
}

// loadCounters reads the epochs and what the committer counts.
func (s *Store) loadCounters() (err error) {
	if err = s.loadHead(); err != nil {
		return err
	}
	if s.order, err = s.counter(keyOrder); err != nil {
		return err
	}
	it, err := s.db.NewIter(nil)
	if err != nil {
		return err
	}
	defer it.Close()
	for it.SeekGE([]byte{kindEpoch}); it.Valid() && it.Key()[0] == kindEpoch; it.Next() {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		first, err := decodeCounter(value)
		if err != nil {
			return err
		}
		s.epochs = append(s.epochs, store.Epoch{Epoch: numberAt(it.Key(), 1), First: first})
	}
	// The newest record has the newest time.
	if it.SeekLT([]byte{kindIndex + 1}) && it.Key()[0] == kindIndex {
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		e, err := decodeEntry(value)
		if err != nil {
			return err
		}
		s.lastTime = e.micros
	}
	return it.Error()
}

// loadHead reads the head and the size. A store that has no size yet is
// counted, once.
func (s *Store) loadHead() error {
	value, closer, err := s.db.Get(keyHead)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closer.Close()
	known := false
	if s.head, s.size, known, err = decodeHead(value); err != nil || known {
		return err
	}
	s.size, err = s.countSize()
	return err
}

// countSize returns the size that all rows add up to.
func (s *Store) countSize() (size int64, err error) {
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindRow}, UpperBound: []byte{kindRow + 1}})
	if err != nil {
		return 0, err
	}
	defer it.Close()
	for it.First(); it.Valid(); it.Next() {
		r, err := rowAt(it)
		if err != nil {
			return 0, err
		}
		size += r.size()
	}
	return size, it.Error()
}

// counter reads a value that is one number, 0 if there is none.
func (s *Store) counter(key []byte) (uint64, error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer closer.Close()
	return decodeCounter(value)
}
