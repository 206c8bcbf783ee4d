package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/leat-dev/leat"
)

// A file is a resource that a foreign server has. Its answers break behind so
// many bytes as cuts says, one after the other; after that they are whole.
type file struct {
	content  string
	tag      string
	modified time.Time
	cuts     []int
	before   func(request int) // changes the file
	requests int
}

func (f *file) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.requests++
	if f.before != nil {
		f.before(f.requests)
	}
	if f.tag != "" {
		w.Header().Set("ETag", f.tag)
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	out := w
	if len(f.cuts) > 0 {
		out = &faultyWriter{ResponseWriter: w, left: f.cuts[0]}
		f.cuts = f.cuts[1:]
		defer panic(http.ErrAbortHandler)
	}
	http.ServeContent(out, r, "", f.modified, strings.NewReader(f.content))
}

// read opens what a handler serves, and reads it to its end.
func read(ctx context.Context, t *testing.T, h http.Handler, o OpenOptions) (string, *Body, error) {
	o.HTTP = newFakeServer(t, h).client
	b, err := Open(ctx, "http://leat.test/file", o)
	if err != nil {
		return "", nil, err
	}
	defer b.Close()
	got, err := io.ReadAll(b)
	return string(got), b, err
}

func TestOpenResumes(t *testing.T) {
	content := strings.Repeat("0123456789", 1000)
	old := time.Date(1999, 12, 31, 23, 0, 0, 0, time.UTC) // in a bubble it is 2000
	for name, tc := range map[string]struct {
		file *file
		code leat.Code
		got  int // bytes
	}{
		"whole":                   {&file{tag: `"1"`}, "", 10000},
		"cuts":                    {&file{tag: `"1"`, cuts: []int{1, 2000, 1, 5000}}, "", 10000},
		"cuts that bring nothing": {&file{tag: `"1"`, cuts: []int{0, 0, 7, 0, 0}}, "", 10000},
		"cut at the end":          {&file{tag: `"1"`, cuts: []int{9999, 1}}, "", 10000},
		"by its date":             {&file{modified: old, cuts: []int{2000, 2000}}, "", 10000},
		"weak tag":                {&file{tag: `W/"1"`, modified: old, cuts: []int{2000}}, CodeTruncated, 2000},
		"neither":                 {&file{cuts: []int{2000}}, CodeTruncated, 2000},
		"neither, before a byte":  {&file{cuts: []int{0, 0}}, "", 10000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tc.file.content = content
				var told notices
				last := int64(0)
				got, b, err := read(t.Context(), t, tc.file, OpenOptions{Notify: told.add, Progress: func(offset, size int64) {
					if offset <= last || size != 10000 {
						t.Errorf("progress to %d of %d after %d", offset, size, last)
					}
					last = offset
				}})
				if leat.CodeOf(err) != tc.code || got != content[:tc.got] {
					t.Errorf("got %d bytes, then %v", len(got), err)
				}
				if b.Offset() != int64(tc.got) || b.Size() != 10000 || last != int64(tc.got) {
					t.Errorf("at %d of %d, told %d", b.Offset(), b.Size(), last)
				}
				if c, w := len(told.of(Connected)), len(told.of(Waiting)); tc.code == "" && w != tc.file.requests-1 || c == 0 {
					t.Errorf("%d requests, waited %d times", tc.file.requests, w)
				}
			})
		})
	}
}

// A resource that has changed is not put together with what it was.
func TestOpenChanges(t *testing.T) {
	content := strings.Repeat("0123456789", 100)
	for name, change := range map[string]func(*file){
		"another tag":    func(f *file) { f.tag = `"2"` },
		"no tag":         func(f *file) { f.tag = "" },
		"shorter":        func(f *file) { f.tag, f.content = `"2"`, "short" },
		"gone":           func(f *file) { f.tag, f.content = `"2"`, "" },
		"another length": func(f *file) { f.content += "more" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &file{content: content, tag: `"1"`, cuts: []int{300}}
				f.before = func(request int) {
					if request == 2 {
						change(f)
					}
				}
				got, _, err := read(t.Context(), t, f, OpenOptions{})
				if leat.CodeOf(err) != CodeChanged || got != content[:300] || f.requests != 2 {
					t.Errorf("got %d bytes, then %v after %d requests", len(got), err, f.requests)
				}
			})
		})
	}
}

