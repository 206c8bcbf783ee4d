package server_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/store"
)

// A check holds what one answer said against the truth.
type check struct {
	t  *testing.T
	w  *world
	l  *life
	tr *truth
	s  *segment

	at     leat.Offset            // the position; all that is owed up to it was given or told as gone
	known  bool                   // there is one
	fresh  int64                  // what was gone before this tick is not owed, unless 0
	told   map[string]leat.Offset // up to there a topic was told as gone
	more   int64                  // what was gone before this tick was told without its name
	again  map[string]bool        // exactly that was
	opened bool                   // the answer has said where it begins
	passed bool                   // it was skipped forward
	i      int                    // the item
}

func (w *world) checkSegment(l *life, s *segment) {
	c := &check{t: w.t, w: w, l: l, tr: &w.truth, s: s, told: make(map[string]leat.Offset), again: make(map[string]bool)}
	switch s.status {
	case 0: // no answer that counts
	case 200:
		c.items()
		c.ended()
	case 204:
		c.nothingLeft()
	case 404:
		c.notFound()
	case 410:
		c.refused()
	case 503:
		if l.ending.Load() == 0 || s.over < l.ending.Load() {
			c.fail("it was turned away: %s", s.text)
		}
	default:
		c.fail("status %d: %s", s.status, s.text)
	}
}

// fail ends the test with all that is known about the answer.
func (c *check) fail(format string, args ...any) {
	c.t.Helper()
	var b strings.Builder
	fmt.Fprintf(&b, "life %d, %s, GET %s, Last-Event-ID %q, ticks %d to %d, status %d, it ended %s: %s\n",
		c.l.n, c.s.who, c.s.query, c.s.cursor, c.s.begun, c.s.over, c.s.status, c.s.end, fmt.Sprintf(format, args...))
	fmt.Fprintf(&b, "epochs %v, position %s, told %v\n", c.tr.epochs, c.at, c.told)
	for i := max(0, c.i-8); i < min(len(c.s.items), c.i+2); i++ {
		it := c.s.items[i]
		fmt.Fprintf(&b, "  item %d at %d: %s %s %.80q %+v %+v\n", i, it.tick, it.kind, it.id, it.data, it.gap, it.end)
	}
	from := max(0, c.tr.find(c.at)-5)
	for _, e := range c.tr.log[from:min(len(c.tr.log), from+25)] {
		fmt.Fprintf(&b, "  log %s %s %s %.30q, stored %d-%d, gone %d, dropped %d\n", e.Offset, e.Stream, e.Kind, e.Data, e.begun, e.stored, e.gone, e.dropped)
	}
	c.t.Fatal(b.String())
}

func (c *check) parse(text string) leat.Offset {
	o, err := leat.ParseOffset(text)
	if err != nil {
		c.fail("%q is no offset", text)
	}
	return o
}

// expect returns where the answer is to begin and the loss that it is to tell.
func (c *check) expect() (next leat.Offset, loss store.Loss, known bool) {
	if c.s.cursor == "" {
		return leat.Offset{}, "", c.s.from == "start"
	}
	o, err := leat.ParseOffset(c.s.cursor)
	if err != nil {
		return leat.Offset{}, store.LossForeign, false
	}
	next, loss = c.tr.wentOn(o)
	return next, loss, next.Seq > 0 || loss == store.LossNone
}

// items goes through what was said.
func (c *check) items() {
	next, loss, known := c.expect()
	c.at, c.known = next, known
	polls := c.s.form == "json"
	resumes := c.s.cursor != "" && !next.IsStart()
	for i := range c.s.items {
		c.i = i
		it := &c.s.items[i]
		o := c.parse(it.id)
		if i == 0 && !resumes || c.known && c.at.IsStart() {
			c.fresh = it.tick // it has got nothing so far
		}
		if !c.opened && !polls {
			c.open(it, o, loss)
			continue
		}
		if loss != "" {
			if it.kind != itemGap || it.gap.Reason != string(loss) || it.gap.Asked != c.s.cursor {
				c.fail("the gap %q was to be told first", loss)
			}
			if c.known && c.at.Compare(o) > 0 && !c.repeatsEnd(o) || c.known && c.at.Compare(o) < 0 {
				c.fail("it goes on at %s, and was to at %s", o, c.at)
			}
			loss, c.at, c.known = "", o, true
			continue
		}
		switch it.kind {
		case itemPosition:
			c.move(o, it, nil)
		case itemGap:
			c.gap(it, o)
		default:
			c.record(it, o)
		}
	}
	if loss != "" && polls && len(c.s.items) > 0 {
		c.fail("the gap %q was not told", loss)
	}
}

// open looks at the first position of a stream.
func (c *check) open(it *item, o leat.Offset, loss store.Loss) {
	if c.opened = true; it.kind != itemPosition {
		c.fail("it begins with a %s", it.kind)
	}
	if c.known && o != c.at && !(o.IsStart() && c.at.IsStart()) && !((loss != "" || c.s.cursor == "") && c.repeatsEnd(o)) {
		c.fail("it begins at %s, and was to at %s", o, c.at)
	}
	c.at, c.known = o, true
}

