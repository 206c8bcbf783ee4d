package journal

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
)

// What waits "may be stored, and is told so, though ctx ends". What is read for a record
// ends with it.
func TestPostContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, g, st := openReading(t)
		ctx, cancel := context.WithCancel(context.Background())
		first := postAll(ctx, j, text("a", "1"))
		<-g.began
		fast, slow := postAll(ctx, j, text("a", "2")), postAll(ctx, j, keyed("slow", "k", "x"))
		synctest.Wait()
		cancel()
		if a := <-slow; a.err != context.Canceled {
			t.Error(a.err)
		}
		if a := <-first; a.err != context.Canceled { // it has had a goroutine
			t.Error(a.err)
		}
		g.open()
		if a := <-fast; a.err != nil {
			t.Error(a.err)
		}
		wantContents(t, st, "a", "1", "2")
		wantRest(t, j)
	})
}

// openReading returns a journal whose commits pass a gate, and which reads the keys of
// the stream "slow" until it is told not to.
func openReading(t *testing.T) (*Journal, *gate, store.Store) {
	st := memstore.New(memstore.Options{})
	t.Cleanup(func() { st.Close() })
	must(t, open(t, st, Options{}), keyed("slow", "k", "x"))
	j, g := openGated(t, &hooked{Store: st, readStream: func(ctx context.Context, name string) error {
		<-ctx.Done()
		return ctx.Err()
	}}, Options{Sweep: -1})
	return j, g, st
}

// Close tells all that waits, in whatever way, and waits for the goroutines. What is
// being committed is told what becomes of it.
func TestPostClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j, g, st := openReading(t)
		ctx := context.Background()
		first := postAll(ctx, j, text("a", "1"))
		<-g.began
		waiting := postAll(ctx, j, text("a", "2"), text("b", "2"), keyed("slow", "k", "2"), text("a", "3"))
		synctest.Wait()
		closed := make(chan bool)
		go func() { j.Close(); close(closed) }() // awaited below
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("Close did not wait for the commit")
		case <-first:
			t.Fatal("told before it is stored")
		default:
		}
		g.let <- nil
		<-closed
		after := postAll(ctx, j, text("a", "4"), text("c", "4"), keyed("slow", "k", "4"))
		if len(first) != 1 || len(waiting) != 4 || len(after) != 3 {
			t.Fatalf("%d, %d and %d are told", len(first), len(waiting), len(after))
		}
		if a := <-first; a.err != nil {
			t.Error(a.err)
		}
		for range 4 {
			wantCode(t, (<-waiting).err, leat.CodeUnavailable)
		}
		for range 3 {
			wantCode(t, (<-after).err, leat.CodeUnavailable)
		}
		wantContents(t, st, "a", "1")
		wantContents(t, st, "b")
		wantRest(t, j)
	})
}

// "Once": whatever is under way when the journal is closed, each is told once by the
// time that Close and Post have returned, and what is told is true.
func TestPostAgainstClose(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		const posters, n = 4, 40
		for round := range 12 {
			j := open(t, st, Options{Now: c.Now, Sweep: -1})
			var told [posters * n]atomic.Int64
			var ok sync.Map
			var wg sync.WaitGroup
			begin := make(chan bool)
			for p := range posters {
				wg.Go(func() {
					for i := range n {
						if p == 0 && i == round*3 {
							close(begin)
						}
						name := []string{"a", "b", fmt.Sprint("new", round, i)}[i%3]
						id := p*n + i
						data := fmt.Sprint(round, "/", id)
						a := text(name, data)
						if i%4 == 0 {
							a.Key = data
						}
						j.Post(context.Background(), a, func(done []Appended, err error) {
							told[id].Add(1)
							if err == nil && len(done) == 1 {
								ok.Store(data, name)
							} else if leat.CodeOf(err) != leat.CodeUnavailable {
								t.Errorf("%v, %v", done, err)
							}
						})
					}
				})
			}
			<-begin
			j.Close()
			wg.Wait()
			for id := range told {
				if n := told[id].Load(); n != 1 {
					t.Fatalf("round %d: %d is told %d times", round, id, n)
				}
			}
			stored := 0
			for _, name := range []string{"a", "b"} {
				for _, data := range contents(t, st, name) {
					if strings.HasPrefix(data, fmt.Sprint(round, "/")) {
						stored++
						if _, found := ok.Load(data); !found {
							t.Errorf("%s is stored, and it is told that it is not", data)
						}
					}
				}
			}
			ok.Range(func(_, name any) bool {
				if name == "a" || name == "b" {
					stored--
				}
				return true
			})
			if stored != 0 {
				t.Errorf("round %d: %d are stored beside those that are told", round, stored)
			}
			wantRest(t, j)
		}
	})
}
