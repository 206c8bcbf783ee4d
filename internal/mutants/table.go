package main

// A Mutant is one deliberate defect, and the tests that must notice it.
type Mutant struct {
	Name string // unique; lower case and hyphens, says what is broken
	Why  string // the guarantee, as a sentence of the documentation would put it

	// The defect: in File (a slash path from the module's root, no test file)
	// the text Old, which must occur exactly once, becomes New.
	File string
	Old  string
	New  string

	// The tests that guard it: those of one Package ("./internal/live") that
	// Run, a regexp as of go test -run, selects. Name the test itself: a mutant
	// that some other test happens to notice says nothing about this one.
	Package string
	Run     string
}

// table has the mutants, in the order of the path of a record.
var table = []Mutant{
	{
		Name:    "commit-not-synced",
		Why:     "in class disk, no answer leaves before its group has been fsynced",
		File:    "store/pebblestore/commit.go",
		Old:     "s.db.Apply(b, pebble.Sync)",
		New:     "s.db.Apply(b, pebble.NoSync)",
		Package: "./store/pebblestore",
		Run:     "^TestCrash$",
	},
	{
		Name:    "reader-given-a-queue",
		Why:     "a reader holds no records and no channel of records",
		File:    "internal/live/feed.go",
		Old:     "func (fd *feed) list(f frame.Frame) {\n",
		New:     "var queues [][]byte\n\nfunc (fd *feed) list(f frame.Frame) {\n\tqueues = append(queues, append([]byte(nil), f.Bytes()...))\n",
		Package: "./internal/live",
		Run:     "^TestStalledReadersHoldNothing$",
	},
}
