package examples

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/leat-dev/leat/client"
)

func TestPrices(t *testing.T) {
	t.Parallel()
	s := serve(t, "prices", "-every", "50ms")
	var want strings.Builder
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	c := client.Client{URL: s.url}
	n := 0
	for event, err := range c.Subscribe(ctx, client.Query{Topics: []string{"prices/*"}, From: "start"}, client.SubscribeOptions{}) {
		var price struct {
			Symbol string
			Price  float64
		}
		if err == nil {
			err = json.Unmarshal(event.Data, &price)
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&want, "%s %.2f\n", price.Symbol, price.Price)
		if n++; n == 6 {
			break
		}
	}
	if !strings.HasPrefix(want.String(), "LEAT ") {
		t.Errorf("the prices are %q", &want)
	}
	same(t, s.clients(t, "6"), 0, want.String())

	page := s.visit(t, "/")
	page.has("tbody tr", 3)
	page.until(`[...document.querySelectorAll('polyline')].every(e => e.getAttribute('points').split(' ').length > 3)`)
	id, price, _ := strings.Cut(page.eval(`(tr => tr.dataset.id + ' ' + tr.cells[1].textContent)(document.querySelector('[data-symbol=WEIR]'))`), " ")
	_, text := s.send(t, "GET", "/events?topic=prices/WEIR&from=start&as=json", "")
	if want := fmt.Sprintf(`"id":%q,`, id); !strings.Contains(text, want) || !strings.Contains(text[strings.Index(text, want):], `"price":`+price+"}") {
		t.Errorf("the page shows the price %s of %s, which is not in %s", price, id, text)
	}
	// Only the program publishes.
	if resp, _ := s.send(t, "POST", "/events?topic=prices/LEAT", `{}`); resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("publishing from outside: status %d, want 405", resp.StatusCode)
	}
}

