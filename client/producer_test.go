package client

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
)

// content reads a whole stream of l, without faults.
func (l *faultyLeat) content(t *testing.T, stream string) string {
	t.Helper()
	l.faults(0, 0)
	target, err := l.StreamURL(stream, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(t.Context(), target, OpenOptions{HTTP: l.HTTP})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	got, err := io.ReadAll(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(got)
}

func newProducer(t *testing.T, l *faultyLeat, o ProducerOptions) *Producer {
	t.Helper()
	if err := l.Create(t.Context(), "s", CreateOptions{ContentType: o.ContentType}); err != nil {
		t.Fatal(err)
	}
	p, err := l.Producer("s", o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// However many answers get lost, each append is stored once.
func TestProducerStoresOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeat(t)
		p := newProducer(t, l, ProducerOptions{ContentType: "text/plain"})
		l.faults(0, 0.5)
		var want strings.Builder
		duplicates := 0
		for i := range 200 {
			text := fmt.Sprintln(i)
			want.WriteString(text)
			receipt, err := p.Append(t.Context(), []byte(text))
			if err != nil || receipt.Count != 1 || receipt.Last == "" {
				t.Fatalf("append %d: %+v, %v", i, receipt, err)
			}
			duplicates += receipt.Duplicates
		}
		if got := l.content(t, "s"); got != want.String() {
			t.Errorf("stored %q", got)
		}
		if duplicates < 50 {
			t.Errorf("only %d were repeated", duplicates)
		}
	})
}

// So is each line, and each append of many goroutines.
func TestProducerLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeat(t)
		p := newProducer(t, l, ProducerOptions{ContentType: "application/json"})
		l.faults(0, 0.5)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				var lines []json.RawMessage
				for k := range 5 {
					lines = append(lines, json.RawMessage(fmt.Sprint(5*i+k)))
				}
				receipt, err := p.AppendLines(t.Context(), lines...)
				if err != nil || receipt.Count != 5 || receipt.Last == "" && receipt.Duplicates < 5 {
					t.Errorf("got %+v, %v", receipt, err)
				}
			})
		}
		wg.Wait()
		if receipt, err := p.AppendLines(t.Context()); err != nil || receipt != (Receipt{}) {
			t.Errorf("of none: %+v, %v", receipt, err)
		}
		var stored []int
		if err := json.Unmarshal([]byte(l.content(t, "s")), &stored); err != nil || len(stored) != 100 {
			t.Fatalf("stored %v, %v", stored, err)
		}
		for i := 0; i < 100; i += 5 {
			for k := range 5 {
				if stored[i+k] != stored[i]+k {
					t.Errorf("stored %v", stored)
				}
			}
		}
	})
}

// A refused line ends what is stored of a request, and the next request goes on
// behind it.
func TestProducerRefusedLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeat(t)
		p := newProducer(t, l, ProducerOptions{ContentType: "application/json"})
		large := json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)
		receipt, err := p.AppendLines(t.Context(), json.RawMessage("1"), json.RawMessage("2"), large, json.RawMessage("4"))
		if leat.CodeOf(err) != leat.CodeTooLarge || leat.AsError(err).Fields["line"] != 3 || receipt.Count != 2 {
			t.Fatalf("got %+v, %v", receipt, err)
		}
		if _, err := p.Append(t.Context(), []byte("[5,6]")); err != nil {
			t.Fatal(err)
		}
		if _, err := p.AppendLines(t.Context(), json.RawMessage("7"), json.RawMessage("oops")); leat.CodeOf(err) != leat.CodeInvalidBody || leat.AsError(err).Fields["line"] != 2 {
			t.Errorf("got %v", err)
		}
		if got := l.content(t, "s"); got != "[1,2,5,6]" {
			t.Errorf("stored %s", got)
		}
	})
}

