package journal

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// by is a Write of one record as a request of a producer.
func by(id string, epoch, seq uint64) Write {
	return Write{Stream: "a", Appends: []Append{text("a", fmt.Sprintf("%.9s.%d.%d|", strings.ToValidUTF8(id, "?"), epoch, seq))}, Producer: &Producer{id, epoch, seq}}
}

func openStream(t *testing.T, st store.Store, o Options) *Journal {
	t.Helper()
	j := open(t, st, o)
	create(t, j, Config{ContentType: "text/plain"}, Write{Stream: "a"})
	return j
}

// Every row of the table of the protocol, after requests 0.0, 0.1, 0.2 and 3.0, 3.1 of
// a producer, also when nothing of it is remembered, and after a restart.
func TestProducer(t *testing.T) {
	for _, memory := range []int64{0, -1} {
		each(t, func(t *testing.T, st store.Store, c *clock) {
			j := openStream(t, st, Options{Now: c.Now, Memory: memory})
			long := strings.Repeat("n", MaxProducer)
			for _, id := range []string{"x", "\xff\x00 é", long, long[1:]} {
				for _, p := range []Producer{{id, 0, 0}, {id, 0, 1}, {id, 0, 2}, {id, 3, 0}, {id, 3, 1}} {
					got := write(t, j, by(id, p.Epoch, p.Seq))
					if got.Duplicate || got.Accepted != p {
						t.Fatalf("%.9q: %+v", id, got)
					}
				}
				for range 2 {
					for _, test := range []struct {
						epoch, seq uint64
						code       leat.Code // empty: a duplicate
						field      string
						value      uint64
					}{
						{3, 1, "", "", 0}, {3, 0, "", "", 0},
						{3, 3, leat.CodeSequenceGap, "expected", 2}, {3, MaxCount, leat.CodeSequenceGap, "received", MaxCount},
						{2, 0, leat.CodeStaleEpoch, "epoch", 3}, {0, 2, leat.CodeStaleEpoch, "epoch", 3}, {0, 3, leat.CodeStaleEpoch, "epoch", 3},
						{4, 1, leat.CodeInvalidParameter, "", 0}, {MaxCount, 2, leat.CodeInvalidParameter, "", 0},
						{3, MaxCount + 1, leat.CodeInvalidParameter, "", 0}, {MaxCount + 1, 0, leat.CodeInvalidParameter, "", 0},
					} {
						got, err := j.Write(context.Background(), by(id, test.epoch, test.seq))
						if test.code == "" {
							if err != nil || !got.Duplicate || got.Accepted != (Producer{id, 3, 1}) {
								t.Errorf("%.9q %d.%d: %+v, %v", id, test.epoch, test.seq, got, err)
							}
							continue
						}
						wantCode(t, err, test.code)
						if v := leat.AsError(err).Fields[test.field]; test.field != "" && v != test.value {
							t.Errorf("%.9q %d.%d: %s is %v, want %d", id, test.epoch, test.seq, test.field, v, test.value)
						}
					}
					j = open(t, st, Options{Now: c.Now, Memory: memory}) // a restart
				}
			}
			_, err := j.Write(context.Background(), by("unknown", 0, 1))
			wantCode(t, err, leat.CodeSequenceGap)
			if expected := leat.AsError(err).Fields["expected"]; expected != uint64(0) {
				t.Errorf("of an unknown producer %v is expected", expected)
			}
			for _, id := range []string{"", long + "n"} {
				_, err := j.Write(context.Background(), by(id, 0, 0))
				wantCode(t, err, leat.CodeInvalidParameter)
			}
			if n := len(contents(t, st, "a")); n != 4*5 {
				t.Errorf("%d records are stored", n)
			}
			w := by("x", 0, 0)
			w.Stream = "none"
			_, err = j.Write(context.Background(), w)
			wantCode(t, err, leat.CodeNotFound)
		})
	}
}

// writeAll begins Writes one after the other, each once the one before waits or one is
// answered, and returns where their answers arrive.
func writeAll(t *testing.T, j *Journal, ws ...Write) (answers []chan writeAnswer) {
	for i, w := range ws {
		answers = append(answers, begin(j, w))
		answered := func(a chan writeAnswer) bool { return len(a) > 0 }
		for queued(j, w.Stream) <= i && !slices.ContainsFunc(answers, answered) {
			runtime.Gosched()
		}
	}
	return answers
}