func TestLogTail(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.log")
	write := func(text string) {
		t.Helper()
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err == nil {
			_, err = f.WriteString(text)
			err = firstError(err, f.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	write("one\ntwo ERROR\r\nthr")
	s := serve(t, "logtail", "-file", path)
	clients := s.clients(t, "5")
	page := s.visit(t, "/")
	page.has("#out div", 2) // not the one that has not ended
	write("ee\xff\n")
	page.has("#out div", 3)
	if err := os.Rename(path, path+".1"); err != nil { // as logrotate does
		t.Fatal(err)
	}
	write("four\n")
	page.has("#out div", 4)
	if err := os.Truncate(path, 0); err != nil { // as logrotate does with copytruncate
		t.Fatal(err)
	}
	write("5\n")
	page.has("#out div", 5)
	want := []string{"one", "two ERROR", "three\uFFFD", "four", "5"}
	if got := page.lines("#out div"); !slices.Equal(got, want) {
		t.Errorf("the page shows %q, want %q", got, want)
	}
	if got := page.lines("#out div.error"); !slices.Equal(got, want[1:2]) {
		t.Errorf("marked as errors are %q", got)
	}
	page.eval(`document.querySelector('#filter').value = 't', document.querySelector('#filter').oninput()`)
	if got := page.lines("#out div:not([hidden])"); !slices.Equal(got, want[1:3]) {
		t.Errorf("the lines with a t are %q", got)
	}
	same(t, clients, 0, strings.Join(want, "\n")+"\n")
	if _, text := s.send(t, "GET", "/streams/log", ""); text != strings.Join(want, "") {
		t.Errorf("as bytes the log is %q", text)
	}
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestJob(t *testing.T) {
	t.Parallel()
	s := serve(t, "job", "-every", "5ms")
	steps := []string{"1/10 unpack", "2/10 read", "3/10 check", "4/10 sort", "5/10 index", "6/10 link", "7/10 compress", "8/10 sign", "9/10 copy", "10/10 tidy up"}
	t.Run("Go", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
		defer cancel()
		resp, _ := s.send(t, "POST", "/jobs?fail=2", "")
		var got []string
		for event, err := range client.Subscribe(ctx, s.url+resp.Header.Get("Location"), client.SubscribeOptions{}) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(event.Data))
		}
		job := strings.TrimPrefix(resp.Header.Get("Location"), "/streams/")
		want := []string{`{"done":1,"of":10,"step":"unpack"}`, `{"topic":"` + job + `","state":"error","reason":"cannot read"}`}
		if resp.StatusCode != http.StatusAccepted || !slices.Equal(got, want) {
			t.Errorf("status %d, then %q, want 202 and %q", resp.StatusCode, got, want)
		}
	})
	t.Run("clients", func(t *testing.T) {
		t.Parallel()
		same(t, s.clients(t), 0, strings.Join(steps, "\n")+"\ncomplete \n")
		same(t, s.clients(t, "3"), 1, "1/10 unpack\n2/10 read\nerror cannot check\n")
	})
	t.Run("page", func(t *testing.T) {
		t.Parallel()
		page := s.visit(t, "/")
		state := func(want string) {
			t.Helper()
			page.until(fmt.Sprintf(`document.querySelector('#state').textContent === %q`, want))
		}
		page.click("#start")
		state("complete")
		page.reload()
		state("complete")
		if got := page.lines("#out li"); !slices.Equal(got, steps) {
			t.Errorf("after a reload the page shows %q, want %q", got, steps)
		}
		page.click("#bad")
		state("error: cannot compress")
	})
	t.Run("cancel", func(t *testing.T) {
		t.Parallel()
		page := serve(t, "job", "-every", "10m").visit(t, "/")
		page.click("#start")
		page.until(`document.querySelector('#state').textContent === 'running'`)
		page.click("#cancel")
		page.until(`document.querySelector('#state').textContent === 'aborted'`)
	})
}

func TestTokens(t *testing.T) {
	t.Parallel()
	const question = "What is a leat?"
	answer := func(t *testing.T, s *site) string {
		t.Helper()
		resp, _ := s.send(t, "POST", "/answers", question)
		_, text := s.send(t, "GET", resp.Header.Get("Location")+"?follow=1", "")
		if len(strings.Fields(text)) < 20 {
			t.Errorf("the answer is %q", text)
		}
		return text
	}
	t.Run("clients", func(t *testing.T) {
		t.Parallel()
		s := serve(t, "tokens", "-every", "1ms")
		same(t, s.clients(t, question), 0, answer(t, s)+"\n(complete)\n")
	})
	t.Run("page", func(t *testing.T) {
		t.Parallel()
		s := serve(t, "tokens", "-every", "30ms")
		page := s.visit(t, "/")
		page.click("form button")
		page.until(`document.querySelector('#out').textContent.split(' ').length > 3`)
		page.reload() // in the middle of a sentence
		page.until(`document.querySelector('#state').textContent === 'complete'`)
		if got, want := page.eval(`document.querySelector('#out').textContent`), answer(t, s); got != want {
			t.Errorf("the page shows %q, want %q", got, want)
		}
	})
	t.Run("stop", func(t *testing.T) {
		t.Parallel()
		s := serve(t, "tokens", "-every", "10m")
		page := s.visit(t, "/")
		page.click("form button")
		page.until(`document.querySelector('#out').textContent !== ''`) // the first token is there before the second is made
		page.click("#stop")
		page.until(`document.querySelector('#state').textContent === 'aborted'`)
	})
}

func TestSearch(t *testing.T) {
	t.Parallel()
	s := serve(t, "search", "-every", "1ms")
	results := func(query string) (lines []string) {
		for code := range 600 {
			if text := http.StatusText(code); text != "" && strings.Contains(strings.ToLower(text), query) {
				lines = append(lines, fmt.Sprint(code, " ", text))
			}
		}
		return lines
	}
	not := results("not")
	t.Run("clients", func(t *testing.T) {
		t.Parallel()
		same(t, s.clients(t, "Not"), 0, fmt.Sprintf("%s\n%d found\n", strings.Join(not, "\n"), len(not)))
		same(t, s.clients(t, "no such thing"), 0, "0 found\n")
	})
	t.Run("it is one JSON document", func(t *testing.T) {
		t.Parallel()
		_, text := s.send(t, "GET", "/search?q=not", "")
		var all []struct{ Code int }
		if err := json.Unmarshal([]byte(text), &all); err != nil || len(all) != len(not) {
			t.Errorf("%d results, %v", len(all), err)
		}
	})
	t.Run("page", func(t *testing.T) {
		t.Parallel()
		page := s.visit(t, "/")
		// Who types on gives the search before up.
		page.eval(`(input => { for (const text of ['n', 'no', 'not']) { input.value = text; input.oninput() } })(document.querySelector('input'))`)
		page.until(fmt.Sprintf(`document.querySelector('#result').textContent === '%d found'`, len(not)))
		if got := page.lines("#out li"); !slices.Equal(got, not) {
			t.Errorf("the page shows %q, want %q", got, not)
		}
	})
	t.Run("a result is there before the next is found", func(t *testing.T) {
		t.Parallel()
		slow := serve(t, "search", "-every", "100ms")
		body := slow.open(t, "GET", "/search?q=", "").Body
		const first = "[\n" + `{"code":100,"text":"Continue"}`
		got := make([]byte, len(first))
		if _, err := io.ReadFull(body, got); string(got) != first {
			t.Errorf("first come %q, %v", got, err)
		}
		body.Close()
	})
}

func TestDownload(t *testing.T) {
	t.Parallel()
	const size = 4 << 20
	_, file := serve(t, "download", "-size", fmt.Sprint(size)).send(t, "GET", "/streams/file.bin", "")
	if len(file) != size {
		t.Fatalf("the file has %d bytes, want %d", len(file), size)
	}
	hash := fmt.Sprintf("%x", sha256.Sum256([]byte(file)))
	s := serve(t, "download", "-size", fmt.Sprint(size), "-cut", fmt.Sprint(1<<20))
	t.Run("clients", func(t *testing.T) {
		t.Parallel()
		for _, r := range s.clients(t) {
			if got := r.line(t); got != hash {
				t.Errorf("%s has a file of hash %s, want %s", r.what, got, hash)
			}
			var bytes, times int
			line := r.line(t)
			if _, err := fmt.Sscanf(line, "%d bytes, resumed %d times", &bytes, &times); err != nil || bytes != size || times < 3 {
				t.Errorf("%s says %q, want %d bytes and at least 3 times", r.what, line, size)
			}
		}
	})
	t.Run("page", func(t *testing.T) {
		t.Parallel()
		page := s.visit(t, "/")
		page.click("#go")
		page.until(`document.querySelector('progress').value > 0`)
		page.click("#pause")
		page.until(`/^(paused|complete)/.test(document.querySelector('#state').textContent)`)
		if strings.HasPrefix(page.eval(`document.querySelector('#state').textContent`), "paused") {
			page.click("#go")
		}
		page.until(`document.querySelector('#result').textContent !== ''`)
		if got := page.eval(`document.querySelector('#result').textContent`); got != hash {
			t.Errorf("the page has a file of hash %s, want %s", got, hash)
		}
		page.until(fmt.Sprintf(`/^complete: %d bytes, resumed [1-9]/.test(document.querySelector('#state').textContent)`, size))
	})
}

func TestAudio(t *testing.T) {
	t.Parallel()
	s := serve(t, "audio", "-source", "tone", "-length", "1500ms")
	t.Run("clients", func(t *testing.T) {
		t.Parallel()
		same(t, s.clients(t), 0, fmt.Sprintln(44+1500*32))
	})
	t.Run("sound is there before the recording is over", func(t *testing.T) {
		t.Parallel()
		long := serve(t, "audio", "-source", "tone", "-length", "1h")
		resp, _ := long.send(t, "POST", "/recordings", "")
		sound := long.open(t, "GET", resp.Header.Get("Location")+"?follow=1", "").Body
		head := make([]byte, 44+1600)
		if _, err := io.ReadFull(sound, head); err != nil || string(head[:4]) != "RIFF" || string(head[8:16]) != "WAVEfmt " {
			t.Errorf("it begins with %q, %v", head[:44], err)
		}
		sound.Close()
	})
	t.Run("page", func(t *testing.T) {
		t.Parallel()
		page := s.visit(t, "/")
		page.click("button")
		page.until(`document.querySelector('#state').textContent === 'playing'`)
		page.until(`document.querySelector('#state').textContent === 'over after 1.5 s'`)
	})
}

func TestPresence(t *testing.T) {
	t.Parallel()
	s := serve(t, "presence", "-every", "300ms")
	page := s.visit(t, "/?name=page")
	clients := s.clients(t)
	node, python := clients[0], clients[1]
	if node.what != "presence/client.mjs" {
		t.Fatalf("the first client is %s", node.what)
	}
	// Their names are those of the languages.
	here := func(r *reader, want string) {
		t.Helper()
		for line := ""; line != "here: "+want; {
			line = r.line(t)
		}
	}
	here(node, "node, page, python")
	if _, text := s.send(t, "GET", "/events?topic=here&from=-1&as=json", ""); !strings.Contains(text, `"data":{"here":[`) {
		t.Errorf("the newest list is not there: %s", text)
	}
	page.until(`document.querySelector('#out').children.length === 3`)
	if err := node.cmd.Process.Kill(); err != nil { // it says nothing
		t.Fatal(err)
	}
	here(python, "page, python")
	page.until(`document.querySelector('#out').children.length === 2`)
	page.close()
	here(python, "python")
}

// The same page, the same clients and the same accident, before and after.
func TestMigrate(t *testing.T) {
	t.Parallel()
	for name, want := range map[string][]string{
		"before": {"one", "three"}, // "two" was lost, and nobody has heard of it
		"after":  {"one", "two", "three"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, name)
			s.name = "migrate"
			tapped, tap := s.tap(t)
			order := func(text string) {
				t.Helper()
				s.send(t, "POST", "/orders", text)
			}
			clients := tapped.clients(t, fmt.Sprint(len(want)))
			page := tapped.visit(t, "/")
			tap.answered(t, "/stream", 3)
			order("one")
			page.has("#out li", 1)
			open := tap.cut()
			order("two")
			open()
			tap.answered(t, "/stream", 6)
			order("three")
			page.has("#out li", len(want))
			if got := page.lines("#out li"); !slices.Equal(got, want) {
				t.Errorf("the page shows %q, want %q", got, want)
			}
			same(t, clients, 0, strings.Join(want, "\n")+"\n")
		})
	}
}