// What was given up is settled before anything else is sent, so that neither
// of the two is lost or stored twice.
func TestProducerSettles(t *testing.T) {
	for name, lost := range map[string]float64{"stored": 1, "not stored": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLeat(t)
				p := newProducer(t, l, ProducerOptions{ContentType: "text/plain"})
				l.faults(0, lost)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				data := []byte("one ")
				if lost == 0 {
					l.stop(true)
				}
				if _, err := p.Append(ctx, data); !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("got %v", err)
				}
				copy(data, "gone")
				l.faults(0, 0)
				l.stop(false)
				if _, err := p.Append(t.Context(), []byte("two")); err != nil {
					t.Fatal(err)
				}
				if got := l.content(t, "s"); got != "one two" {
					t.Errorf("stored %q", got)
				}
			})
		})
	}
	// What has not left this machine is not kept.
	synctest.Test(t, func(t *testing.T) {
		l := newLeat(t)
		p := newProducer(t, l, ProducerOptions{ContentType: "text/plain"})
		l.fake.client.CloseIdleConnections()
		l.fake.setDown(errRefused)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, err := p.Append(ctx, []byte("one ")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v", err)
		}
		l.fake.setDown(nil)
		if _, err := p.Append(t.Context(), []byte("two")); err != nil {
			t.Fatal(err)
		}
		if got := l.content(t, "s"); got != "two" {
			t.Errorf("stored %q", got)
		}
	})
}

// One producer of a name takes the place of another, and that is final.
func TestProducerEpochs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeat(t)
		old := newProducer(t, l, ProducerOptions{ContentType: "text/plain", ID: "me"})
		if _, err := old.Append(t.Context(), []byte("one ")); err != nil {
			t.Fatal(err)
		}
		young := newProducer(t, l, ProducerOptions{ContentType: "text/plain", ID: "me"})
		if _, err := young.Append(t.Context(), []byte("two ")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := old.Append(t.Context(), []byte("three ")); leat.CodeOf(err) != leat.CodeStaleEpoch {
				t.Errorf("got %v", err)
			}
		}
		if got := l.content(t, "s"); got != "one two " {
			t.Errorf("stored %q", got)
		}
	})
}

func TestProducerErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLeat(t)
		if _, err := l.Producer("a//b", ProducerOptions{}); leat.CodeOf(err) != leat.CodeInvalidName {
			t.Errorf("got %v", err)
		}
		p, _ := l.Producer("none", ProducerOptions{})
		if _, err := p.Append(t.Context(), []byte("x")); leat.CodeOf(err) != leat.CodeNotFound {
			t.Errorf("got %v", err)
		}
		p = newProducer(t, l, ProducerOptions{})
		for _, data := range [][]byte{nil, {}} {
			if _, err := p.Append(t.Context(), data); leat.CodeOf(err) != leat.CodeInvalidBody {
				t.Errorf("got %v", err)
			}
		}
		if n, err := p.Upload(t.Context(), io.MultiReader(strings.NewReader("half"), &failing{})); n != 4 || err != errBroken {
			t.Errorf("got %d, %v", n, err)
		}
		if err := p.End(t.Context(), leat.EndDeleted, ""); err == nil {
			t.Error("a state that is not a producer's to give")
		}
		if err := p.End(t.Context(), leat.EndComplete, ""); err != nil {
			t.Error(err)
		}
		if _, err := p.Append(t.Context(), []byte("x")); leat.CodeOf(err) != leat.CodeEnded {
			t.Errorf("got %v", err)
		}
		if err := l.Create(t.Context(), "s", CreateOptions{ContentType: "text/plain"}); leat.CodeOf(err) != leat.CodeExists {
			t.Errorf("got %v", err)
		}
	})
	// A server of another kind says 200 to anything.
	synctest.Test(t, func(t *testing.T) {
		c, _ := newClient(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
		p, _ := c.Producer("s", ProducerOptions{})
		if _, err := p.Append(t.Context(), []byte("x")); leat.CodeOf(err) != CodeAnswer {
			t.Errorf("got %v", err)
		}
		if _, err := p.AppendLines(t.Context(), json.RawMessage("1")); leat.CodeOf(err) != CodeAnswer {
			t.Errorf("got %v", err)
		}
	})
}

// failing fails.
type failing struct{}

func (*failing) Read([]byte) (int, error) { return 0, errBroken }
