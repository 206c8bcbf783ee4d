package session

import (
	"bytes"
	"context"
	"iter"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/live"
	"github.com/leat-dev/leat/internal/render"
	"github.com/leat-dev/leat/internal/socket"
	"github.com/leat-dev/leat/store"
	"github.com/leat-dev/leat/store/memstore"
)

// late is a store whose followers hear of nothing until they are let.
type late struct {
	store.Store
	let chan struct{}
}

func (s *late) Follow(ctx context.Context, after uint64) iter.Seq2[store.Batch, error] {
	return func(yield func(store.Batch, error) bool) {
		for b, err := range s.Store.Follow(ctx, after) {
			select {
			case <-s.let:
			case <-ctx.Done():
			}
			if !yield(b, err) {
				return
			}
		}
	}
}

// collect begins a Collect; its answer can be taken from the channel.
func (k *kit) collect(rd *Reading, want Want) <-chan *Chunk {
	answered := make(chan *Chunk, 1)
	// Ended by the answer.
	go func() {
		c, err := k.Collect(k.t.Context(), rd, want)
		if err != nil {
			k.t.Errorf("Collect: %v", err)
		}
		answered <- c
	}()
	return answered
}

// What was acknowledged is in the answer to whoever asks then, although those who
// follow the log have not heard of it yet.
func TestCollectReadsWhatIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := &late{memstore.New(memstore.Options{}), make(chan struct{})}
		k := newKit(t, st)
		seq := k.add("a", text("x"))
		answered := k.collect(&Reading{Filter: k.filter("a"), Form: render.Raw}, Want{Most: 100, Known: seq})
		synctest.Wait()
		select {
		case c := <-answered:
			t.Fatalf("it is answered with %+v before what is known", c)
		default:
		}
		close(st.let)
		if c := <-answered; c.Bytes != 1 || c.Next != seq || !c.UpToDate {
			t.Errorf("got %+v", c)
		}
	})
}

// A poll ends when its time is over, when the server stops, and when its client leaves;
// what is there it brings at once.
func TestCollectEnds(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		seq := k.add("a", text("x"))
		rd := &Reading{Filter: k.filter("a"), Form: render.Raw, Start: live.Start{After: seq}}
		want := Want{Most: 100, Known: seq, Wait: time.Minute}
		began := time.Now()
		if c := <-k.collect(rd, want); c.Next != 0 || !c.UpToDate || time.Since(began) != time.Minute {
			t.Errorf("after %v: %+v", time.Since(began), c)
		}
		began = time.Now()
		if c := <-k.collect(&Reading{Filter: rd.Filter, Form: rd.Form}, want); c.Next != seq || !c.UpToDate || time.Since(began) != 0 {
			t.Errorf("after %v: %+v", time.Since(began), c)
		}
		ctx, leave := context.WithCancel(t.Context())
		left := make(chan error, 1)
		// Ended by leave.
		go func() {
			_, err := k.Collect(ctx, rd, want)
			left <- err
		}()
		synctest.Wait()
		leave()
		if err := <-left; err != context.Canceled {
			t.Errorf("who leaves gets %v", err)
		}
		answered := k.collect(rd, want)
		synctest.Wait()
		k.o.Writer.Shutdown(0)
		if c := <-answered; c.Next != 0 || !c.UpToDate {
			t.Errorf("when the server stops: %+v", c)
		}
		if k.live.Readers() != 0 {
			t.Errorf("%d readers are left", k.live.Readers())
		}
	})
}

// No record is begun after as many bytes as there may be, and what is cut there is not
// up to date, nor at the end.
func TestCollectMost(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		k.add("a", text("012"), text("345"), text("678"), leat.Record{Kind: leat.KindEnd, Type: "complete"})
		for most, want := range map[int]string{1: "012", 3: "012", 4: "012345", 6: "012345", 7: "012345678", 8: "012345678", 9: "012345678", 10: "012345678"} {
			c := <-k.collect(&Reading{Filter: k.filter("a"), Form: render.Raw}, Want{Most: most})
			var got strings.Builder
			for _, p := range c.Pieces {
				got.Write(p)
			}
			if all := len(want) == 9; got.String() != want || c.UpToDate != all || (c.End == leat.EndComplete) != all {
				t.Errorf("at most %d: %q, %+v", most, got.String(), c)
			}
		}
	})
}

// An answer that its client does not take is given up after the stall timeout.
func TestAnswerStalls(t *testing.T) {
	inBubble(t, func(t *testing.T, k *kit) {
		k.o.Writer = socket.NewWriter(socket.Options{StallTimeout: time.Second})
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("it looks complete")
			}
		}()
		k.Answer(&deaf{}, [][]byte{make([]byte, 1<<20)})
	})
}

// deaf is a response whose client takes nothing.
type deaf struct {
	http.ResponseWriter
	deadline time.Time
}

func (d *deaf) SetWriteDeadline(at time.Time) error { d.deadline = at; return nil }
func (d *deaf) Flush()                              {}
func (d *deaf) Write([]byte) (int, error) {
	time.Sleep(time.Until(d.deadline))
	return 0, context.DeadlineExceeded
}

// A lender is a store that takes the memory of records back and clears it.
type lender struct{ store.Store }

func (s lender) ReadLog(ctx context.Context, f *leat.Filter, after, upTo uint64, n int) (store.Batch, error) {
	b, err := s.Store.ReadLog(ctx, f, after, upTo, n)
	for i := range b.Records {
		b.Records[i].Data = bytes.Clone(b.Records[i].Data)
	}
	b.Recycle = func(data []byte) { clear(data) }
	return b, err
}

// What was collected stays as it is when its pages are gone.
func TestCollectedBytesStay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKit(t, lender{memstore.New(memstore.Options{})})
		payload := strings.Repeat("x", 5<<10)
		k.add("a", text(payload), text(payload), text(payload))
		c := <-k.collect(&Reading{Filter: k.filter("a"), Form: render.Raw}, Want{Most: 1 << 20})
		if got := string(bytes.Join(c.Pieces, nil)); got != strings.Repeat(payload, 3) {
			t.Errorf("%d bytes, of which %d are as they were", len(got), strings.Count(got, "x"))
		}
	})
}
