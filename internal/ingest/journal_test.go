package ingest

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/store/memstore"
)

// publish does what a surface does with a body of lines.
func publish(j *journal.Journal, body io.Reader) (done []journal.Appended, err error) {
	l := NewLines(Body{Reader: body, MaxRecord: j.MaxRecord()})
	for {
		g, end := l.Next()
		some, err := j.Append(context.Background(), g.Appends...)
		done = append(done, some...)
		switch {
		case err != nil:
			return done, AtLine(err, g.Numbers[len(some)])
		case end == io.EOF:
			return done, nil
		case end != nil:
			return done, end
		}
	}
}

// Line 1 reaches a reader before line 2 is sent.
func TestLinesReachReaders(t *testing.T) {
	st := memstore.New(memstore.Options{})
	defer st.Close()
	j := journal.New(st, journal.Options{})
	defer j.Close()
	r, w := io.Pipe()
	published := make(chan error)
	go func() { // ends with the pipe
		_, err := publish(j, r)
		published <- err
	}()
	lines := []string{`{"topic":"a","data":1}`, `{"topic":"b","data":"x"}`, `{"topic":"a","data":2}`}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	io.WriteString(w, lines[0]+"\n")
	sent := 1
	for b, err := range st.Follow(ctx, 0) {
		if err != nil {
			t.Fatal(err)
		}
		if len(b.Records) == 0 {
			continue
		}
		if len(b.Records) != 1 {
			t.Fatalf("%d records arrived after line %d", len(b.Records), sent)
		}
		if sent == len(lines) {
			break
		}
		io.WriteString(w, lines[sent]+"\n")
		sent++
	}
	w.Close()
	if err := <-published; err != nil {
		t.Error(err)
	}
}

// An error names the line, whether it is the envelope that is wrong or what
// the topic holds; all before it is stored, and nothing after it.
func TestLinesStopAtError(t *testing.T) {
	for _, test := range []struct {
		name, bad string
		code      leat.Code
	}{
		{"syntax", `{"topic":"a","data":}`, leat.CodeInvalidBody},
		{"type", `{"topic":"a","data":"text"}`, ""},
		{"mismatch", `{"topic":"text","data":1}`, leat.CodeTypeMismatch},
		{"name", `{"topic":"a//b","data":1}`, leat.CodeInvalidName},
		{"key", `{"topic":"a","data":1,"key":"\n"}`, leat.CodeInvalidKey},
	} {
		st := memstore.New(memstore.Options{})
		j := journal.New(st, journal.Options{})
		body := `{"topic":"a","data":1}` + "\n\n" + `{"topic":"text","data":"x"}` + "\n" + test.bad + "\n" + `{"topic":"a","data":3}`
		done, err := publish(j, strings.NewReader(body))
		b, _ := st.ReadLog(context.Background(), leat.Everything(), 0, 0, 1<<20)
		j.Close()
		st.Close()
		if test.code == "" { // a string is a value like any other in a JSON topic
			if err != nil || len(done) != 4 || len(b.Records) != 4 {
				t.Errorf("%s: %d results, %d records, %v", test.name, len(done), len(b.Records), err)
			}
			continue
		}
		e := wantCode(t, err, test.code)
		if e.Fields["line"] != 4 || len(done) != 2 || len(b.Records) != 2 || done[1].Offset != b.Records[1].Offset {
			t.Errorf("%s: line %v, %d results, %d records", test.name, e.Fields["line"], len(done), len(b.Records))
		}
	}
}
