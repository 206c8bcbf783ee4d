package server

import (
	"context"
	"io/fs"
	"net"
	"path/filepath"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// about is what /api says of the server.
type about struct {
	Version    string      `json:"version,omitempty"`
	Durability store.Class `json:"durability"`
	Head       leat.Offset `json:"head"`
	Readers    int         `json:"readers"`
	Lab        bool        `json:"lab"`
}

func (s *Server) about() any {
	return about{s.o.Version, s.o.Store.Abilities().Class, s.live.Offset(s.o.Store.Head()), s.live.Readers(), s.wire != nil}
}

// A backup is what /api says of one. Everything up to Head is in it. Bytes is how long its
// files are together, of which those that are links take no room of their own.
type backup struct {
	To    string      `json:"to"`
	Head  leat.Offset `json:"head"`
	Bytes int64       `json:"bytes"`
	Took  float64     `json:"took"` // seconds
}

func (s *Server) backup(ctx context.Context, dir string) (any, error) {
	backuper, ok := s.o.Store.(store.Backuper)
	if !ok {
		return nil, leat.Errorf(leat.CodeNotSupported, "this server's store cannot be copied while it works").
			Advise("What is to survive belongs into a store on disk: start the server without --store memory.")
	}
	began, head := time.Now(), s.live.Offset(s.o.Store.Head())
	if err := backuper.Backup(ctx, dir); err != nil {
		return nil, err
	}
	b := backup{To: dir, Head: head, Took: time.Since(began).Seconds()}
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			b.Bytes += info.Size()
		}
		return err
	})
	s.o.Logger.Info("backup made", "to", dir, "head", head, "bytes", b.Bytes, "took", time.Since(began))
	return b, err
}

// Listener returns what an http.Server of s is to listen on in place of ln: with
// Options.Lab one whose connections the lab sees, else ln.
func (s *Server) Listener(ln net.Listener) net.Listener {
	if s.wire == nil {
		return ln
	}
	return s.wire.Listen(ln)
}

// figures are Metrics as /api has them.
type figures struct {
	Readers     []readersFigure  `json:"readers"`
	TakenOver   int              `json:"takenOver"`
	Delivered   volumeFigure     `json:"delivered"`
	Published   volumeFigure     `json:"published"`
	Left        map[string]int64 `json:"left"`
	TurnedAway  map[string]int64 `json:"turnedAway"`
	Gaps        map[string]int64 `json:"gaps"`
	Refused     map[string]int64 `json:"refused"`
	Waiting     int64            `json:"waiting"`
	Commits     timesFigure      `json:"commits"`
	Syncs       timesFigure      `json:"syncs"`
	Durability  store.Class      `json:"durability"`
	Failed      string           `json:"failed,omitempty"`
	Head        leat.Offset      `json:"head"`
	StoreBytes  int64            `json:"storeBytes"`
	CacheBytes  int64            `json:"cacheBytes"`
	MemoryBytes int64            `json:"memoryBytes"`
}

type readersFigure struct {
	Surface   string `json:"surface"`
	Format    string `json:"format"`
	Transport string `json:"transport"`
	Count     int64  `json:"count"`
}

type volumeFigure struct {
	Records int64 `json:"records"`
	Bytes   int64 `json:"bytes"`
}

// timesFigure has times in seconds, as Prometheus does.
type timesFigure struct {
	Count int64        `json:"count"`
	Sum   float64      `json:"sum"`
	UpTo  []upToFigure `json:"upTo"`
}

type upToFigure struct {
	Bound float64 `json:"bound"`
	Count int64   `json:"count"`
}

func (s *Server) figures() any {
	m := s.Metrics()
	f := figures{
		Readers: make([]readersFigure, len(m.Readers)), TakenOver: m.TakenOver,
		Delivered: volumeFigure(m.Delivered), Published: volumeFigure(m.Published),
		Left: m.Left, TurnedAway: m.TurnedAway, Gaps: m.Gaps, Refused: m.Refused, Waiting: m.Waiting,
		Commits: timesOf(m.Commits), Syncs: timesOf(m.Syncs),
		Durability: m.Durability, Head: m.Head, StoreBytes: m.StoreBytes, CacheBytes: m.CacheBytes, MemoryBytes: m.MemoryBytes,
	}
	for i, r := range m.Readers {
		f.Readers[i] = readersFigure(r)
	}
	if m.Failed != nil {
		f.Failed = m.Failed.Error()
	}
	return f
}

func timesOf(t store.Times) timesFigure {
	f := timesFigure{Count: t.Count, Sum: t.Sum.Seconds(), UpTo: make([]upToFigure, len(t.UpTo))}
	for i, u := range t.UpTo {
		f.UpTo[i] = upToFigure{u.Bound.Seconds(), u.Count}
	}
	return f
}
