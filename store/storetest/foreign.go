package storetest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// ForeignOptions are the settings of [Foreign]. The zero value works. In all
// numbers a negative value means none.
type ForeignOptions struct {
	// Seed makes the decisions of the second writer repeatable, as far as
	// the caller's goroutines are.
	Seed uint64

	// Rivalry is how many of 100 Txs and Drops meet the second writer: it
	// changes the stream just before. 0 means 20.
	Rivalry int

	// Write makes what the second writer commits, from what is known of the
	// stream; a Tx for no stream leaves it alone. Stream and Version need not
	// be set otherwise. It is called by one goroutine at a time. nil means a
	// Tx without records: the stream's version changes and the log has a
	// hole, but all records are the caller's. See [ForeignRecord].
	Write func(store.Info) store.Tx

	// Lag is how often in a row Stream may answer what it has answered
	// before, although the stream has changed. 0 means 3. If it is negative
	// the store declares ReadAfterWrite, provided that the inner one does.
	Lag int

	// MaxTxRecords is the declared limit. 0 means 8, negative that of the
	// inner store.
	MaxTxRecords int

	// ShortReads lets ReadLog stop early at random, as the contract allows.
	ShortReads bool

	// Reverse lets Back work, if the inner store can do it.
	Reverse bool
}

// Foreign returns inner as one node of a cluster would show it: with holes in
// its sequences, a second writer that others' Txs meet in conflicts, answers
// of Stream that lag behind, small Txs, and without reading backwards. Two
// Foreigns over one inner store are two nodes of one cluster.
//
// It keeps the contract to the letter, so what works over it and breaks in
// production relied on something that the contract does not promise. Closing
// it closes inner.
func Foreign(inner store.Store, o ForeignOptions) store.Store {
	f := &foreign{
		Store:     inner,
		abilities: inner.Abilities(),
		rivalry:   setting(o.Rivalry, 20),
		lag:       setting(o.Lag, 3),
		write:     o.Write,
		short:     o.ShortReads,
		rnd:       rand.New(rand.NewPCG(o.Seed, 0)),
		answers:   make(map[string]answer),
	}
	if f.write == nil {
		f.write = func(info store.Info) store.Tx { return store.Tx{Stream: info.Name} }
	}
	if most := setting(o.MaxTxRecords, 8); most > 0 {
		f.abilities.MaxTxRecords = min(most, f.abilities.MaxTxRecords)
	}
	f.abilities.Reverse = f.abilities.Reverse && o.Reverse
	f.abilities.ReadAfterWrite = f.abilities.ReadAfterWrite && f.lag == 0
	return f
}

func setting(n, otherwise int) int {
	if n == 0 {
		return otherwise
	}
	return max(n, 0)
}

// ForeignRecord is a Write that appends a record of a few bytes to the stream,
// of type "foreign". It is for callers whose streams never close, as the
// second writer knows nothing of their rules.
func ForeignRecord(info store.Info) store.Tx {
	r := leat.Record{Kind: leat.KindText, Type: "foreign", Data: fmt.Appendf(nil, "foreign %d", info.Version)}
	return store.Tx{Stream: info.Name, Records: at(info, []leat.Record{r})}
}

// holes is a stream that makes holes: reserved, so that no caller has it, and
// without records, so that no reader sees it.
const holes = "__foreign"

type foreign struct {
	store.Store // the inner one

	// Static after construction.
	abilities store.Abilities
	rivalry   int
	lag       int
	write     func(store.Info) store.Tx
	short     bool

	mu      sync.Mutex
	rnd     *rand.Rand
	answers map[string]answer // of Stream, by name and keys
}

// An answer is the last one that was given to a question.
type answer struct {
	info store.Info
	late int // how often it was given although it was outdated
}

func (f *foreign) Abilities() store.Abilities { return f.abilities }

