package render

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/frame"
	"github.com/leat-dev/leat/sse"
)

var noon = time.Date(2026, 11, 21, 12, 0, 0, 42_000, time.FixedZone("", 3600))

const id = "0000000000000007_0000000000000042"

// full is a record with everything in it.
func full(kind leat.Kind, data string) *leat.Record {
	return &leat.Record{
		Stream: "orders/eu", Offset: leat.Offset{Epoch: 7, Seq: 42}, Time: noon,
		Kind: kind, Type: "placed", Key: "k-1", Data: []byte(data),
	}
}

// "`id:` on every event, `event:` when the record has a type, data split on CR,
// LF and CRLF."
func TestSSE(t *testing.T) {
	for _, test := range []struct {
		name string
		r    *leat.Record
		want string
	}{
		{"text", full(leat.KindText, "hello"), "id: " + id + "\nevent: placed\ndata: hello\n\n"},
		{"no type", &leat.Record{Offset: leat.Offset{Epoch: 7, Seq: 42}, Kind: leat.KindText, Data: []byte("x")}, "id: " + id + "\ndata: x\n\n"},
		{"nothing", full(leat.KindText, ""), "id: " + id + "\nevent: placed\ndata: \n\n"},
		{"lines", full(leat.KindText, "a\nb\r\nc\rd\n"), "id: " + id + "\nevent: placed\ndata: a\ndata: b\ndata: c\ndata: d\ndata: \n\n"},
		{"what looks like fields", full(leat.KindText, "\n\nid: 1\n:"), "id: " + id + "\nevent: placed\ndata: \ndata: \ndata: id: 1\ndata: :\n\n"},
		{"a space in front", full(leat.KindText, " x"), "id: " + id + "\nevent: placed\ndata:  x\n\n"},
		{"line separator", full(leat.KindText, "a\u2028b\u0085c"), "id: " + id + "\nevent: placed\ndata: a\u2028b\u0085c\n\n"},
		{"json", full(leat.KindJSON, `{"n":1.0,"s":"\n"}`), "id: " + id + "\nevent: placed\ndata: {\"n\":1.0,\"s\":\"\\n\"}\n\n"},
		{"binary", full(leat.KindBinary, "\x00\xff\n"), "id: " + id + "\nevent: placed\ndata: AP8K\n\n"},
		{"no bytes", full(leat.KindBinary, ""), "id: " + id + "\nevent: placed\ndata: \n\n"},
	} {
		if got := string(SSE.Append([]byte("<"), test.r)); got != "<"+test.want {
			t.Errorf("%s:\n got %q\nwant %q", test.name, got, "<"+test.want)
		}
	}
}

