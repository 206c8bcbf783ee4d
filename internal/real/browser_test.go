//go:build linux && !race

package real

import (
	"bytes"
	"embed"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

//go:embed testdata
var testdata embed.FS

// A report is what a page says has happened.
type report struct {
	What string

	Text, ID                       string
	Duration, Seekable, From, Time float64
}

// A browser is a headless Chromium that shows a page of testdata. The page is of
// another origin than the server.
type browser struct {
	server  *leat
	wire    *wire
	pages   *httptest.Server
	reports chan report
}

// newBrowser makes all but the process, which begins with open.
func newBrowser(t *testing.T) *browser {
	t.Helper()
	program(t, "chromium", "chromium")
	files, err := fs.Sub(testdata, "testdata")
	if err != nil {
		t.Fatal(err)
	}
	b := &browser{reports: make(chan report)}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("POST /report", func(w http.ResponseWriter, r *http.Request) {
		var what report
		if err := json.NewDecoder(r.Body).Decode(&what); err != nil {
			t.Error(err)
		}
		select {
		case b.reports <- what:
		case <-t.Context().Done():
		}
	})
	b.pages = httptest.NewServer(mux)
	t.Cleanup(b.pages.Close)
	b.server = serve(t, "--cors-origin", b.pages.URL)
	b.wire = tap(t, b.server)
	return b
}

// open shows a page. Its script finds the server, behind the wire, in the variable
// leat.
func (b *browser) open(t *testing.T, page string, query url.Values) {
	t.Helper()
	query.Set("leat", b.wire.URL)
	cmd := exec.Command(program(t, "chromium", "chromium"),
		"--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync",
		"--autoplay-policy=no-user-gesture-required", "--mute-audio", "--user-data-dir="+t.TempDir(),
		b.pages.URL+"/"+page+"?"+query.Encode())
	cmd.Stderr = io.Discard // it complains of what a server does not have, such as a desktop
	start(t, cmd)
}

// expect waits for the next report, which has to be of that.
func (b *browser) expect(t *testing.T, what string) report {
	t.Helper()
	select {
	case got := <-b.reports:
		if got.What != what {
			t.Fatalf("the page reports %+v, want %s; requests: %s", got, what, b.wire)
		}
		return got
	case <-time.After(patience):
		t.Fatalf("the page does not report %s; requests: %s", what, b.wire)
		return report{}
	}
}

// A wire passes requests on to a server and notes them.
type wire struct {
	*httptest.Server

	mu    sync.Mutex
	calls []call
}

// A call is a request and the beginning of its answer.
type call struct {
	target, ranges, lastEventID string
	status                      int
	contentRange                string
}

func (c call) String() string {
	return fmt.Sprintf("%s Range: %s, Last-Event-ID: %s: %d %s", c.target, c.ranges, c.lastEventID, c.status, c.contentRange)
}

func tap(t *testing.T, s *leat) *wire {
	t.Helper()
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		ModifyResponse: func(resp *http.Response) error {
			w.mu.Lock()
			defer w.mu.Unlock()
			h := resp.Request.Header
			w.calls = append(w.calls, call{resp.Request.URL.RequestURI(), h.Get("Range"), h.Get("Last-Event-ID"), resp.StatusCode, resp.Header.Get("Content-Range")})
			return nil
		},
		FlushInterval: -1,
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) {}, // the browser has gone, as it does when it seeks
	}
	w.Server = httptest.NewServer(proxy)
	// A handler that waits for the next event would not end by itself.
	t.Cleanup(func() { w.CloseClientConnections(); w.Close() })
	return w
}