// repeatsEnd reports whether after an offset comes the last end of all that is
// asked for: who does not say what it has seen, or has seen what is lost, is told.
func (c *check) repeatsEnd(o leat.Offset) bool {
	i := c.tr.find(o)
	return len(c.s.filter.Patterns()) == 0 && i < len(c.tr.log) && c.tr.log[i].Offset.Seq == o.Seq+1 &&
		c.tr.log[i].Kind == leat.KindEnd && c.s.filter.Match(c.tr.log[i].Stream)
}

// excused reports whether an entry that is owed may be missing: it is gone, and
// the reader was told, or came without a claim after it had gone.
func (c *check) excused(e *entry, tick int64) bool {
	if e.gone == 0 || e.gone > tick {
		return false
	}
	return e.gone <= c.fresh || e.gone <= c.more || c.told[e.Stream].Compare(e.Offset) >= 0
}

// move goes to an offset, over nothing that is owed but itself.
func (c *check) move(to leat.Offset, it *item, itself *entry) {
	if c.known {
		if to.Compare(c.at) < 0 {
			c.fail("it goes back from %s to %s", c.at, to)
		}
		for _, e := range c.tr.log[c.tr.find(c.at):] {
			if e.Offset.Compare(to) > 0 {
				break
			}
			if e != itself && c.s.filter.Match(e.Stream) && !c.excused(e, it.tick) {
				c.fail("%s %.40q of %s was skipped on the way to %s", e.Offset, e.Data, e.Stream, to)
			}
		}
	}
	c.at, c.known = to, true
}

// gap holds a gap against what is gone.
func (c *check) gap(it *item, o leat.Offset) {
	g := it.gap
	if g.Next != it.id {
		c.fail("the id is not next")
	}
	if g.Reason == "skipped" {
		c.skipped(it, o)
		return
	}
	c.move(o, it, nil)
	c.trueGap(g, it.tick)
}

// skipped holds a gap against the rule for slow readers: all up to where it begins was
// given, and as much was to come behind that as the rule says.
func (c *check) skipped(it *item, o leat.Offset) {
	asked := c.parse(it.gap.Asked)
	c.move(asked, it, nil)
	c.w.skipped++
	c.passed = true
	behind := 0
	for _, e := range c.tr.log[c.tr.find(asked):] {
		if c.s.filter.Match(e.Stream) && e.begun < it.tick {
			behind++
		}
	}
	if c.w.slow() == nil || o.Compare(asked) <= 0 || behind <= modelLag {
		c.fail("skipped from %s to %s, and %d records were to come", asked, o, behind)
	}
	c.at = o
}

func (c *check) trueGap(g *gap, tick int64) {
	if g.Reason != "trimmed" && g.Reason != "replaced" {
		c.fail("the gap %q is told, and nothing is lost", g.Reason)
	}
	if len(g.Topics) == 0 && g.More == 0 {
		c.fail("the gap is about nothing")
	}
	for _, topic := range g.Topics {
		through := c.parse(topic.Through)
		e := c.tr.at(through)
		switch {
		case !c.s.filter.Match(topic.Topic):
			c.fail("the gap is about %s, which was not asked for", topic.Topic)
		case e == nil || e.Stream != topic.Topic || e.gone == 0 || e.gone > tick:
			c.fail("a false gap: %s through %s is not gone: %+v", topic.Topic, through, e)
		case g.Reason == "replaced" && (e.dropped == 0 || e.dropped > tick):
			c.fail("a false gap: %s was not dropped", topic.Topic)
		case through.Compare(c.at) <= 0:
			c.fail("the gap is about %s, which is before %s", through, c.at)
		case c.again[g.Reason+topic.Topic+topic.Through]:
			// That a topic which has lost records is then deleted is news.
			c.fail("the gap is told again")
		}
		c.again[g.Reason+topic.Topic+topic.Through] = true
		if c.told[topic.Topic].Compare(through) < 0 {
			c.told[topic.Topic] = through
		}
	}
	if g.More > 0 {
		c.more = tick
	}
}

// record holds a record or an end against the one that is there.
func (c *check) record(it *item, o leat.Offset) {
	e := c.tr.at(o)
	if e == nil {
		c.fail("%s was never stored", o)
	}
	if c.known && o.Compare(c.at) <= 0 {
		c.fail("%s comes again, after %s", o, c.at)
	}
	if !c.s.filter.Match(e.Stream) {
		c.fail("%s was not asked for", e.Stream)
	}
	if c.told[e.Stream].Compare(o) >= 0 {
		c.fail("%s comes, although it was told as gone", o)
	}
	c.move(o, it, e)
	c.w.seen[o] = c.s.who
	if (it.kind == itemEnd) != (e.Kind == leat.KindEnd) {
		c.fail("%s is a %s", o, e.Kind)
	}
	if got, want := it.content(c.s.form), contentOf(c.s.form, e); got != want {
		c.fail("%s came as\n%q, want\n%q", o, got, want)
	}
}