// begin begins a Write and returns where its answer arrives.
func begin(j *Journal, w Write) chan writeAnswer {
	answer := make(chan writeAnswer, 1)
	// Ends with its answer, for which every test waits.
	go func() {
		written, err := j.Write(context.Background(), w)
		answer <- writeAnswer{written, err}
	}()
	return answer
}

type writeAnswer struct {
	written Written
	err     error
}

// Requests that follow closely, of one producer and of others, are one commit, which
// has what is known of them too. Nothing else needs one.
func TestProducersInOneGroup(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		openStream(t, st, Options{Now: c.Now})
		j, g := openGated(t, st, Options{Now: c.Now})
		blocking := appendAll(context.Background(), j, []Append{text("a", "first|")})
		<-g.began
		answers := writeAll(t, j, by("x", 0, 0), by("y", 7, 0), by("x", 0, 1), by("x", 0, 2), by("y", 7, 1), by("x", 1, 0))
		g.let <- nil
		txs := <-g.began
		if len(txs) != 1 || len(txs[0].Records) != 6 {
			t.Fatalf("%d Txs, the first of %d records", len(txs), len(txs[0].Records))
		}
		state := map[string]bool{}
		for _, e := range txs[0].State {
			if state[e.Key] {
				t.Errorf("%s is set twice", e.Key)
			}
			state[e.Key] = true
		}
		if !state["p:=x"] || !state["p:=y"] || !state[stateCensus] {
			t.Errorf("the Tx sets %v", state)
		}
		g.let <- nil
		<-blocking
		for i, answer := range answers {
			if a := <-answer; a.err != nil || a.written.Duplicate {
				t.Errorf("%d: %+v", i, a)
			}
		}
		if got := strings.Join(contents(t, st, "a"), ""); got != "first|x.0.0|y.7.0|x.0.1|x.0.2|y.7.1|x.1.0|" {
			t.Errorf("stored is %s", got)
		}
	})
}

// What one Tx can say of producers is bounded: more of them than that are stored by
// several, none is refused.
func TestMoreProducersThanFit(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		openStream(t, st, Options{Now: c.Now})
		j, g := openGated(t, st, Options{Now: c.Now})
		blocking := appendAll(context.Background(), j, []Append{text("a", "first")})
		<-g.began
		var ws []Write
		for i := range 150 {
			ws = append(ws, by(fmt.Sprintf("%099d", i), MaxCount, 0))
		}
		answers := writeAll(t, j, ws...)
		g.let <- nil
		txs := <-g.began
		size := 0
		for _, e := range txs[0].State {
			size += len(e.Key) + len(e.Value)
		}
		if n := len(txs[0].Records); n < 25 || size > maxChanges+100 {
			t.Errorf("the first Tx has %d records and %d bytes of state", n, size)
		}
		g.open()
		<-blocking
		for i, answer := range answers {
			if a := <-answer; a.err != nil || a.written.Duplicate {
				t.Errorf("%d: %+v", i, a)
			}
		}
		if n := len(contents(t, st, "a")); n != 151 {
			t.Errorf("%d records are stored", n)
		}
	})
}

// "A duplicate's answer only when what it depends on is durable." While the first is
// being stored its repetition waits; if it fails, the repetition is the one that is
// stored. What follows a request that fails is refused, since it is no more the next.
func TestDuplicateWaits(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		openStream(t, st, Options{Now: c.Now})
		for round, fail := range []error{nil, errBefore} {
			j, g := openGated(t, st, Options{Now: c.Now})
			id := fmt.Sprint("p", round)
			first := begin(j, by(id, 0, 0))
			<-g.began // it is being stored, and waits no more
			again := writeAll(t, j, by(id, 0, 0), by(id, 0, 1))
			for i, answer := range again {
				select {
				case a := <-answer:
					g.open()
					t.Fatalf("%d is answered before the first is stored: %+v", i, a)
				default:
				}
			}
			if fail == nil {
				g.let <- nil
			} else {
				g.let <- errBefore
			}
			g.open()
			a, b, next := <-first, <-again[0], <-again[1]
			switch {
			case fail == nil && (a.err != nil || a.written.Duplicate || b.err != nil || !b.written.Duplicate || next.err != nil):
				t.Errorf("%+v, again %+v, the next %+v", a, b, next)
			case fail != nil && (!errors.Is(a.err, errBefore) || b.err != nil || b.written.Duplicate):
				t.Errorf("failed: %+v, again %+v", a, b)
			case fail != nil && next.err != nil && leat.CodeOf(next.err) != leat.CodeSequenceGap:
				t.Errorf("failed: the next %+v", next)
			}
			n := 0
			for _, text := range contents(t, st, "a") {
				if text == id+".0.0|" {
					n++
				}
			}
			if n != 1 {
				t.Errorf("0.0 of %s is stored %d times", id, n)
			}
		}
	})
}