func (f *foreign) Commit(ctx context.Context, txs []store.Tx) ([]store.Result, error) {
	if err := f.rival(ctx, txs); err != nil {
		return nil, err
	}
	// The inner store may take more than this one does.
	results := make([]store.Result, len(txs))
	var passed []store.Tx
	var index []int
	for i, tx := range txs {
		if n, most := len(tx.Records), f.abilities.MaxTxRecords; n > most {
			results[i].Err = leat.Errorf(leat.CodeTooLarge, "one append has %d records and the store takes %d", n, most).
				Advise("Append it in smaller pieces.")
			continue
		}
		passed, index = append(passed, tx), append(index, i)
	}
	inner, err := f.Store.Commit(ctx, passed)
	if err != nil {
		return nil, err
	}
	for i, result := range inner {
		results[index[i]] = result
	}
	return results, nil
}

// Drop meets the second writer as a Commit does.
func (f *foreign) Drop(ctx context.Context, name string, version uint64) error {
	if err := f.rival(ctx, []store.Tx{{Stream: name, Version: version}}); err != nil {
		return err
	}
	return f.Store.Drop(ctx, name, version)
}

// rival lets the second writer change some of the streams that are about to
// be changed.
func (f *foreign) rival(ctx context.Context, txs []store.Tx) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.rnd.IntN(100) < f.rivalry {
		if err := f.commitForeign(ctx, holes, func(store.Info) store.Tx { return store.Tx{Stream: holes} }); err != nil {
			return err
		}
	}
	for _, tx := range txs {
		if tx.Version == 0 || f.rnd.IntN(100) >= f.rivalry {
			continue
		}
		if err := f.commitForeign(ctx, tx.Stream, f.write); err != nil {
			return err
		}
	}
	return nil
}

// commitForeign commits what the second writer makes of a stream. If it meets
// a conflict itself, somebody else has made one for the caller.
func (f *foreign) commitForeign(ctx context.Context, name string, write func(store.Info) store.Tx) error {
	info, err := f.Store.Stream(ctx, name)
	if err != nil || info.Version == 0 && name != holes {
		return err // it makes no streams of the caller's
	}
	tx := write(info)
	if tx.Stream == "" {
		return nil
	}
	tx.Stream, tx.Version = name, info.Version
	_, err = f.Store.Commit(ctx, []store.Tx{tx})
	return err
}

// Stream repeats an answer for a while. It never goes back to one from before
// that, as a node does not that follows the log.
func (f *foreign) Stream(ctx context.Context, name string, keys ...string) (store.Info, error) {
	info, err := f.Store.Stream(ctx, name, keys...)
	if err != nil || f.lag == 0 {
		return info, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	question := fmt.Sprintf("%q %q", name, keys)
	old, asked := f.answers[question]
	changed := old.info.Version != info.Version || old.info.Trimmed != info.Trimmed
	if asked && changed && old.late < f.lag && f.rnd.IntN(2) == 0 {
		old.late++
		f.answers[question] = old
		info = old.info
	} else {
		f.answers[question] = answer{info: info}
	}
	info.State = maps.Clone(info.State) // the caller's to change
	return info, nil
}

func (f *foreign) Streams(ctx context.Context, prefix, after string, limit int) ([]store.Info, error) {
	infos, err := f.Store.Streams(ctx, prefix, after, limit)
	i := slices.IndexFunc(infos, func(info store.Info) bool { return info.Name == holes })
	if i < 0 || err != nil {
		return infos, err
	}
	rest, err := f.Store.Streams(ctx, prefix, infos[len(infos)-1].Name, 1)
	return append(slices.Delete(infos, i, i+1), rest...), err
}

func (f *foreign) ReadLog(ctx context.Context, fl *leat.Filter, after, upTo uint64, bytes int) (store.Batch, error) {
	if head := f.Head(); upTo == 0 || upTo > head {
		upTo = head
	}
	if f.short && upTo > after {
		f.mu.Lock()
		upTo = after + 1 + f.rnd.Uint64N(upTo-after)
		f.mu.Unlock()
	}
	return f.Store.ReadLog(ctx, fl, after, upTo, bytes)
}

func (f *foreign) Back(ctx context.Context, fl *leat.Filter, upTo uint64, n int) (uint64, error) {
	if f.abilities.Reverse {
		return f.Store.Back(ctx, fl, upTo, n)
	}
	return 0, leat.Errorf(leat.CodeInvalidParameter, "this store cannot count records from the end").
		Advise("Begin at an offset, at a time, at the start or now.")
}
