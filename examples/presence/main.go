// Presence shows who is here. Events come down, and each client says up, from time
// to time, that it is still there: a connection alone does not prove it, since one
// that has vanished looks open for minutes.
package main

import (
	_ "embed"
	"encoding/json"
	"flag"
	"log"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/leat-dev/leat/examples/internal/run"
	"github.com/leat-dev/leat/server"
)

//go:embed index.html
var page []byte

func main() {
	every := flag.Duration("every", 5*time.Second, "how often a client should say that it is there")
	flag.Parse()
	p := &presence{every: *every, here: map[string]*visitor{}, srv: run.Leat(server.Options{
		// Each event has the whole list: the newest is enough for who comes, and few for who
		// comes back.
		Retention: []server.RetentionRule{{Pattern: "here", Retention: server.Retention{Records: 100}}},
	})}
	p.publish() // nobody
	mux := http.NewServeMux()
	mux.HandleFunc("POST /here/{name}", p.beat)
	mux.HandleFunc("POST /gone/{name}", p.goodbye)
	mux.Handle("GET /events", p.srv)
	run.Main(mux, page, p.srv)
}

type presence struct {
	every time.Duration
	srv   *server.Server

	mu   sync.Mutex
	here map[string]*visitor
}

// A visitor is gone when its timer says so.
type visitor struct {
	name  string
	until time.Time
	timer *time.Timer
}

// missed is how many beats somebody may miss: two get lost easily, with a phone in a
// tunnel or a page in the background whose timers the browser slows down.
const missed = 3

// beat answers how soon the next one is due, so that the server can change its mind.
func (p *presence) beat(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if len(name) > 40 {
		http.Error(w, "a name has at most 40 bytes", http.StatusBadRequest)
		return
	}
	p.mu.Lock()
	v := p.here[name]
	arrived := v == nil
	if arrived {
		v = &visitor{name: name}
		v.timer = time.AfterFunc(missed*p.every, func() { p.leave(v, false) })
		p.here[name] = v
	}
	v.until = time.Now().Add(missed * p.every)
	v.timer.Reset(missed * p.every)
	if arrived {
		p.publish()
	}
	p.mu.Unlock()
	_ = json.NewEncoder(w).Encode(map[string]int64{"next": p.every.Milliseconds()}) // a client that has gone beats no more
}

// goodbye is for who says so, as a page does that is closed.
func (p *presence) goodbye(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	v := p.here[r.PathValue("name")]
	p.mu.Unlock()
	if v != nil {
		p.leave(v, true)
	}
	w.WriteHeader(http.StatusNoContent)
}

// leave takes somebody off the list, if it is really over: a beat may have come just
// when the timer ran out.
func (p *presence) leave(v *visitor, said bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.here[v.name] != v || !said && time.Now().Before(v.until) {
		return
	}
	v.timer.Stop()
	delete(p.here, v.name)
	p.publish()
}

// publish says who is here. It is called with mu held, so that events are in order.
func (p *presence) publish() {
	names := slices.AppendSeq([]string{}, maps.Keys(p.here)) // never nil, which would be null
	slices.Sort(names)
	list, err := json.Marshal(map[string][]string{"here": names})
	if err == nil {
		_, err = p.srv.Publish(run.Context(), server.Message{Topic: "here", ContentType: "application/json", Data: list})
	}
	if err != nil {
		log.Print(err) // the server is stopping
	}
}