// A close takes a sequence, with and without content. The request that closed the
// stream is answered again, whatever it has; everything else is refused.
func TestProducerCloses(t *testing.T) {
	for _, appends := range [][]Append{nil, {text("a", "last")}} {
		each(t, func(t *testing.T, st store.Store, c *clock) {
			j := openStream(t, st, Options{Now: c.Now})
			write(t, j, by("x", 1, 0))
			closing := Write{Stream: "a", Appends: appends, End: leat.EndComplete, Producer: &Producer{"x", 1, 1}}
			first := write(t, j, closing)
			if first.Duplicate || first.Accepted != *closing.Producer || first.Over != leat.EndComplete {
				t.Errorf("closing: %+v", first)
			}
			for range 2 {
				for _, w := range []Write{closing, {Stream: "a", Producer: closing.Producer}, by("x", 1, 1), {Stream: "a", Producer: closing.Producer, Wrong: errBefore}} {
					again := write(t, j, w)
					if !again.Duplicate || again.Accepted != *closing.Producer || again.Last != first.Last && st.Abilities().ReadAfterWrite || again.Over != leat.EndComplete {
						t.Errorf("closing again: %+v, after %+v", again, first)
					}
				}
				for _, w := range []Write{by("x", 1, 0), by("x", 1, 2), by("x", 2, 0), by("x", 0, 0), by("y", 1, 1), by("y", 0, 0)} {
					_, err := j.Write(context.Background(), w)
					wantCode(t, err, leat.CodeEnded)
				}
				m, err := j.Stat(context.Background(), "a", false)
				if err != nil || !m.EndedBy(closing.Producer) || m.EndedBy(&Producer{"x", 1, 0}) || m.EndedBy(&Producer{"y", 1, 1}) || m.EndedBy(nil) {
					t.Errorf("%+v, %v", m, err)
				}
				j = open(t, st, Options{Now: c.Now})
			}
		})
	}
}

// A run takes a sequence for each record. However it is repeated, and wherever it
// stopped before, each is stored once.
func TestProducerRun(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		j := openStream(t, st, Options{Now: c.Now})
		var all []Append
		for i := range 9 {
			all = append(all, keyed("a", "the same key", fmt.Sprint(i)))
		}
		stored := 0
		for _, run := range [][2]int{{0, 1}, {0, 3}, {2, 3}, {3, 3}, {1, 4}, {0, 9}, {0, 9}, {8, 9}} {
			done, newest, err := j.Produce(context.Background(), Producer{"x", 5, uint64(run[0])}, all[run[0]:run[1]]...)
			if err != nil || len(done) != run[1]-run[0] {
				t.Fatalf("%v: %d, %v", run, len(done), err)
			}
			for i, d := range done {
				if at := run[0] + i; d.Duplicate != (at < stored) {
					t.Errorf("%v: record %d is %+v", run, at, d)
				}
			}
			if stored = max(stored, run[1]); len(done) > 0 && newest != (Producer{"x", 5, uint64(stored - 1)}) {
				t.Errorf("%v: the newest is %+v", run, newest)
			}
		}
		if got := strings.Join(contents(t, st, "a"), ""); got != "012345678" {
			t.Errorf("stored is %q", got)
		}
		for code, p := range map[leat.Code]Producer{leat.CodeSequenceGap: {"x", 5, 10}, leat.CodeStaleEpoch: {"x", 4, 0}, leat.CodeInvalidParameter: {"x", 5, MaxCount}} {
			_, _, err := j.Produce(context.Background(), p, all[:2]...)
			wantCode(t, err, code)
		}
		// A record that is refused ends it; what stands in front is stored.
		wrong := text("a", "!")
		wrong.ContentType = "image/png"
		done, _, err := j.Produce(context.Background(), Producer{"x", 5, 9}, text("a", "9"), wrong, text("a", "never"))
		if wantCode(t, err, leat.CodeTypeMismatch); len(done) != 1 {
			t.Errorf("%d are stored before one that is refused", len(done))
		}
		// After the end what was stored is a duplicate, and nothing else is taken.
		write(t, j, Write{Stream: "a", End: leat.EndComplete, Producer: &Producer{"x", 5, 10}})
		if done, _, err = j.Produce(context.Background(), Producer{"x", 5, 0}, all...); err != nil || len(done) != 9 || !done[8].Duplicate {
			t.Errorf("repeated after the end: %+v, %v", done, err)
		}
		_, _, err = j.Produce(context.Background(), Producer{"x", 5, 11}, text("a", "never"))
		wantCode(t, err, leat.CodeEnded)
	})
}