// `{"id","topic","type","key","time","data"}`; "data is JSON when the stream is
// JSON, text when it is UTF-8 text, else base64 with "encoding":"base64"".
func TestEnvelope(t *testing.T) {
	const head = `{"id":"` + id + `","topic":"orders/eu","type":"placed","key":"k-1","time":"2026-11-21T11:00:00.000042Z","data":`
	bare := full(leat.KindText, "x")
	bare.Type, bare.Key, bare.Time = "", "", time.UnixMicro(0)
	quoted := full(leat.KindText, "x")
	quoted.Stream, quoted.Type, quoted.Key = `a"b\c`, "t\u00e9", "k\"\\\t\u2029"
	for _, test := range []struct {
		name string
		r    *leat.Record
		want string
	}{
		{"text", full(leat.KindText, "hello"), head + `"hello"}`},
		{"nothing", full(leat.KindText, ""), head + `""}`},
		{"no type and no key", bare, `{"id":"` + id + `","topic":"orders/eu","time":"1970-01-01T00:00:00.000000Z","data":"x"}`},
		{"quotes", full(leat.KindText, "a\"b\\c/d"), head + `"a\"b\\c/d"}`},
		{"lines", full(leat.KindText, "a\nb\r\nc"), head + `"a\nb\r\nc"}`},
		{"controls", full(leat.KindText, "\x00\x01\b\f\t\x1b\x1f\x7f"), head + `"\u0000\u0001\u0008\u000c\t\u001b\u001f\u007f"}`},
		{"separators", full(leat.KindText, "a\u2028b\u2029c"), head + "\"a\u2028b\u2029c\"}"},
		{"markup", full(leat.KindText, "<a&b>"), head + `"<a&b>"}`},
		{"beyond ASCII", full(leat.KindText, "é😀\ufffd"), head + `"é😀` + "\ufffd" + `"}`},
		{"json", full(leat.KindJSON, `{"n":1.0e5,"z":[]}`), head + `{"n":1.0e5,"z":[]}}`},
		{"null", full(leat.KindJSON, `null`), head + `null}`},
		{"binary", full(leat.KindBinary, "\x00\xff"), head + `"AP8=","encoding":"base64"}`},
		{"binary that is text", full(leat.KindBinary, "hello"), head + `"aGVsbG8=","encoding":"base64"}`},
		{"text that is none", full(leat.KindText, "a\xff\xc3"), head + `"Yf/D","encoding":"base64"}`},
		{"names to be quoted", quoted, `{"id":"` + id + `","topic":"a\"b\\c","type":"té","key":"k\"\\\t` + "\u2029" + `","time":"2026-11-21T11:00:00.000042Z","data":"x"}`},
	} {
		if got := string(AppendEnvelope([]byte("<"), test.r)); got != "<"+test.want {
			t.Errorf("%s:\n got %s\nwant <%s", test.name, got, test.want)
		}
		if got := string(NDJSON.Append([]byte("<"), test.r)); got != "<"+test.want+"\n" {
			t.Errorf("%s: on a line\n got %q\nwant %q", test.name, got, "<"+test.want+"\n")
		}
		want := "id: " + id + "\ndata: " + test.want + "\n\n"
		if got := string(SSEEnvelope.Append(nil, test.r)); got != want {
			t.Errorf("%s: as an event\n got %q\nwant %q", test.name, got, want)
		}
	}
}

// "end entry = id: OFFSET, event: leat.end, data: {"topic":"a","state":"complete"}
// (+ "reason":"…" when not empty)"; on a line {"id":"…","end":{…}}; in raw bytes
// nothing.
func TestEnd(t *testing.T) {
	for _, test := range []struct{ stream, state, reason, want string }{
		{"a", "complete", "", `{"topic":"a","state":"complete"}`},
		{`q"`, "error", "no\nroom é\xff\"", `{"topic":"q\"","state":"error","reason":"no\nroom é` + "\ufffd" + `\""}`},
	} {
		r := full(leat.KindEnd, test.reason)
		r.Stream, r.Type = test.stream, test.state
		event := "<id: " + id + "\nevent: leat.end\ndata: " + test.want + "\n\n"
		for enc, want := range map[frame.Encoding]string{
			SSE: event, SSEEnvelope: event, Bytes: "<",
			NDJSON: `<{"id":"` + id + `","end":` + test.want + "}\n",
		} {
			if got := string(enc.Append([]byte("<"), r)); got != want {
				t.Errorf("%s:\n got %q\nwant %q", enc, got, want)
			}
		}
	}
}

// "A text cut anywhere shows no U+FFFD", "Data and Pos stay the exact bytes":
// cut in three at every two places, with what each part carries over.
func TestTextCutAnywhere(t *testing.T) {
	const text = "a\u00e9\u20ac\U0001f600\ufffdz"
	for i := range len(text) + 1 {
		for j := i; j <= len(text); j++ {
			var events, envelopes, payloads string
			var carry []byte
			for _, part := range []string{text[:i], text[i:j], text[j:]} {
				r := full(leat.KindText, part)
				r.Carry = carry
				whole := append(append([]byte(nil), carry...), part...)
				carry = whole[len(whole)-leat.Unfinished(whole):]
				ev, err := sse.NewDecoder(bytes.NewReader(SSE.Append(nil, r)), nil).Next()
				if err != nil {
					t.Fatal(err)
				}
				events += string(ev.Data)
				var env struct{ Data, Encoding string }
				line := NDJSON.Append(nil, r)
				if err := json.Unmarshal(line, &env); err != nil || env.Encoding != "" {
					t.Fatalf("%s: %v", line, err)
				}
				envelopes += env.Data
				payloads += string(Bytes.Append(nil, r))
			}
			if events != text || envelopes != text || payloads != text {
				t.Errorf("cut at %d and %d: events %q, envelopes %q, bytes %q", i, j, events, envelopes, payloads)
			}
		}
	}
}

