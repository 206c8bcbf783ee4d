package ingest

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/journal"
	"github.com/leat-dev/leat/store/memstore"
)

// publish does what a surface does with a body of lines.
func publish(j *journal.Journal, body io.Reader) (done []journal.Appended, err error) {
	return store(j, "", NewLines(Body{Reader: body, MaxRecord: j.MaxRecord()}), AtLine)
}

// store stores what groups have. The stream is that of appends without one,
// and at says of which line or event an error is.
func store(j *journal.Journal, stream string, groups interface{ Next() (Group, error) }, at func(error, int) error) (done []journal.Appended, err error) {
	for {
		g, end := groups.Next()
		for i := range g.Appends {
			if stream != "" {
				g.Appends[i].Stream = stream
			}
		}
		some, err := j.Append(context.Background(), g.Appends...)
		done = append(done, some...)
		switch {
		case err != nil:
			return done, at(err, g.Numbers[len(some)])
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

// Repeating a body of events is exact where they have ids, in streams of text
// and of JSON; an id that is not allowed as a key is an error.
func TestEventsInStreams(t *testing.T) {
	st := memstore.New(memstore.Options{})
	defer st.Close()
	j := journal.New(st, journal.Options{})
	defer j.Close()
	send := func(stream, contentType, body string) ([]journal.Appended, error) {
		return store(j, stream, NewEvents(Body{Reader: strings.NewReader(body), ContentType: contentType, MaxRecord: j.MaxRecord()}), AtEvent)
	}
	for stream, contentType := range map[string]string{"text": "text/plain", "json": "application/json"} {
		body := "id: 1\nevent: a\ndata: [ 1,\ndata: 2 ]\n\ndata: 3\n\nid: 2\ndata: 4\n\n"
		for repeat := range 2 {
			done, err := send(stream, contentType, body)
			if err != nil || len(done) != 3 {
				t.Fatalf("%s: %d results, %v", stream, len(done), err)
			}
			for i, d := range done {
				if want := repeat == 1 && i != 1; d.Duplicate != want {
					t.Errorf("%s, time %d: event %d is a duplicate: %v", stream, repeat+1, i+1, d.Duplicate)
				}
			}
		}
		b, _ := st.ReadStream(context.Background(), stream, 0, 0, 1<<20)
		if len(b.Records) != 4 || b.Records[0].Type != "a" || b.Records[0].Key != "1" || b.Records[1].Key != "" {
			t.Errorf("%s: got %+v", stream, b.Records)
		}
		if want := map[string]string{"text": "[ 1,\n2 ]", "json": "[1,2]"}[stream]; string(b.Records[0].Data) != want {
			t.Errorf("%s: got the data %q, want %q", stream, b.Records[0].Data, want)
		}
		for _, bad := range []struct {
			block string
			code  leat.Code
		}{
			{"id: \x01\ndata: 5", leat.CodeInvalidKey},
			{"id: \x00\ndata: 5", leat.CodeInvalidKey},
			{"id: " + strings.Repeat("x", journal.MaxKey+1) + "\ndata: 5", leat.CodeInvalidKey},
			{"event: leat.end\ndata: 5", leat.CodeInvalidType},
		} {
			done, err := send(stream, contentType, "data: 1\n\ndata: 2\n\n"+bad.block+"\n\ndata: 3\n\n")
			if e := wantCode(t, err, bad.code); e.Fields["event"] != 3 || len(done) != 2 {
				t.Errorf("%q: %d results, then event %v", bad.block, len(done), e.Fields["event"])
			}
		}
	}
	// Of another type than the stream has.
	_, err := send("text", "application/json", "data: 1\n\n")
	if e := wantCode(t, err, leat.CodeTypeMismatch); e.Fields["event"] != 1 {
		t.Error(e.Fields)
	}
	// What is no JSON is named by its event too.
	_, err = send("json", "application/json", "data: 1\n\ndata: x\n\n")
	if e := wantCode(t, err, leat.CodeInvalidBody); e.Fields["event"] != 2 {
		t.Error(e.Fields)
	}
}

// The journal takes off the white space that Array and Values leave inside.
func TestValuesInStreams(t *testing.T) {
	st := memstore.New(memstore.Options{})
	defer st.Close()
	j := journal.New(st, journal.Options{})
	defer j.Close()
	body := func(text string) Body {
		return Body{Reader: strings.NewReader(text), ContentType: "application/json", MaxRecord: j.MaxRecord()}
	}
	as, err := Array(body(` [ { "a" : 1.50 , "a" : 2 } , [ 1 ] ] `))
	for i := range as {
		as[i].Stream = "s"
	}
	if err == nil {
		_, err = j.Append(context.Background(), as...)
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := store(j, "s", NewValues(body("{ \"b\" : 1e2 }\n\n[ ]\n")), AtLine); err != nil {
		t.Fatal(err)
	}
	b, _ := st.ReadStream(context.Background(), "s", 0, 0, 1<<20)
	var got []string
	for _, r := range b.Records {
		got = append(got, string(r.Data))
	}
	if want := []string{`{"a":1.50,"a":2}`, "[1]", `{"b":1e2}`, "[]"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Bytes become visible as they arrive: 10 ms after the first of them.
func TestChunksReachReaders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		st := memstore.New(memstore.Options{})
		defer st.Close()
		j := journal.New(st, journal.Options{})
		defer j.Close()
		r, w := io.Pipe()
		stored := make(chan error)
		go func() { // ends with the pipe
			c := NewChunks(Body{Reader: r, ContentType: "video/mp4", MaxRecord: j.MaxRecord()}, nil)
			defer c.Close()
			for {
				a, err := c.Next()
				if err == nil {
					a.Stream = "v"
					_, err = j.Append(context.Background(), a)
				}
				if err != nil {
					stored <- err
					return
				}
			}
		}()
		for i, text := range []string{"ab", "cdefg", "h"} {
			io.WriteString(w, text)
			time.Sleep(chunkDelay)
			synctest.Wait()
			b, err := st.ReadStream(context.Background(), "v", 0, 0, 1<<20)
			if err != nil || len(b.Records) != i+1 || string(b.Records[i].Data) != text {
				t.Fatalf("after %q: %d records, %v", text, len(b.Records), err)
			}
		}
		w.Close()
		if err := <-stored; err != io.EOF {
			t.Error(err)
		}
	})
}