// The order of the rules decides over the answer where several have one.
func TestRulesInOrder(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		j := openStream(t, st, Options{Now: c.Now})
		w := by("x", 1, 0)
		w.Order = "b"
		first := write(t, j, w)
		never := []leat.Offset{{Epoch: 1, Seq: 1}}
		if again := write(t, j, Write{Stream: "a", Producer: w.Producer, Order: "a", At: never, Wrong: errBefore}); !again.Duplicate {
			t.Errorf("a duplicate with everything else wrong: %+v", again)
		}
		for _, test := range []struct {
			w    Write
			code leat.Code
		}{
			{Write{Producer: &Producer{"x", 0, 0}, Order: "a", At: never, Wrong: errBefore}, leat.CodeStaleEpoch},
			{Write{Producer: &Producer{"x", 1, 2}, Order: "a", At: never, Wrong: errBefore}, leat.CodeSequenceGap},
			{Write{Producer: &Producer{"x", 1, 1}, Order: "b", At: never, Wrong: errBefore}, leat.CodeOutOfOrder},
			{Write{Producer: &Producer{"x", 1, 1}, Order: "B", At: never, Wrong: errBefore}, leat.CodeOutOfOrder},
			{Write{Producer: &Producer{"x", 1, 1}, Order: "b\x00", At: never, Wrong: errBefore}, leat.CodePrecondition},
			{Write{Order: "c", At: []leat.Offset{}, Wrong: errBefore}, leat.CodePrecondition},
			{Write{Order: "c", Wrong: errBefore}, leat.CodeStoreFailed},
			{Write{Order: strings.Repeat("c", MaxOrder+1)}, leat.CodeInvalidParameter},
		} {
			test.w.Stream = "a"
			if test.w.Wrong == nil {
				test.w.Appends = []Append{text("a", "never")}
			}
			_, err := j.Write(context.Background(), test.w)
			wantCode(t, err, test.code)
		}
		if got := strings.Join(contents(t, st, "a"), ""); got != "x.1.0|" || first.Duplicate {
			t.Errorf("stored is %q", got)
		}
		write(t, j, Write{Stream: "a", Appends: []Append{text("a", "y")}, Order: "b" + strings.Repeat("c", MaxOrder-1)})
		_, err := open(t, st, Options{Now: c.Now}).Write(context.Background(), Write{Stream: "a", Appends: []Append{text("a", "never")}, Order: "bb"})
		wantCode(t, err, leat.CodeOutOfOrder) // after a restart
	})
}

