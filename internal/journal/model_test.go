package journal

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A lifetime is what a simple model knows of one stream from when it is made
// until it goes.
type lifetime struct {
	config  *Config // nil for a topic
	records []leat.Record
	over    leat.EndState
	reason  string
	used    time.Time
	unswept bool      // a restart has come between an append and the sweep: the next append is as good
	fresh   bool      // appended to since the last sweep
	last    time.Time // of the newest entry
	adopted bool      // it was a topic: what it had lost by then went by other bounds
	loose   bool      // it may live an eighth longer: who used it last is not known to all

	producers map[string]Producer // the newest request of each
	closer    *Producer           // that ended it
}

func (l *lifetime) text() (text string) {
	for i := range l.records {
		text += string(l.records[i].Data)
	}
	return text
}

// ends returns between which times it goes; zero is never.
func (l *lifetime) ends() (from, to time.Time) {
	if l.config == nil {
		return
	}
	from = l.config.Expires
	if l.config.TTL > 0 {
		if end := l.used.Add(l.config.TTL); from.IsZero() || end.Before(from) {
			from = end
		}
	}
	if to = from; l.loose && l.config.TTL > 0 {
		if to = l.used.Add(l.config.TTL + l.config.TTL/8 + time.Microsecond); !l.config.Expires.IsZero() && l.config.Expires.Before(to) {
			to = l.config.Expires
		}
	}
	return from, to
}

// A model does at random to journals over one store what can be done to streams,
// and holds every answer, and after each sweep what is stored, against what it
// knows. Only one thing happens at a time.
type model struct {
	t        *testing.T
	st       store.Store
	c        *clock
	r        *rand.Rand
	posts    *rand.Rand // decides what is appended by Post; nil: nothing is
	options  Options
	journals []*Journal
	streams  map[string]*lifetime
	done     map[string]int // what happened how often
}

const modelWindow = 20 * time.Second

func (m *model) fail(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf(format, args...)
}

func (m *model) journal() *Journal { return m.journals[m.r.IntN(len(m.journals))] }

// at returns the stream of that name, nil if there is none now. If the model
// cannot know it asks.
func (m *model) at(name string) *lifetime {
	settle(m.t, m.st, name)
	l := m.streams[name]
	if l == nil {
		return nil
	}
	from, to := l.ends()
	if now := m.c.Now(); from.IsZero() || now.Before(from) {
		return l
	} else if now.Before(to) {
		m.c.add(to.Sub(now))
		m.done["late"]++
	}
	m.done["expired"]++
	m.streams[name] = nil
	// What is not told yet might come back with a restart, for an eighth.
	_, err := m.journals[0].Write(context.Background(), Write{Stream: name})
	m.want("write", err, leat.CodeNotFound)
	return nil
}

func (m *model) use(l *lifetime) {
	l.used = m.c.Now()
	l.loose = !m.st.Abilities().ReadAfterWrite || m.options.Memory < 0
}

// want checks the code of an error, empty for none.
func (m *model) want(what string, err error, code leat.Code) bool {
	m.t.Helper()
	if got := leat.CodeOf(err); got != code {
		m.fail("%s: got %v, want %q", what, err, code)
	}
	m.done[what+" "+string(code)]++
	return err == nil
}

// pieces returns some pieces of text that go on after a text, mostly.
func (m *model) pieces(name, before string) (as []Append, good bool) {
	rest := []byte(mixed)[m.r.IntN(2):]
	if n := leat.Unfinished([]byte(before)); n > 0 {
		for i := range mixed {
			if tail := before[len(before)-n:]; len(mixed)-i > n && mixed[i:i+n] == tail {
				rest = []byte(mixed[i+n:])
			}
		}
	}
	if good = m.r.IntN(20) > 0; !good {
		return []Append{piece(name, "\xff")}, false
	}
	for range 1 + m.r.IntN(3) {
		n := m.r.IntN(len(rest) + 1)
		as, rest = append(as, piece(name, string(rest[:n]))), rest[n:]
	}
	return as, true
}

