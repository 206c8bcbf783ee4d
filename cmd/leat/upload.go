package main

import (
	"context"
	"errors"
	"fmt"
	"mime"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/leat-dev/leat/client"
)

// upload makes the content of the stream that of a file.
func (c *publishCmd) upload(ctx context.Context, std *streams, global *cli) error {
	f, err := os.Open(c.File)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return usageError(c.File + " is no regular file: what comes from a pipe is published line by line, from stdin")
	}
	contentType := c.ContentType
	if contentType == "" {
		contentType = typeByName(c.File)
	}
	bar := &progress{std: std, size: info.Size(), live: isTerminal(std.err)}
	err = global.client().UploadFile(ctx, c.Topic, f, info.Size(), client.UploadFileOptions{
		ContentType: contentType, End: c.End, Progress: bar.stored,
		Notify: func(n client.Notice) { bar.clear(); noteConnection(std, n) },
	})
	bar.clear()
	switch {
	case err == nil:
		std.note("%s has all of %s, %s", c.Topic, c.File, humanSize(info.Size()))
	case errors.Is(err, context.Canceled) && bar.known:
		std.note("%s of %s are there; the same command goes on behind them", humanSize(bar.last), humanSize(info.Size()))
	}
	return err
}

// typeByName is the content type of a file by its name. A stream of JSON is one of
// values and no file.
func typeByName(name string) string {
	t := mime.TypeByExtension(filepath.Ext(name))
	if t == "" || strings.Contains(t, "json") {
		return "application/octet-stream"
	}
	return t
}

// A progress shows how much of an upload is done: on a terminal as a bar that is
// written again and again, elsewhere only where it has begun.
type progress struct {
	std  *streams
	size int64
	live bool // on a terminal

	known bool // stored was called
	begun time.Time
	first int64 // what was there before
	last  int64
	shown bool
}

// stored takes notice of what is stored.
func (p *progress) stored(n int64) {
	now := time.Now()
	if !p.known {
		p.known, p.begun, p.first = true, now, n
		if n > 0 && n < p.size {
			p.std.note("going on at %s of %s", humanSize(n), humanSize(p.size))
		}
	}
	if p.last = n; p.live {
		fmt.Fprintf(p.std.err, "\r%s\x1b[K", p.bar(now))
		p.shown = true
	}
}

// clear takes the bar away.
func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.std.err, "\r\x1b[K")
		p.shown = false
	}
}

// bar is what there is to say, on one line.
func (p *progress) bar(now time.Time) string {
	const width = 24
	share := 1.0
	if p.size > 0 {
		share = float64(p.last) / float64(p.size)
	}
	full := int(share * width)
	text := fmt.Sprintf("[%s%s] %3.0f%%  %s of %s", strings.Repeat("=", full), strings.Repeat(" ", width-full), share*100, humanSize(p.last), humanSize(p.size))
	spent := now.Sub(p.begun).Seconds()
	if done := p.last - p.first; done > 0 && spent > 0 {
		speed := float64(done) / spent
		text += fmt.Sprintf("  %s/s", humanSize(int64(speed)))
		if left := p.size - p.last; left > 0 {
			text += fmt.Sprintf("  %.0fs left", float64(left)/speed)
		}
	}
	return text
}