// Of those who append to one state of a stream one wins, however they meet; the others
// are told.
func TestWriteAt(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		j, other := openStream(t, st, Options{Now: c.Now}), open(t, st, Options{Now: c.Now})
		const writers, rounds = 4, 10
		won := make(chan int)
		for i := range writers {
			// Ends after its rounds, for which the test waits.
			go func() {
				j, n := []*Journal{j, other}[i%2], 0
				for n < rounds {
					m, err := j.Stat(context.Background(), "a", false)
					if leat.CodeOf(err) == leat.CodeNotFound {
						continue // the store lags
					} else if err != nil {
						t.Error(err)
						break
					}
					at := m.Last
					if n%2 == 0 {
						at = m.Mark
					}
					w := Write{Stream: "a", Appends: []Append{text("a", at.String())}, At: []leat.Offset{{Epoch: 1, Seq: 1}, at}}
					switch _, err := j.Write(context.Background(), w); leat.CodeOf(err) {
					case "":
						n++
					case leat.CodePrecondition:
					default:
						t.Error(err)
						n = rounds
					}
				}
				won <- n
			}()
		}
		total := 0
		for range writers {
			total += <-won
		}
		all := everything(t, st, "a")
		n := 0
		for i, r := range all {
			if r.Type == "foreign" {
				continue
			}
			n++
			at, err := leat.ParseOffset(string(r.Data))
			if err != nil {
				t.Fatal(err)
			}
			if i > 0 && at != all[i-1].Offset {
				t.Errorf("%s was appended to %s, and stands after %s", r.Offset, at, all[i-1].Offset)
			}
		}
		if n != total {
			t.Errorf("%d are stored, %d were told so", n, total)
		}
	})
}

// What is known of a producer is kept for a window after its last request, and then
// swept, in pieces; the number of producers is bounded until then.
func TestProducersAreForgotten(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		const most = 100
		o := Options{Now: c.Now, Sweep: -1, ProducerWindow: time.Hour, MaxProducers: most}
		j := openStream(t, st, o)
		names := make([]string, most)
		for i := range names {
			names[i] = fmt.Sprintf("%03d%s", i, strings.Repeat("n", i))
			write(t, j, by(names[i], 9, 0))
		}
		_, err := j.Write(context.Background(), by("one more", 0, 0))
		wantCode(t, err, leat.CodeTooManyProducers)
		_, _, err = j.Produce(context.Background(), Producer{"one more", 0, 0}, text("a", "never"))
		wantCode(t, err, leat.CodeTooManyProducers)
		c.add(time.Hour - time.Microsecond)
		for i := range most / 2 {
			write(t, j, by(names[i], 9, 1))
		}
		if got := write(t, j, by(names[most-1], 9, 0)); !got.Duplicate {
			t.Error("forgotten too early")
		}
		sweep(t, j)
		c.add(time.Microsecond)
		if got := write(t, j, by(names[most-1], 0, 0)); got.Duplicate || got.Accepted.Epoch != 0 {
			t.Errorf("after the window: %+v", got)
		}
		_, err = j.Write(context.Background(), by(names[most-2], 9, 1))
		wantCode(t, err, leat.CodeSequenceGap)
		for range 20 { // a store that lags may tell late what is due
			sweep(t, j)
		}
		settle(t, st, "a")
		keys, err := st.Keys(context.Background(), "a", producerKeys, "", 2*most)
		if err != nil || len(keys) != most/2+1 {
			t.Errorf("%d are remembered, %v; want %d", len(keys), err, most/2+1)
		}
		for i := range most/2 - 1 {
			write(t, j, by(fmt.Sprint("another ", i), 0, 0))
		}
		_, err = j.Write(context.Background(), by("one more", 0, 0))
		wantCode(t, err, leat.CodeTooManyProducers)
		for i := range most / 2 {
			if got := write(t, j, by(names[i], 9, 1)); !got.Duplicate {
				t.Errorf("%d is forgotten", i)
			}
		}
		c.add(2 * time.Hour)
		for range 20 {
			sweep(t, j)
		}
		settle(t, st, "a")
		info, err := st.Stream(context.Background(), "a", stateCensus)
		if keys, _ := st.Keys(context.Background(), "a", producerKeys, "", 2*most); err != nil || len(keys) != 0 || len(info.State) != 0 || !info.Due.IsZero() {
			t.Errorf("all should be forgotten: %q, %q, due %v, %v", keys, info.State, info.Due, err)
		}
	})
}