// seen returns the requests so far.
func (w *wire) seen() []call {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

func (w *wire) String() string {
	var text strings.Builder
	for _, c := range w.seen() {
		fmt.Fprintf(&text, "\n\t%s", c)
	}
	return text.String()
}

// tone is a WAV file of some seconds: two channels of 16 bits, 44.1 kHz.
func tone(seconds int) []byte {
	const rate, frame = 44100, 4
	size := uint32(seconds * rate * frame)
	var b bytes.Buffer
	b.WriteString("RIFF")
	field := func(v any) { _ = binary.Write(&b, binary.LittleEndian, v) } // a buffer takes all
	field(36 + size)
	b.WriteString("WAVEfmt ")
	field(uint32(16))     // bytes of this chunk
	field([]uint16{1, 2}) // PCM, channels
	field([]uint32{rate, rate * frame})
	field([]uint16{frame, 16})
	b.WriteString("data")
	field(size)
	wave := make([]byte, rate*frame) // a second of 441 Hz
	for i := range rate {
		v := uint16(int16((i%100 - 50) * 300))
		binary.LittleEndian.PutUint16(wave[i*frame:], v)
		binary.LittleEndian.PutUint16(wave[i*frame+2:], v)
	}
	for range seconds {
		b.Write(wave)
	}
	return b.Bytes()
}

// "A finished stream seeks in a browser's <video>": forward, back, to its end, by
// ranges, without the whole of it having been sent.
func TestFinishedStreamSeeksInVideo(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	const name, seconds = "media/tone.wav", 600
	media := tone(seconds) // 100 MiB, more than a browser reads ahead
	b.server.put(t, name, "audio/wav")
	request(t, "POST", b.server.url+"/streams/"+name+"?append=stream",
		http.Header{"Content-Type": {"audio/wav"}, "Stream-Closed": {"true"}}, bytes.NewReader(media))
	b.open(t, "video.html", url.Values{})

	if got := b.expect(t, "ready"); got.Duration != seconds || got.Seekable != seconds {
		t.Errorf("the video has %v seconds of which %v can be sought, want %d", got.Duration, got.Seekable, seconds)
	}
	for _, want := range []float64{0.9 * seconds, 0.5 * seconds} {
		if got := b.expect(t, "seeked"); got.Time != want {
			t.Errorf("it is at %v, want %v", got.Time, want)
		}
		if got := b.expect(t, "played"); got.From != want || got.Time < want+0.2 || got.Time > want+30 {
			t.Errorf("it played from %v to %v, want from %v", got.From, got.Time, want)
		}
	}
	if got := b.expect(t, "ended"); got.Time != seconds {
		t.Errorf("it ended at %v, want %d", got.Time, seconds)
	}
	t.Log("requests:", b.wire)
	far, size := false, int64(len(media))
	for _, c := range b.wire.seen() {
		// Chromium asks for all that follows, or up to what it has already.
		var from, to int64
		switch n, _ := fmt.Sscanf(c.ranges, "bytes=%d-%d", &from, &to); n {
		case 0:
			t.Errorf("a request without a range: %s", c)
		case 1:
			to = size - 1
		}
		if want := fmt.Sprintf("bytes %d-%d/%d", from, to, size); c.status != 206 || c.contentRange != want {
			t.Errorf("%s, want 206 %s", c, want)
		}
		far = far || from > size*85/100 && from < size*91/100
	}
	if !far {
		t.Error("no request was for bytes near those that were sought")
	}
}

// A native EventSource gets each event before the next is published, is told the
// end, comes back once with it, is answered 204, and stops for good.
func TestEventSourceIsToldTheEndAndStops(t *testing.T) {
	t.Parallel()
	for what, test := range map[string]struct{ path, first string }{
		"streams": {"/streams/news", "0"},      // from its beginning
		"events":  {"/events?topic=news", "1"}, // from now on
		"start":   {"/events?topic=news&from=start", "0"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			b := newBrowser(t)
			b.server.put(t, "news", "text/plain")
			b.server.append(t, "news", "text/plain", "0")
			b.open(t, "events.html", url.Values{"path": {test.path}})
			b.expect(t, "open")
			if test.first == "0" {
				if got := b.expect(t, "message"); got.Text != "0" {
					t.Errorf("the first event is %q", got.Text)
				}
			}
			for _, text := range []string{"1", "2", "3"} {
				b.server.append(t, "news", "text/plain", text)
				if got := b.expect(t, "message"); got.Text != text {
					t.Errorf("the event is %q, want %q", got.Text, text)
				}
			}
			b.server.end(t, "news", "error")
			end := b.expect(t, "end")
			if want := `{"topic":"news","state":"error"}`; end.Text != want {
				t.Errorf("the end is %s, want %s", end.Text, want)
			}
			b.expect(t, "reconnecting")
			b.expect(t, "closed")
			calls := b.wire.seen()
			if len(calls) != 2 || calls[0].status != 200 || calls[1].status != 204 || calls[1].lastEventID != end.ID {
				t.Errorf("requests: %s\nwant one that is answered 200 and one, with the id of the end, that is answered 204", b.wire)
			}
		})
	}
}

// A page that reads NDJSON with fetch has line 1 before line 2 is sent.
func TestFetchReadsLinesAsTheyCome(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	b.server.put(t, "lines", "application/json")
	b.open(t, "lines.html", url.Values{})
	b.expect(t, "line") // where it starts
	for n := range 3 {
		b.server.append(t, "lines", "application/json", fmt.Sprintf(`{"n":%d}`, n))
		if got := b.expect(t, "line"); !strings.Contains(got.Text, fmt.Sprintf(`"data":{"n":%d}`, n)) {
			t.Errorf("the line of record %d is %s", n, got.Text)
		}
	}
	b.server.end(t, "lines", "")
	if got := b.expect(t, "line"); !strings.Contains(got.Text, `"end":{"topic":"lines","state":"complete"}`) {
		t.Errorf("the line of the end is %s", got.Text)
	}
	if got := b.expect(t, "done"); got.Text != "" {
		t.Errorf("half a line was left: %q", got.Text)
	}
}