func (m *model) config() *Config {
	c := &Config{ContentType: "text/plain"}
	switch m.r.IntN(6) {
	case 0:
		c.TTL = 40 * time.Second
	case 1:
		c.Expires = m.c.Now().Add(time.Duration(1+m.r.IntN(60)) * time.Second).UTC()
	case 2:
		c.Retention.Records = 8
	case 3:
		c.Retention.Bytes = 24
	case 4:
		c.Retention.Age = 16 * time.Second
		c.TTL = 40 * time.Second
	}
	*c = c.normal()
	return c
}

func (m *model) create(name string) {
	l, c := m.at(name), m.config()
	if l != nil && l.config != nil && m.r.IntN(2) == 0 {
		same := *l.config
		c = &same
	}
	w := Write{Stream: name}
	if m.r.IntN(6) == 0 {
		w.End = leat.EndComplete
	}
	var good bool
	w.Appends, good = m.pieces(name, "")
	made, _, err := m.journal().Create(context.Background(), *c, w)
	switch {
	case l == nil && !good:
		m.want("create", err, leat.CodeInvalidBody)
	case l == nil:
		if m.want("create", err, ""); !made {
			m.fail("not made")
		}
		l = &lifetime{config: c}
		m.streams[name] = l
		m.add(l, name, w)
	case (l.config == nil || c.equal(l.config)) && l.over == w.End:
		if m.want("create again", err, ""); made {
			m.fail("made again")
		}
		if l.config == nil { // a topic that is now kept on purpose
			l.config, l.unswept, l.fresh, l.adopted = c, false, true, true
			m.use(l)
			m.done["adopted"]++
		}
	default:
		m.want("create", err, leat.CodeExists)
	}
}

// add notes what was stored.
func (m *model) add(l *lifetime, name string, w Write) {
	for _, a := range w.Appends {
		l.records = append(l.records, leat.Record{Stream: name, Key: a.Key, Data: a.Data, Time: m.c.Now()})
	}
	if w.End != "" {
		l.over, l.reason = w.End, w.Reason
	}
	l.last, l.unswept, l.fresh = m.c.Now(), false, true
	m.use(l)
}

func (m *model) write(name string) {
	l, w := m.at(name), Write{Stream: name}
	good := true
	if m.r.IntN(3) > 0 {
		before := ""
		if l != nil {
			before = l.text()
		}
		w.Appends, good = m.pieces(name, before)
	}
	if m.r.IntN(4) == 0 {
		w.End, w.Reason = leat.EndError, fmt.Sprint(m.r.IntN(10))
	}
	var duplicate bool
	var refusal leat.Code
	if l != nil && (len(w.Appends) > 0 || w.End != "") && m.r.IntN(2) == 0 {
		w.Producer, duplicate, refusal = m.producer(l)
	}
	written, err := m.journal().Write(context.Background(), w)
	switch {
	case l == nil:
		m.want("write", err, leat.CodeNotFound)
	case l.over != "" && w.Producer != nil && l.closer != nil && *w.Producer == *l.closer, l.over == "" && duplicate:
		if m.want("write again", err, ""); !written.Duplicate || written.Accepted != l.producers[w.Producer.ID] {
			m.fail("%+v was done, and is %+v, want %+v", w.Producer, written, l.producers[w.Producer.ID])
		}
		m.use(l)
	case l.over != "" && w.Producer != nil:
		m.want("write", err, leat.CodeEnded)
	case l.over == "" && refusal != "":
		m.want("write", err, refusal)
	case l.over != "" && (len(w.Appends) > 0 || w.End != "" && w.End != l.over):
		m.want("write", err, leat.CodeEnded)
	case !good:
		m.want("write", err, leat.CodeInvalidBody)
	default:
		m.want("write", err, "")
		if l.over == "" && (w.End != "" || len(w.Appends) > 0) {
			m.add(l, name, w)
			if w.Producer != nil {
				l.producers[w.Producer.ID] = *w.Producer
				if w.End != "" {
					l.closer = w.Producer
				}
			}
		} else if w.End != "" {
			m.use(l) // it has ended like that before
		}
		if n := int64(len(l.text())); written.End != n {
			m.fail("written to %d, want %d: %+v %+v of %s, %+v", written.End, n, w, w.Producer, name, l)
		}
	}
}