// envelope is what encoding/json makes of one.
type envelope struct {
	ID       leat.Offset     `json:"id"`
	Topic    string          `json:"topic"`
	Type     string          `json:"type"`
	Key      string          `json:"key"`
	Time     time.Time       `json:"time"`
	Data     json.RawMessage `json:"data"`
	Encoding string          `json:"encoding"`
}

// fuzzRecord makes a record as the journal would let it through, ok if it would.
func fuzzRecord(stream, typ, key string, kind uint8, data []byte, micro int64) (r *leat.Record, ok bool) {
	const year = 365 * 24 * time.Hour
	r = &leat.Record{
		Stream: stream, Type: typ, Key: key, Kind: leat.Kind(kind % 3), Data: data,
		Offset: leat.Offset{Epoch: 1, Seq: 1 + uint64(kind)}, Time: time.UnixMicro(micro % (7000 * int64(year/time.Microsecond))).UTC(),
	}
	if leat.CheckName(stream) != nil || !utf8.ValidString(typ) || !utf8.ValidString(key) || strings.ContainsAny(typ, "\r\n\x00") {
		return nil, false
	}
	if r.Kind == leat.KindJSON {
		var compact bytes.Buffer
		if json.Compact(&compact, data) != nil || !utf8.Valid(data) {
			return nil, false
		}
		r.Data = compact.Bytes()
	}
	return r, r.Time.Year() >= 0
}