// content returns what an item says, in a form that can be compared.
func (it *item) content(form string) string {
	switch {
	case it.end != nil:
		return fmt.Sprintf("%+v", *it.end)
	case form == "sse":
		return it.typ + " " + it.data
	}
	env := it.env
	return fmt.Sprintf("%s %s %s %s %s %s", env.Topic, env.Type, env.Key, env.Time, env.Encoding, env.Data)
}

// contentOf returns the same of an entry.
func contentOf(form string, e *entry) string {
	binary := base64.StdEncoding.EncodeToString(e.Data)
	switch {
	case e.Kind == leat.KindEnd:
		return fmt.Sprintf("%+v", endObject{e.Stream, e.Type, string(e.Data)})
	case form == "sse" && e.Kind == leat.KindText:
		return e.Type + " " + string(e.Text())
	case form == "sse" && e.Kind == leat.KindBinary:
		return e.Type + " " + binary
	case form == "sse":
		return e.Type + " " + string(e.Data)
	}
	encoding, data := "", string(e.Data)
	switch e.Kind {
	case leat.KindText:
		text, _ := json.Marshal(string(e.Text()))
		data = string(text)
	case leat.KindBinary:
		encoding, data = "base64", `"`+binary+`"`
	}
	return fmt.Sprintf("%s %s %s %s %s %s", e.Stream, e.Type, e.Key, e.Time.UTC().Format("2006-01-02T15:04:05.000000Z07:00"), encoding, data)
}

// ended looks at how an answer ended.
func (c *check) ended() {
	stopping := c.l.ending.Load() > 0 && c.s.over >= c.l.ending.Load()
	if c.s.end == endBroken && !stopping {
		// Overtaken by a removal in the middle of a frame: it was cut.
		return
	}
	if c.s.end != endClean || c.s.form == "json" || stopping || strings.Contains(c.s.query, "gap=error") && (c.passed || len(c.told) > 0) {
		return
	}
	if !c.allEnded(c.at) {
		c.fail("the stream ended, and not all that is asked for has")
	}
}

// allEnded reports whether at some time in the segment all streams had ended that
// are asked for, at or before a position.
func (c *check) allEnded(at leat.Offset) bool {
	if len(c.s.filter.Patterns()) > 0 {
		return false
	}
	for _, name := range c.s.filter.Names() {
		possible := false
		for _, of := range c.tr.gens[name] {
			for _, e := range of.entries {
				if e.begun > c.s.over {
					break
				}
				if e.stored < c.s.begun {
					possible = false // it was there all the time
				}
				possible = possible || e.Kind == leat.KindEnd && (e.Offset.Compare(at) <= 0 || c.excused(e, c.s.over))
			}
		}
		if !possible {
			return false
		}
	}
	return true
}

// nothingLeft checks a 204: the reader has seen all that there will ever be.
func (c *check) nothingLeft() {
	next, loss, _ := c.expect()
	c.at = next
	if c.s.cursor == "" || loss != "" {
		c.fail("204, and the reader has not said what it has seen")
	}
	if !c.allEnded(next) {
		c.fail("204, and not all has ended that is asked for")
	}
}

// notFound checks a 404: there is no such stream, and nothing to tell about it.
func (c *check) notFound() {
	if !strings.HasPrefix(c.s.query, "/streams/") {
		c.fail("status 404")
	}
	next, loss, _ := c.expect()
	c.at = next
	if c.s.cursor == "" || next.IsStart() || loss != "" {
		return
	}
	var newest *entry
	for _, of := range c.tr.gens[c.s.names[0]] {
		for _, e := range of.entries {
			if e.Kind == leat.KindEnd && leat.EndState(e.Type).Gone() && e.begun <= c.s.over && e.stored >= c.s.begun {
				return // it went in between
			}
			if e.stored < c.s.begun {
				newest = e
			}
		}
	}
	if newest != nil && newest.Kind != leat.KindEnd && (newest.gone == 0 || newest.gone > c.s.over) && newest.of == c.tr.gens[c.s.names[0]][len(c.tr.gens[c.s.names[0]])-1] {
		c.fail("404, and nobody has told of the end: %+v", newest)
	}
}

// refused checks a 410: it is about something that is gone.
func (c *check) refused() {
	next, loss, _ := c.expect()
	c.at = next
	g := c.s.items[0].gap
	if !strings.Contains(c.s.query, "gap=error") || g.Asked != c.s.cursor && c.s.cursor != "" {
		c.fail("410: %s", c.s.text)
	}
	if loss != "" {
		if g.Reason != string(loss) {
			c.fail("410 for %s, want %s", g.Reason, loss)
		}
		return
	}
	c.at = c.parse(g.Next)
	c.trueGap(g, c.s.items[0].tick)
}