// producer returns a request of a producer, and what is to become of it if the stream
// is open.
func (m *model) producer(l *lifetime) (p *Producer, duplicate bool, refusal leat.Code) {
	if l.producers == nil {
		l.producers = map[string]Producer{}
	}
	id := fmt.Sprint("producer", m.r.IntN(2))
	newest, known := l.producers[id]
	p = &Producer{id, newest.Epoch, newest.Seq + uint64(m.r.IntN(3))}
	if !known || m.r.IntN(4) == 0 {
		p.Epoch, p.Seq = p.Epoch+uint64(m.r.IntN(3)), uint64(m.r.IntN(4)/3)
	}
	if p.Epoch > 0 && m.r.IntN(4) == 0 {
		p.Epoch--
	}
	switch {
	case !known && p.Seq > 0, known && p.Epoch == newest.Epoch && p.Seq > newest.Seq+1:
		return p, false, leat.CodeSequenceGap
	case !known, p.Epoch == newest.Epoch && p.Seq == newest.Seq+1:
	case p.Epoch < newest.Epoch:
		return p, false, leat.CodeStaleEpoch
	case p.Epoch > newest.Epoch && p.Seq > 0:
		return p, false, leat.CodeInvalidParameter
	case p.Epoch == newest.Epoch:
		return p, true, ""
	}
	return p, false, ""
}

func (m *model) append(name string) {
	l := m.at(name)
	before := ""
	if l != nil {
		before = l.text()
	}
	as, good := m.pieces(name, before)
	a := as[0]
	a.Existing = m.r.IntN(2) == 0
	if m.r.IntN(2) == 0 {
		a.Key = fmt.Sprint("k", m.r.IntN(5))
	}
	var first *leat.Record // that has the key
	for i := range l.keyed() {
		if r := &l.records[i]; a.Key != "" && r.Key == a.Key && !r.Time.Before(m.c.Now().Add(-modelWindow)) {
			first = r
			break
		}
	}
	byPost := m.posts != nil && m.posts.IntN(2) == 0
	if byPost {
		m.done["post"]++
	}
	done, err := appendOne(context.Background(), m.journal(), byPost, a)
	switch {
	case l == nil && a.Existing:
		m.want("append", err, leat.CodeNotFound)
	case first != nil && err == nil && done[0].Duplicate:
		m.done["duplicate"]++
		// A key whose record was trimmed may have been forgotten, and used again.
		if strict := l.config != nil && l.config.Retention == (Retention{}); strict && !done[0].Time.Equal(first.Time) || done[0].Time.Before(first.Time) {
			m.fail("a duplicate of %v, want %v", done[0].Time, first.Time)
		}
	case first != nil && (l.config == nil || l.config.Retention == Retention{}):
		m.fail("not known as a duplicate: %+v, %v", done, err)
	case l != nil && l.over != "":
		m.want("append", err, leat.CodeEnded)
	case !good:
		m.want("append", err, leat.CodeInvalidBody)
	default:
		if m.want("append", err, ""); done[0].Duplicate {
			m.fail("a duplicate of nothing")
		}
		if l == nil {
			l = &lifetime{}
			m.streams[name] = l
		}
		m.add(l, name, Write{Appends: []Append{a}})
	}
}

// keyed is records, also of no stream.
func (l *lifetime) keyed() []leat.Record {
	if l == nil {
		return nil
	}
	return l.records
}

func (m *model) delete(name string) {
	l := m.at(name)
	err := m.journal().Delete(context.Background(), name)
	if l == nil {
		m.want("delete", err, leat.CodeNotFound)
		return
	}
	m.want("delete", err, "")
	m.streams[name] = nil
}

func (m *model) stat(name string) {
	l, use := m.at(name), m.r.IntN(2) == 0
	meta, err := m.journal().Stat(context.Background(), name, use)
	if l == nil {
		m.want("stat", err, leat.CodeNotFound)
		return
	}
	m.want("stat", err, "")
	if n := int64(len(l.text())); meta.End != n || meta.Over != l.over || meta.Reason != l.reason || !meta.Config.equal(l.config) {
		m.fail("%s is %+v, want the end %d, %q, %q", name, meta, n, l.over, l.reason)
	}
	if use {
		m.use(l)
	}
}

