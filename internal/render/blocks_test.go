package render

import (
	"bytes"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/sse"
)

var here = leat.Offset{Epoch: 7, Seq: 42}

func TestBlocks(t *testing.T) {
	const delay = 1500 * time.Millisecond
	gap := &Gap{Reason: "lost", Asked: "1_2", Next: here}
	const gapData = `{"reason":"lost","asked":"1_2","next":"` + id + `"}`
	for _, test := range []struct {
		name string
		got  []byte
		want string
	}{
		// "First bytes at once: a comment, retry: (jittered) and the start cursor."
		{"opening", EventStream.AppendOpening([]byte("<"), delay, here), "<: leat\nretry: 1500\n\nid: " + id + "\nevent: leat.cursor\ndata: \n\n"},
		{"cursor", EventStream.AppendCursor([]byte("<"), here), "<id: " + id + "\nevent: leat.cursor\ndata: \n\n"},
		{"heartbeat", EventStream.AppendHeartbeat([]byte("<")), "<:\n\n"},
		{"gap", EventStream.AppendGap([]byte("<"), gap), "<id: " + id + "\nevent: leat.gap\ndata: " + gapData + "\n\n"},
		{"farewell", EventStream.AppendFarewell([]byte("<"), delay, here), "<retry: 1500\n\nid: " + id + "\nevent: leat.cursor\ndata: \n\n"},
		// "Shed load with 200, retry: and a close."
		{"busy", AppendBusy([]byte("<"), 20*time.Second), "<: leat: no room for another reader now, come back later\n\nretry: 20000\n\n"},

		// "NDJSON's first line is {"id":…}." "NDJSON heartbeat is a blank line."
		{"first line", Lines.AppendOpening([]byte("<"), delay, here), `<{"id":"` + id + `"}` + "\n"},
		{"line with the position", Lines.AppendCursor([]byte("<"), here), `<{"id":"` + id + `"}` + "\n"},
		{"blank line", Lines.AppendHeartbeat([]byte("<")), "<\n"},
		{"gap on a line", Lines.AppendGap([]byte("<"), gap), `<{"id":"` + id + `","gap":` + gapData + "}\n"},
		{"dismissal", EventStream.AppendDismissal([]byte("<"), "too\nmany", delay, here), "<: leat: disconnected: too\n: many\n\nretry: 1500\n\nid: " + id + "\nevent: leat.cursor\ndata: \n\n"},
		{"dismissal in lines", Lines.AppendDismissal([]byte("<"), "too \"many\"", delay, here), `<{"id":"` + id + `","retry":1500,"disconnected":"too \"many\""}` + "\n"},
		{"raw dismissal", Raw.AppendDismissal([]byte("<"), "too many", delay, here), "<"},
		{"last line", Lines.AppendFarewell([]byte("<"), delay, here), `<{"id":"` + id + `","retry":1500}` + "\n"},

		{"raw opening", Raw.AppendOpening([]byte("<"), delay, here), "<"},
		{"raw cursor", Raw.AppendCursor([]byte("<"), here), "<"},
		{"raw heartbeat", Raw.AppendHeartbeat([]byte("<")), "<"},
		{"raw gap", Raw.AppendGap([]byte("<"), gap), "<"},
		{"raw farewell", Raw.AppendFarewell([]byte("<"), delay, here), "<"},
	} {
		if string(test.got) != test.want {
			t.Errorf("%s:\n got %q\nwant %q", test.name, test.got, test.want)
		}
	}
	if !EventStream.Tells() || !EventStreamEnvelope.Tells() || !Lines.Tells() || Raw.Tells() {
		t.Error("all forms tell of gaps, except the raw one")
	}
}