func addSeeds(f *testing.F) {
	for _, data := range []string{"", "hello", "a\nb\r\nc\r", " x", "\x00\x1f\x7f\u2028\"\\", "é\xff", `{"a":[1.0,"\u0000"]}`, "null", "data: x\n\nid: 2\n\n", "\ufeff"} {
		for kind := range uint8(3) {
			f.Add("a/b", "type", "key", kind, []byte(data), int64(1_763_711_400_123_456))
			f.Add(`q"\`, "", "", kind, []byte(data), int64(-1))
		}
	}
}

// A line is a frame of NDJSON, an envelope, which is JSON on one line and says
// the same as the record.
func FuzzEnvelope(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, stream, typ, key string, kind uint8, data []byte, micro int64) {
		r, ok := fuzzRecord(stream, typ, key, kind, data, micro)
		if !ok {
			return
		}
		for carry := range min(4, len(data)) { // whatever a text before it may have left
			r.Carry = data[:carry]
			if line := NDJSON.Append(nil, r); !json.Valid(line) || bytes.IndexByte(line, '\n') != len(line)-1 {
				t.Fatalf("%q, carry %q: the line %q", data, r.Carry, line)
			}
		}
		end := *r
		end.Kind = leat.KindEnd
		if line := NDJSON.Append(nil, &end); !json.Valid(line) || !utf8.Valid(line) || bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("an end for the reason %q: the line %q", data, line)
		}
		r.Carry = nil
		text, ok := bytes.CutSuffix(NDJSON.Append(nil, r), []byte("\n"))
		var got envelope
		if err := json.Unmarshal(text, &got); err != nil || !ok || !utf8.Valid(text) || bytes.ContainsAny(text, "\r\n\x00") {
			t.Fatalf("%q: error %v", text, err)
		}
		if !bytes.Equal(AppendEnvelope(nil, r), text) {
			t.Errorf("the line %s is not the envelope", text)
		}
		if got.ID != r.Offset || got.Topic != stream || got.Type != typ || got.Key != key || !got.Time.Equal(r.Time) {
			t.Errorf("%s says %+v, the record is %+v", text, got, r)
		}
		wantData(t, r, got.Data, got.Encoding)
	})
}

// wantData compares the data of an envelope with that of its record.
func wantData(t *testing.T, r *leat.Record, data json.RawMessage, encoding string) {
	t.Helper()
	if r.Kind == leat.KindJSON {
		if !bytes.Equal(data, r.Data) {
			t.Errorf("the data is %s, want %s", data, r.Data)
		}
		return
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	want := string(r.Data)
	if binary := r.Kind == leat.KindBinary || !utf8.Valid(r.Text()); binary != (encoding == "base64") {
		t.Errorf("encoding %q for %q", encoding, r.Data)
	} else if !binary {
		want = string(r.Text())
	}
	if encoding == "base64" {
		decoded, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			t.Error(err)
		}
		text = string(decoded)
	}
	if text != want {
		t.Errorf("the data is %q, want %q", text, want)
	}
}

// Decoding what was encoded gives the record back; only line ends in text are
// LF then, as in every event stream.
func FuzzSSE(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, stream, typ, key string, kind uint8, data []byte, micro int64) {
		r, ok := fuzzRecord(stream, typ, key, kind, data, micro)
		if !ok || r.Kind != leat.KindBinary && !utf8.Valid(r.Data) {
			return
		}
		frames := SSEEnvelope.Append(SSE.Append(nil, r), r)
		d := sse.NewDecoder(bytes.NewReader(frames), nil)
		plain, err1 := d.Next()
		wrapped, err2 := d.Next()
		if _, err := d.Next(); err1 != nil || err2 != nil || err != io.EOF {
			t.Fatalf("%q: errors %v, %v, %v", frames, err1, err2, err)
		}
		want := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(r.Text()))
		if r.Kind == leat.KindBinary {
			want = base64.StdEncoding.EncodeToString(r.Data)
		}
		if plain.ID != r.Offset.String() || plain.Type != typ || string(plain.Data) != want {
			t.Errorf("%+v was written as %q and read as %+v", r, frames, plain)
		}
		if wrapped.ID != plain.ID || wrapped.Type != "" || !bytes.Equal(wrapped.Data, AppendEnvelope(nil, r)) {
			t.Errorf("%+v was written as %q and read as %+v", r, frames, wrapped)
		}
	})
}

// "Raw bytes": the payload of every kind as it is, also when it has no bytes.
func TestBytes(t *testing.T) {
	for _, r := range []*leat.Record{full(leat.KindText, "a\r\n\u00e9"), full(leat.KindJSON, `{"a":1}`), full(leat.KindBinary, "\x00\xff\n"), full(leat.KindBinary, "")} {
		if got := string(Bytes.Append([]byte("<"), r)); got != "<"+string(r.Data) {
			t.Errorf("%s: got %q, want %q", r.Kind, got, "<"+string(r.Data))
		}
	}
}

// Encodings tell themselves apart, and a frame is a pure function of the record.
func TestEncodingsArePure(t *testing.T) {
	names := map[string]bool{}
	for _, enc := range []frame.Encoding{SSE, SSEEnvelope, NDJSON, Bytes} {
		if names[enc.String()] {
			t.Errorf("two encodings are called %s", enc)
		}
		names[enc.String()] = true
		for _, r := range []*leat.Record{full(leat.KindText, "a\nb"), full(leat.KindBinary, "\xff"), full(leat.KindJSON, "{}")} {
			before := *r
			first := string(enc.Append(nil, r))
			if again := string(enc.Append([]byte("before"), r)); again != "before"+first {
				t.Errorf("%s: %q and then %q", enc, first, again)
			}
			if string(r.Data) != string(before.Data) {
				t.Errorf("%s changes the record", enc)
			}
		}
	}
}

// A live record of text costs no allocation on its way into a page.
func TestSSEAllocatesNothing(t *testing.T) {
	buf := make([]byte, 0, 4<<10)
	for _, r := range []*leat.Record{full(leat.KindText, "hello"), full(leat.KindText, "a\nb"), full(leat.KindJSON, `{"a":1}`)} {
		if n := testing.AllocsPerRun(100, func() { buf = SSE.Append(buf[:0], r) }); n != 0 {
			t.Errorf("%q: %v allocations", r.Data, n)
		}
	}
}

func BenchmarkSSE(b *testing.B)         { benchmark(b, SSE) }
func BenchmarkSSEEnvelope(b *testing.B) { benchmark(b, SSEEnvelope) }

func benchmark(b *testing.B, enc frame.Encoding) {
	r := full(leat.KindText, strings.Repeat("x", 100))
	buf := make([]byte, 0, 4<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = enc.Append(buf[:0], r)
	}
	b.SetBytes(int64(len(buf)))
}