// check holds what is stored of a stream, right after a sweep, against what may
// be and what must be.
func (m *model) check(name string) {
	l := m.streams[name]
	if l == nil {
		for _, r := range records(m.t, m.st, name) {
			if r.Kind != leat.KindEnd || !leat.EndState(r.Type).Gone() {
				m.fail("%s is gone, and has %q", name, r.Data)
			}
		}
		return
	}
	all := records(m.t, m.st, name)
	if n := len(all); l.over != "" && l.config != nil {
		if n == 0 || all[n-1].Kind != leat.KindEnd || all[n-1].Type != string(l.over) {
			m.fail("%s has lost its end", name)
		}
		all = all[:n-1]
	} else if n > 0 && all[n-1].Kind == leat.KindEnd {
		all = all[:n-1]
	}
	gone := len(l.records) - len(all)
	if gone < 0 {
		m.fail("%s has %d records, want at most %d", name, len(all), len(l.records))
	}
	var bytes int64
	for i, r := range all {
		if want := l.records[gone+i]; string(r.Data) != string(want.Data) || !r.Time.Equal(want.Time) || r.Key != want.Key {
			m.fail("%s: record %d is %+v, want %+v", name, gone+i, r, want)
		}
		bytes += int64(len(r.Data))
	}
	if len(all) > 0 {
		before := l.text()[:all[0].Pos]
		shown, want := "", l.text()[len(before)-leat.Unfinished([]byte(before)):]
		for i := range all {
			shown += string(all[i].Text())
		}
		if shown != want[:len(want)-leat.Unfinished([]byte(want))] {
			m.fail("%s shows %q, want %q", name, shown, want)
		}
	}
	m.checkBounds(name, l, all, gone, bytes)
	l.fresh = false
}

func (m *model) checkBounds(name string, l *lifetime, all []leat.Record, gone int, bytes int64) {
	b := m.options.Topics
	if l.config != nil {
		b = l.config.Retention
	}
	if gone > 0 {
		m.done["trimmed"]++
	}
	if l.adopted {
		gone = 0
	}
	n, now := int64(len(all)), m.c.Now()
	switch last := gone - 1; {
	case gone > 0 && b == Retention{}:
		m.fail("%s has lost %d records without a bound", name, gone)
	case b.Records > 0 && (!l.unswept && n > b.Records+b.Records/8 || gone > 0 && n < b.Records),
		b.Bytes > 0 && !l.unswept && n > 1 && bytes > b.Bytes+b.Bytes/8,
		b.Bytes > 0 && gone > 0 && (n == 0 || bytes+int64(len(l.records[last].Data)) <= b.Bytes && len(l.records[last].Data) > 0):
		m.fail("%s has %d records of %d bytes, %d are gone, with %+v", name, n, bytes, gone, b)
	case b.Age > 0 && gone > 0 && !l.records[gone-1].Time.Before(now.Add(-b.Age)):
		m.fail("%s has lost a record of %v", name, now.Sub(l.records[gone-1].Time))
	case b.Age > 0 && n > 0 && now.Sub(all[0].Time) >= b.Age+b.Age/8:
		m.fail("%s has a record of %v", name, now.Sub(all[0].Time))
	}
}

func (m *model) sweep() {
	for now := (time.Time{}); now != m.c.Now(); {
		now = m.c.Now()
		for _, name := range modelNames {
			m.at(name) // moves the clock until no doubt is left
		}
	}
	for _, j := range m.journals {
		sweep(m.t, j)
	}
	for name, l := range m.streams {
		if l != nil && l.config == nil {
			settle(m.t, m.st, name)
			if info, err := m.st.Stream(context.Background(), name); err != nil {
				m.t.Fatal(err)
			} else if info.Version == 0 {
				m.droppedTopic(name, l)
			}
		}
		m.check(name)
	}
}

// droppedTopic checks that a topic was old enough to be dropped.
func (m *model) droppedTopic(name string, l *lifetime) {
	if age := m.c.Now().Sub(l.last); age <= m.options.Topics.Age {
		m.fail("%s was dropped %v after its last record", name, age)
	}
	m.done["dropped"]++
	m.streams[name] = nil
}

