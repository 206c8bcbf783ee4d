package examples

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestNDJSON(t *testing.T) {
	t.Parallel()
	s := serve(t, "ndjson", "-every", "5ms")
	const want = "1 Ada\n2 Grace\n3 Barbara\n4 Radia\n5 Frances\nall 5 rows\n"
	t.Run("clients", func(t *testing.T) {
		t.Parallel()
		same(t, s.clients(t), 0, want)
	})
	t.Run("clients notice a cut", func(t *testing.T) {
		t.Parallel()
		for _, r := range s.clients(t, "5", "2") {
			brokenOff(t, r.what, r.rest(t), 2)
		}
	})
	t.Run("an error has a status", func(t *testing.T) {
		t.Parallel()
		if resp, _ := s.send(t, "GET", "/rows?n=many", ""); resp.StatusCode != 400 {
			t.Errorf("status %d, want 400", resp.StatusCode)
		}
	})
	t.Run("each line is there before the next is made", func(t *testing.T) {
		t.Parallel()
		slow := serve(t, "ndjson", "-every", "10m")
		resp := slow.open(t, "GET", "/rows?n=2", "")
		if line, err := bufio.NewReader(resp.Body).ReadString('\n'); line != "{\"row\":1,\"name\":\"Ada\"}\n" {
			t.Errorf("the first line is %q, %v", line, err)
		}
	})
	t.Run("page", func(t *testing.T) {
		t.Parallel()
		page := s.visit(t, "/")
		show := func(n, cut string) string {
			t.Helper()
			page.fill("[name=n]", n)
			page.fill("[name=cut]", cut)
			page.eval(`document.querySelector('#result').textContent = ''`)
			page.click("form button")
			page.until(`!['', 'reading'].includes(document.querySelector('#result').textContent)`)
			return strings.Join(append(page.lines("#out li"), page.eval(`document.querySelector('#result').textContent`)), "\n") + "\n"
		}
		if got := show("5", ""); got != want {
			t.Errorf("the page shows\n%s\nwant\n%s", got, want)
		}
		brokenOff(t, "the page", show("5", "3"), 3)
		page.fill("[name=n]", "1000")
		page.fill("[name=cut]", "")
		page.click("form button")
		page.until(`document.querySelectorAll('#out li').length > 4`)
		page.click("#stop")
		page.until(`document.querySelector('#result').textContent.startsWith('stopped after')`)
	})
}

// brokenOff fails unless who has read rows says that they are not all. Those that
// came just before the break may be thrown away with it by the system or by fetch.
func brokenOff(t *testing.T, who, got string, most int) {
	t.Helper()
	var rows int
	lines := strings.Split(strings.TrimSpace(got), "\n")
	last := lines[len(lines)-1]
	if n, _ := fmt.Sscanf(last, "broken off after %d rows", &rows); n != 1 || rows > most || rows != len(lines)-1 {
		t.Errorf("%s shows\n%s\nwant that it was broken off after at most %d rows", who, got, most)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	s := serve(t, "text", "-every", "1ms")
	poem, err := os.ReadFile("text/poem.txt")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("clients", func(t *testing.T) {
		t.Parallel()
		same(t, s.clients(t), 0, string(poem))
	})
	t.Run("pieces end inside characters", func(t *testing.T) {
		t.Parallel()
		inside := 0
		for end := 7; end < len(poem); end += 7 {
			if !utf8.RuneStart(poem[end]) {
				inside++
			}
		}
		if inside < 5 {
			t.Errorf("only %d pieces end inside a character", inside)
		}
		resp := serve(t, "text", "-every", "10m").open(t, "GET", "/poem", "")
		piece := make([]byte, 7)
		if _, err := io.ReadFull(resp.Body, piece); err != nil || string(piece) != string(poem[:7]) {
			t.Errorf("the first piece is %q, %v", piece, err)
		}
	})
	t.Run("page", func(t *testing.T) {
		t.Parallel()
		page := s.visit(t, "/")
		page.until(`document.querySelector('#result').textContent === 'complete'`)
		if got := page.eval(`document.querySelector('#out').textContent`); got != string(poem) {
			t.Errorf("the page shows %q", got)
		}
	})
}

func TestNotifications(t *testing.T) {
	t.Parallel()
	s := serve(t, "notifications", "-heartbeat", "50ms")
	clients := s.clients(t)
	page := s.visit(t, "/")
	page.until(`document.querySelector('#state').textContent === 'connected'`)
	page.fill("[name=text]", "one <b>thing</b>")
	page.click("form button")
	page.has("#out li", 1)
	s.send(t, "POST", "/notifications?kind=order", "two\nlines")
	page.has("#out li", 2)

	resp := s.open(t, "GET", "/notifications", "", "Last-Event-ID", "1")
	in := bufio.NewReader(resp.Body)
	var got []string
	for !slices.Contains(got, ":") { // a heartbeat, which comes when there is nothing else
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "retry: 1") && line != "" {
			got = append(got, line)
		}
	}
	if want := []string{": welcome", "id: 2", "event: order", "data: two", "data: lines", ":"}; !slices.Equal(got, want) {
		t.Errorf("after event 1 come %q, want %q", got, want)
	}
	if resp, _ := s.send(t, "POST", "/notifications?kind=a%0Adata:+forged", "x"); resp.StatusCode != 400 {
		t.Errorf("a kind with a line end: status %d, want 400", resp.StatusCode)
	}

	s.send(t, "DELETE", "/notifications", "")
	page.has("#out li", 3)
	page.until(`document.querySelector('#state').textContent === 'closed'`) // the browser came back and was answered 204
	if got, want := page.lines("#out li"), []string{"1 mail one <b>thing</b>", "2 order two", "lines", "3 close no more today"}; !slices.Equal(got, want) {
		t.Errorf("the page shows %q, want %q", got, want)
	}
	same(t, clients, 0, "1 mail one <b>thing</b>\n2 order two\nlines\n3 close no more today\n")
	if resp, _ := s.send(t, "GET", "/notifications", "", "Last-Event-ID", "3"); resp.StatusCode != http.StatusNoContent {
		t.Errorf("after the end: status %d, want 204", resp.StatusCode)
	}
}

func TestLongPolling(t *testing.T) {
	t.Parallel()
	s := serve(t, "longpoll")
	write := func(text string) {
		t.Helper()
		s.send(t, "POST", "/events?topic=wall", text, "Content-Type", "text/plain")
	}
	page := s.visit(t, "/")
	page.until(`document.querySelector('#state').textContent === 'events'`)
	write("one")
	page.has("#out li", 1)
	clients := s.clients(t, "4") // they poll
	page.click("#change")        // and now the page does too
	page.until(`document.querySelector('#state').textContent === 'polling' || document.querySelector('#change').disabled`)
	write("two")
	page.has("#out li", 2)
	page.fill("[name=text]", "three")
	page.click("form button")
	page.has("#out li", 3)
	old := s.visit(t, "/?poll")
	old.has("#out li", 3)
	write("four")
	old.has("#out li", 4)
	page.has("#out li", 4)
	want := []string{"one", "two", "three", "four"}
	for _, p := range []*tab{page, old} {
		if got := p.lines("#out li"); !slices.Equal(got, want) {
			t.Errorf("the page shows %q, want %q", got, want)
		}
	}
	same(t, clients, 0, strings.Join(want, "\n")+"\n")
}