// "SSE gets an event: leat.gap first (what was asked, where reading goes on,
// why)."
func TestGap(t *testing.T) {
	topics := []GapTopic{{"a", leat.Offset{Epoch: 7, Seq: 40}}, {`q"`, leat.Offset{Epoch: 7, Seq: 41}}}
	for _, test := range []struct {
		name string
		gap  Gap
		want string // the data
	}{
		{"lost", Gap{Reason: "lost", Asked: "1_2", Next: here, Topics: topics}, `{"reason":"lost","asked":"1_2","next":"` + id + `"}`},
		{"foreign", Gap{Reason: "foreign", Asked: "", Next: here}, `{"reason":"foreign","asked":"","next":"` + id + `"}`},
		{"trimmed", Gap{Reason: ReasonTrimmed, Asked: "1_2", Next: here, Topics: topics, More: 3},
			`{"reason":"trimmed","asked":"1_2","next":"` + id + `","topics":[` +
				`{"topic":"a","through":"0000000000000007_0000000000000040"},{"topic":"q\"","through":"0000000000000007_0000000000000041"}],"more":3}`},
		{"replaced", Gap{Reason: ReasonReplaced, Asked: "1_2", Next: here, Topics: topics[:1]},
			`{"reason":"replaced","asked":"1_2","next":"` + id + `","topics":[{"topic":"a","through":"0000000000000007_0000000000000040"}],"more":0}`},
		{"only further topics", Gap{Reason: ReasonTrimmed, Next: here, More: 1},
			`{"reason":"trimmed","asked":"","next":"` + id + `","topics":[],"more":1}`},
		{"asked in other bytes", Gap{Reason: "foreign", Asked: "a\xffb\"\n\u00e9", Next: here},
			`{"reason":"foreign","asked":"a` + "\ufffd" + `b\"\né","next":"` + id + `"}`},
		{"asked at length", Gap{Reason: "foreign", Asked: strings.Repeat("é", 100), Next: here},
			`{"reason":"foreign","asked":"` + strings.Repeat("é", 64) + `","next":"` + id + `"}`},
		{"asked in the middle of a character", Gap{Reason: "foreign", Asked: "a" + strings.Repeat("é", 100), Next: here},
			`{"reason":"foreign","asked":"a` + strings.Repeat("é", 63) + "\ufffd" + `","next":"` + id + `"}`},
	} {
		want := "<id: " + id + "\nevent: leat.gap\ndata: " + test.want + "\n\n"
		if got := string(EventStream.AppendGap([]byte("<"), &test.gap)); got != want {
			t.Errorf("%s:\n got %q\nwant %q", test.name, got, want)
		}
		want = `<{"id":"` + id + `","gap":` + test.want + "}\n"
		if got := string(Lines.AppendGap([]byte("<"), &test.gap)); got != want {
			t.Errorf("%s, on a line:\n got %q\nwant %q", test.name, got, want)
		}
	}
	for _, reason := range []string{ReasonTrimmed, ReasonReplaced} {
		for _, form := range []Form{EventStream, Lines} {
			if got := form.AppendGap([]byte("<"), &Gap{Reason: reason, Next: here}); string(got) != "<" {
				t.Errorf("%s, of no topic: %q", reason, got)
			}
		}
	}
}

// "Private bytes (at most 4 KiB)", whatever the names are and whatever the
// reader came with. What is left out is counted.
func FuzzGapIsBounded(f *testing.F) {
	f.Add("a", "1_2", 16, 0)
	f.Add(strings.Repeat("x", leat.MaxName), strings.Repeat("y", 1000), 16, 5)
	f.Add(strings.Repeat(`"`, leat.MaxName), strings.Repeat("\x01", 1000), 16, 5)
	f.Add(strings.Repeat(`\`, 200), strings.Repeat("\xff\x00", 100), 1000, 1<<40)
	f.Add(strings.Repeat("é", 250), strings.Repeat("é", 64), 3, 1)
	f.Fuzz(func(t *testing.T, name, asked string, topics, more int) {
		if leat.CheckName(name) != nil || topics < 1 || topics > 1000 || more < 0 {
			return
		}
		gap := Gap{Reason: ReasonReplaced, Asked: asked, Next: here, More: more, Topics: slices.Repeat([]GapTopic{{name, here}}, topics)}
		block := EventStream.AppendGap(nil, &gap)
		line := Lines.AppendGap(nil, &gap)
		if len(line) > 4<<10 || !json.Valid(line) || bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Errorf("%d topics of %d bytes, asked %d bytes: the line %q", topics, len(name), len(asked), line)
		}
		if len(block) > 4<<10 || !utf8.Valid(block) {
			t.Errorf("%d topics of %d bytes, asked %d bytes: the block has %d bytes, valid %v", topics, len(name), len(asked), len(block), utf8.Valid(block))
		}
		d := sse.NewDecoder(bytes.NewReader(block), nil)
		ev, err := d.Next()
		if _, end := d.Next(); err != nil || end != io.EOF || ev.ID != here.String() || ev.Type != "leat.gap" {
			t.Fatalf("%q is read as %+v, errors %v, %v", block, ev, err, end)
		}
		var got struct {
			Reason, Asked string
			Next          leat.Offset
			Topics        []GapTopic
			More          int
		}
		if err := json.Unmarshal(ev.Data, &got); err != nil {
			t.Fatalf("%q: %v", ev.Data, err)
		}
		if got.Reason != ReasonReplaced || got.Next != here || len(got.Topics)+got.More != topics+more || len(got.Topics) == 0 {
			t.Errorf("%d topics and %d more became %d and %d", topics, more, len(got.Topics), got.More)
		}
		for _, topic := range got.Topics {
			if topic != gap.Topics[0] {
				t.Errorf("topic %+v, want %+v", topic, gap.Topics[0])
			}
		}
	})
}