func (m *model) restart() {
	i := m.r.IntN(len(m.journals))
	m.journals[i].Close()
	m.journals[i] = New(m.st, m.options)
	for _, l := range m.streams {
		if l != nil {
			l.loose, l.unswept = true, l.unswept || l.fresh
		}
	}
}

var modelNames = []string{"a", "b", "c"}

func (m *model) run(steps int) {
	for i := range m.journals {
		m.journals[i] = New(m.st, m.options)
	}
	defer func() {
		for _, j := range m.journals {
			wantRest(m.t, j)
			j.Close()
		}
	}()
	for range steps {
		name := modelNames[m.r.IntN(len(modelNames))]
		switch n := m.r.IntN(100); {
		case n < 12:
			m.create(name)
		case n < 45:
			m.append(name)
		case n < 60:
			m.write(name)
		case n < 64:
			m.delete(name)
		case n < 75:
			m.stat(name)
		case n < 85:
			m.sweep()
		case n < 98:
			m.c.add(time.Duration(m.r.IntN(8)) * time.Second)
			if m.r.IntN(20) == 0 {
				m.c.add(ttl / 2)
			}
		default:
			m.restart()
		}
	}
}

// Whatever happens to streams in whatever order, every answer and all that is
// stored is what a simple model says. Each run does the same, a soak what it likes.
func TestModel(t *testing.T) {
	rounds, steps, first := 3, 1500, uint64(1)
	if os.Getenv("LEAT_SOAK") != "" {
		rounds, steps, first = 100, 3000, rand.Uint64()
	}
	for _, d := range drivers {
		if d.name == "foreign records" {
			continue
		}
		done := map[string]int{}
		for round := range rounds {
			d.run(t, func(t *testing.T, st store.Store, c *clock) {
				seed := first + uint64(round)
				t.Logf("seed %d", seed)
				modelRun(t, st, c, d.rivals, seed, steps, true, done)
			})
		}
		for _, what := range []string{"create ", "create again ", "create exists", "append ", "append ended", "append not_found", "append invalid_body",
			"write ", "write again ", "write sequence_gap", "write stale_epoch", "write ended", "write not_found", "delete ", "delete not_found", "stat ", "stat not_found", "duplicate", "expired", "trimmed", "dropped", "post"} {
			if done[what] == 0 {
				t.Errorf("%s: %q has never happened: %v", d.name, what, done)
			}
		}
	}
}

func modelRun(t *testing.T, st store.Store, c *clock, rivals bool, seed uint64, steps int, posts bool, done map[string]int) {
	r := rand.New(rand.NewPCG(seed, 1))
	m := &model{
		t: t, st: st, c: c, r: r, journals: make([]*Journal, 1), streams: map[string]*lifetime{}, done: done,
		options: Options{
			Now: c.Now, Sweep: -1, KeyWindow: modelWindow, Tombstone: time.Duration(r.IntN(3)-1) * 30 * time.Second,
			Topics: Retention{Age: 32 * time.Second},
		},
	}
	if posts {
		m.posts = rand.New(rand.NewPCG(seed, 2)) // all else is the same without them
	}
	if rivals {
		m.journals = make([]*Journal, 2)
	}
	if r.IntN(3) == 0 {
		m.options.Memory = -1
	}
	m.run(steps)
}

// FuzzModel is TestModel with the seeds that a fuzzer thinks of.
func FuzzModel(f *testing.F) {
	f.Add(uint64(1), uint8(0))
	f.Fuzz(func(t *testing.T, seed uint64, which uint8) {
		d := drivers[int(which)%3]
		d.run(t, func(t *testing.T, st store.Store, c *clock) {
			modelRun(t, st, c, d.rivals, seed, 200, true, map[string]int{})
		})
	})
}

// What a soak has found once: a read that was of an earlier stream of that name made a
// request a duplicate of what that one had been sent.
func TestModelFound(t *testing.T) {
	for _, d := range drivers {
		if d.name == "foreign" {
			d.run(t, func(t *testing.T, st store.Store, c *clock) {
				modelRun(t, st, c, d.rivals, 10542772471840807397, 3000, false, map[string]int{})
			})
		}
	}
}