// What is there of an earlier time is gone on with, by what it was.
func TestOpenAtOffset(t *testing.T) {
	for name, tc := range map[string]struct {
		offset    int64
		validator string
		code      leat.Code
		want      string
	}{
		"in the middle":         {4, `"1"`, "", "456789"},
		"without a validator":   {4, "", "", "456789"},
		"at the end":            {10, `"1"`, "", ""},
		"at the end, unchecked": {10, "", "", ""},
		"behind the end":        {11, `"1"`, CodeChanged, ""},
		"of another state":      {4, `"0"`, CodeChanged, ""},
		"below 0":               {-1, "", leat.CodeInvalidParameter, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := &file{content: "0123456789", tag: `"1"`, cuts: []int{2}}
				got, b, err := read(t.Context(), t, f, OpenOptions{Offset: tc.offset, Validator: tc.validator})
				if leat.CodeOf(err) != tc.code || got != tc.want {
					t.Errorf("got %q, %v", got, err)
				}
				if err == nil && (b.Size() != 10 || b.Offset() != 10) {
					t.Errorf("at %d of %d", b.Offset(), b.Size())
				}
			})
		})
	}
}

// Servers that take no ranges, or answer with others.
func TestOpenOfOddServers(t *testing.T) {
	const content = "0123456789"
	// part answers a range with a Content-Range, whatever it is.
	part := func(contentRange, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Content-Range", contentRange)
			w.WriteHeader(206)
			io.WriteString(w, body)
		}
	}
	whole := func(tag, body string, announced int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", tag)
			w.Header().Set("Content-Length", strconv.Itoa(announced))
			io.WriteString(w, body)
			http.NewResponseController(w).Flush()
		}
	}
	cut := whole(`"1"`, content[:4], 10)
	for name, tc := range map[string]struct {
		steps []http.HandlerFunc
		code  leat.Code
		want  string
	}{
		"no ranges, the same":     {[]http.HandlerFunc{cut, cut, whole(`"1"`, content, 10)}, "", content},
		"no ranges, another":      {[]http.HandlerFunc{cut, whole(`"2"`, content, 10)}, CodeChanged, content[:4]},
		"another range":           {[]http.HandlerFunc{cut, part("bytes 3-9/10", content[3:])}, CodeAnswer, content[:4]},
		"no Content-Range":        {[]http.HandlerFunc{cut, part("", content[3:])}, CodeAnswer, content[:4]},
		"a strange Content-Range": {[]http.HandlerFunc{cut, part("bytes 4-x/10", content[4:])}, CodeAnswer, content[:4]},
		"a Content-Range of none": {[]http.HandlerFunc{cut, part("bytes */10", "")}, CodeAnswer, content[:4]},
		"no size":                 {[]http.HandlerFunc{cut, part("bytes 4-9/*", content[4:])}, "", content},
		"an end before the end":   {[]http.HandlerFunc{cut, part("bytes 4-5/10", content[4:6]), part("bytes 6-9/10", content[6:])}, "", content},
		"another tag": {[]http.HandlerFunc{cut, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"2"`)
			w.Header().Set("Content-Range", "bytes 4-9/10")
			w.WriteHeader(206)
			io.WriteString(w, content[4:])
		}}, CodeChanged, content[:4]},
		"a part unasked":       {[]http.HandlerFunc{part("bytes 0-9/10", content)}, CodeAnswer, ""},
		"416 without a length": {[]http.HandlerFunc{cut, status(416)}, CodeAnswer, content[:4]},
		"503 between":          {[]http.HandlerFunc{status(503, "Retry-After", "1"), cut, status(503), part("bytes 4-9/10", content[4:])}, "", content},
		"404":                  {[]http.HandlerFunc{status(404)}, leat.CodeNotFound, ""},
		"410 later":            {[]http.HandlerFunc{cut, problem(410, `{"code":"gap","detail":"gone"}`)}, leat.CodeGap, content[:4]},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{steps: tc.steps}
				got, _, err := read(t.Context(), t, s, OpenOptions{})
				if leat.CodeOf(err) != tc.code || got != tc.want || s.requests() != len(tc.steps) {
					t.Errorf("got %q, %v in %d requests", got, err, s.requests())
				}
			})
		})
	}
}

// The request asks for the bytes as they are, and for what is missing.
func TestOpenRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &file{content: "0123456789", tag: `"1"`, cuts: []int{4}}
		s := &script{steps: []http.HandlerFunc{f.ServeHTTP}}
		attempts := 0
		o := OpenOptions{Header: http.Header{"X-Mine": {"yes"}}, Prepare: func(r *http.Request) error {
			attempts++
			r.Header.Set("Authorization", fmt.Sprint("token ", attempts))
			return nil
		}}
		if got, _, err := read(t.Context(), t, s, o); got != "0123456789" || err != nil {
			t.Fatalf("got %q, %v", got, err)
		}
		for n, want := range []map[string]string{
			{"Accept-Encoding": "identity", "X-Mine": "yes", "Range": "", "If-Range": "", "Authorization": "token 1"},
			{"Accept-Encoding": "identity", "X-Mine": "yes", "Range": "bytes=4-", "If-Range": `"1"`, "Authorization": "token 2"},
		} {
			for name, value := range want {
				if got := s.header(n, name); got != value {
					t.Errorf("request %d has %s: %q, want %q", n, name, got, value)
				}
			}
		}
	})
	synctest.Test(t, func(t *testing.T) {
		o := OpenOptions{Prepare: func(*http.Request) error { return errBroken }}
		if _, _, err := read(t.Context(), t, status(200), o); err != errBroken {
			t.Errorf("got %v", err)
		}
	})
}

// Silence is a cut: in the body, and before the head.
func TestOpenStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		half := func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("ETag", `"1"`)
			w.Header().Set("Content-Length", "10")
			io.WriteString(w, "0123")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
		f := &file{content: "0123456789", tag: `"1"`}
		s := &script{steps: []http.HandlerFunc{silent, half, f.ServeHTTP}}
		if got, _, err := read(t.Context(), t, s, OpenOptions{Stall: 5 * time.Second}); got != "0123456789" || err != nil {
			t.Errorf("got %q, %v", got, err)
		}
		for n := range 2 {
			if gap := s.gap(n); gap < 5*time.Second || gap > 8*time.Second {
				t.Errorf("asked again after %v", gap)
			}
		}
	})
}

func TestOpenAndContext(t *testing.T) {
	for name, step := range map[string]http.HandlerFunc{
		"while reading": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "0123")
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		},
		"while waiting": status(503, "Retry-After", "1000"),
		"before":        silent,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
				defer cancel()
				began := time.Now()
				if _, _, err := read(ctx, t, step, OpenOptions{Stall: -1}); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) < 20*time.Second || time.Since(began) > 22*time.Second {
					t.Errorf("got %v after %v", err, time.Since(began))
				}
			})
		})
	}
}

// Close ends a Read of another goroutine, and FailFast the attempts.
func TestOpenCloseAndFailFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := newFakeServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}))
		b, err := Open(t.Context(), anyURL, OpenOptions{HTTP: f.client})
		if err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Second, func() { b.Close() })
		if n, err := b.Read(make([]byte, 1)); n != 0 || !errors.Is(err, context.Canceled) {
			t.Errorf("got %d, %v", n, err)
		}
		f.setDown(errRefused)
		if _, err := Open(t.Context(), anyURL, OpenOptions{HTTP: f.client, FailFast: true}); leat.CodeOf(err) != leat.CodeUnavailable {
			t.Errorf("got %v", err)
		}
		if _, err := Open(t.Context(), "::", OpenOptions{}); leat.CodeOf(err) != leat.CodeInvalidParameter {
			t.Errorf("got %v", err)
		}
	})
}

func TestContentRange(t *testing.T) {
	for value, want := range map[string]string{
		"bytes 3-5/9":                   "3 5 9 true",
		"bytes 3-5/*":                   "3 5 -1 true",
		"bytes */9":                     "-1 -1 9 true",
		"bytes 5-4/*":                   "5 4 -1 true",
		"bytes 5-3/9":                   "false",
		"bytes 3-/9":                    "false",
		"bytes -3-5/9":                  "false",
		"bytes 3-5/9223372036854775808": "false",
		"bytes 3-5":                     "false",
		"items 3-5/9":                   "false",
		"":                              "false",
	} {
		first, last, size, ok := parseContentRange(value)
		got := "false"
		if ok {
			got = fmt.Sprint(first, last, size, ok)
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", value, got, want)
		}
	}
}

func TestStructuredStrings(t *testing.T) {
	for _, s := range []string{"", "plain", `with "quotes" and \`, "grüße", "100 %", "a\nb", "100 % \"ü\""} {
		h := http.Header{"Leat-End": {endHeader(leat.EndError, s)}}
		if e := endOf(h); e.State != leat.EndError || e.Reason != s {
			t.Errorf("%q became %s and %+v", s, h.Get("Leat-End"), e)
		}
	}
	for _, value := range []string{"", "complete", "complete; reason=\"x\""} {
		if e := endOf(http.Header{"Leat-End": {value}}); e != nil {
			t.Errorf("%q: %+v", value, e)
		}
	}
	for value, want := range map[string]string{
		"aborted": "aborted|", `error; reason="disk full"`: "error|disk full", `error;reason="a \"b\" \\c"`: `error|a "b" \c`,
		`error; reason=%"gr%c3%bc%c3%9fe"`: "error|grüße", `error; reason=x`: "error|", `error; reason="x`: "error|",
		`error; reason=%"%zz"`: "error|", `error;reason=%"%ff"`: "error|\uFFFD",
	} {
		e := endOf(http.Header{"Leat-End": {value}})
		if got := string(e.State) + "|" + e.Reason; got != want {
			t.Errorf("%s is %s, want %s", value, got, want)
		}
	}
}