// Names that are made up cost no memory, and those of which a stream has something a
// bounded one.
func TestProducersInMemory(t *testing.T) {
	drivers[0].run(t, func(t *testing.T, st store.Store, c *clock) {
		j := openStream(t, st, Options{Now: c.Now})
		for i := range 2 * maxProducers {
			_, err := j.Write(context.Background(), by(fmt.Sprint("none", i), 0, 1))
			wantCode(t, err, leat.CodeSequenceGap)
		}
		if n := len(j.streams["a"].producers); n != 0 {
			t.Errorf("%d that the stream has nothing of are remembered", n)
		}
		for i := range maxProducers + 10 {
			write(t, j, by(fmt.Sprint(i), 0, 0))
		}
		if n := len(j.streams["a"].producers); n != maxProducers {
			t.Errorf("%d are remembered, want %d", n, maxProducers)
		}
		for i := range maxProducers + 10 {
			if got := write(t, j, by(fmt.Sprint(i), 0, 0)); !got.Duplicate {
				t.Errorf("%d is stored again", i)
			}
		}
	})
}

// A topic of which no record is left is kept while it has producers: a request that is
// repeated is known for the whole window.
func TestTopicOfProducersIsKept(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		j := open(t, st, Options{Now: c.Now, Sweep: -1, Topics: Retention{Age: time.Minute}, ProducerWindow: time.Hour})
		must(t, j, text("a", "topic|"))
		write(t, j, by("x", 0, 0))
		c.add(30 * time.Minute)
		sweep(t, j)
		if n := len(contents(t, st, "a")); n != 0 {
			t.Fatalf("%d records are left", n)
		}
		if got := write(t, j, by("x", 0, 0)); !got.Duplicate {
			t.Error("stored again")
		}
		c.add(30 * time.Minute)
		sweep(t, j)
		sweep(t, j)
		if info, err := st.Stream(context.Background(), "a"); err != nil || info.Version != 0 {
			t.Errorf("a topic without records and producers is left: %+v, %v", info, err)
		}
	})
}

// What waits is bounded, and what would be beyond is refused; one that is larger than
// the bound finds its way when nothing waits.
func TestMaxWaiting(t *testing.T) {
	eachAlone(t, func(t *testing.T, st store.Store, c *clock) {
		const size = 1000
		fits := strings.Repeat("x", size-recordBytes)
		j, g := openGated(t, st, Options{Now: c.Now, MaxWaiting: 3 * size, Sweep: -1})
		first := appendAll(context.Background(), j, []Append{text("a", strings.Repeat("x", 5*size))}) // alone
		<-g.began
		refused(t, j, leat.CodeOverloaded, text("b", ""))
		g.let <- nil
		<-first
		var answers []chan answer
		for i := range 3 {
			answers = append(answers, appendAll(context.Background(), j, []Append{text("a", fits)}))
			if i == 0 {
				<-g.began
			} else {
				waitQueued(t, j, "a", i)
			}
		}
		refused(t, j, leat.CodeOverloaded, text("b", ""))
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := j.Append(ctx, text("b", "")); leat.CodeOf(err) != leat.CodeOverloaded {
			t.Errorf("one that has gone: %v", err)
		}
		g.open()
		for _, answer := range answers {
			if a := <-answer; a.err != nil {
				t.Error(a.err)
			}
		}
		must(t, j, text("b", fits))
		if n := j.queued.Load(); n != 0 {
			t.Errorf("%d bytes wait of nothing", n)
		}
	})
}

// What a stream that was deleted had of a producer says nothing of the one that is made
// anew, also where reads may still be of the former.
func TestProducerOfWhatIsMadeAnew(t *testing.T) {
	each(t, func(t *testing.T, st store.Store, c *clock) {
		for round := range 50 {
			j, other := open(t, st, Options{Now: c.Now}), open(t, st, Options{Now: c.Now})
			create(t, j, Config{ContentType: "text/plain"}, Write{Stream: "a"})
			w := by("x", 0, 0)
			w.End = leat.EndComplete
			got, err := other.Write(context.Background(), w)
			if leat.CodeOf(err) == leat.CodeNotFound && !st.Abilities().ReadAfterWrite {
				got, err = j.Write(context.Background(), w) // the other has not heard of it yet
			}
			if err != nil || got.Duplicate {
				t.Fatalf("round %d: %+v, %v", round, got, err)
			}
			if n := len(contents(t, st, "a")); n < 2 {
				t.Fatalf("round %d: %d entries", round, n)
			}
			if got := write(t, j, w); !got.Duplicate {
				t.Fatalf("round %d: stored again", round)
			}
			if err := j.Delete(context.Background(), "a"); err != nil {
				t.Fatal(err)
			}
		}
	})
}
