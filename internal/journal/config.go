package journal

import (
	"bytes"
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/leat-dev/leat"
)

// A Config is how a stream is kept that was made on purpose. Streams that were
// made by a first publish have none.
type Config struct {
	// ContentType is the type of the stream, in normal form where it was
	// returned. Empty means application/octet-stream.
	ContentType string `json:"-"`

	// Retention bounds what is kept. What is zero is not bounded by the
	// stream itself; the first rule whose pattern matches applies to a stream
	// that bounds nothing.
	Retention Retention `json:"retention,omitzero"`

	// TTL is how long the stream lives after it was last read or written, 0
	// for ever.
	TTL time.Duration `json:"ttl,omitzero"`

	// Expires is when the stream goes whatever happens, zero for never.
	Expires time.Time `json:"expires,omitzero"`

	// ExpiresText is Expires as it was asked for: two that are written in
	// different ways are not the same configuration. Empty means RFC 3339.
	ExpiresText string `json:"expiresText,omitzero"`
}

// normal returns c with its times as they are kept.
func (c Config) normal() Config {
	c.Expires = c.Expires.UTC().Round(0)
	if c.ExpiresText == "" && !c.Expires.IsZero() {
		c.ExpiresText = c.Expires.Format(time.RFC3339Nano)
	}
	return c
}

// expiresAs makes c expire when another one does.
func (c *Config) expiresAs(d *Config) { c.Expires, c.ExpiresText = d.Expires, d.ExpiresText }

// equal reports whether two configurations say the same. No configuration, nil,
// is not the same as one that says nothing.
func (c *Config) equal(d *Config) bool {
	if c == nil || d == nil {
		return c == d
	}
	return c.ContentType == d.ContentType && c.Retention == d.Retention && c.TTL == d.TTL &&
		c.Expires.Equal(d.Expires) && c.ExpiresText == d.ExpiresText
}

// check reports whether c can be kept.
func (c Config) check() error {
	bad := func(what string) error {
		return leat.Errorf(leat.CodeInvalidParameter, "%s is negative", what).Advise("Leave it out for no bound.")
	}
	switch r := c.Retention; {
	case r.Records < 0:
		return bad("the number of records to keep")
	case r.Bytes < 0:
		return bad("the number of bytes to keep")
	case r.Age < 0:
		return bad("the age of records to keep")
	case c.TTL < 0:
		return bad("the time to live")
	}
	if year := c.Expires.UTC().Year(); year < 1 || year > 9999 {
		return leat.Errorf(leat.CodeInvalidParameter, "a stream cannot expire in the year %d", year).
			Advise("Name a time before the year 10000, or none for a stream that stays.")
	}
	return nil
}

// A Retention bounds what is kept of a stream; the oldest records go first.
// Zero is no bound. Count and bytes may be passed by an eighth before they are
// enforced, so that removing costs little, and age by an eighth likewise.
type Retention struct {
	Records int64         `json:"records,omitzero"`
	Bytes   int64         `json:"bytes,omitzero"` // of payload
	Age     time.Duration `json:"age,omitzero"`
}

// A Rule is the retention of the streams that a pattern matches.
type Rule struct {
	Pattern   leat.Pattern
	Retention Retention
}

// slack is the part by which a bound may be passed before it is enforced.
const slack = 8

// passed reports whether n is over a bound by more than the slack.
func passed(n, bound int64) bool { return bound > 0 && n-bound > bound/slack }

// late returns d and the slack on top, at most the longest there is.
func late(d time.Duration) time.Duration {
	if d > math.MaxInt64-d/slack {
		return math.MaxInt64
	}
	return d + d/slack
}

// retention returns what bounds a stream: its own configuration, the first rule
// that matches, or what holds for topics.
func (j *Journal) retention(name string, c *Config) Retention {
	if c != nil && c.Retention != (Retention{}) {
		return c.Retention
	}
	for _, rule := range j.rules {
		if rule.Pattern.Match(name) {
			return rule.Retention
		}
	}
	if c != nil {
		return Retention{}
	}
	return j.topics
}

// The keys of a stream's state. Their values are text.
const (
	stateEnd    = "end"    // the leat.EndState of the stream, if it has ended
	stateConfig = "config" // its keeping in JSON, if there is something to say
	stateTail   = "tail"   // the bytes of an unfinished character that its text ends with
	stateExpiry = "expiry" // when its TTL ends, in microseconds since 1970, as last written
	stateOrder  = "order"  // the last Write.Order
	stateCloser = "closer" // the request of a producer that ended it
	stateCensus = "census" // how many producers there are keys of, and when to look through them
)

var stateKeys = []string{stateEnd, stateConfig, stateTail, stateExpiry, stateOrder, stateCloser, stateCensus}

// A keeping is all that says how a stream is kept, and what becomes of it.
type keeping struct {
	*Config
	Topic bool    `json:"topic,omitzero"` // it has no Config
	Fork  *Origin `json:"fork,omitzero"`
	Forks pins    `json:"forks,omitzero"`
}

// encodeKept returns nil, which removes the value, if there is nothing to say.
func encodeKept(st *state) []byte {
	if st.config == nil && st.fork == nil && st.pins == (pins{}) {
		return nil
	}
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetEscapeHTML(false) // a name may be long as it is
	if err := enc.Encode(keeping{st.config, st.config == nil, st.fork, st.pins}); err != nil {
		panic(err) // it has nothing that cannot be encoded
	}
	return bytes.TrimSuffix(text.Bytes(), []byte("\n"))
}

// decodeKept reads what a store has kept. What cannot be read is told, not
// guessed at: a bound that is forgotten keeps too much, one that is made up
// removes what somebody wanted.
func decodeKept(name string, text []byte, contentType string) (k keeping, err error) {
	if text == nil {
		return k, nil
	}
	k.Config = &Config{}
	if err := json.Unmarshal(text, &k); err != nil {
		return k, leat.Errorf(leat.CodeStoreFailed, "the configuration of the stream %q cannot be read: %w", name, err).
			Advise("Was the store written by a newer version of Leat? Use that.")
	}
	c := k.Config.normal()
	if c.ContentType = contentType; !k.Topic {
		k.Config = &c
	} else {
		k.Config = nil
	}
	return k, nil
}

func encodeTime(t time.Time) []byte { return strconv.AppendInt(nil, t.UnixMicro(), 10) }

// decodeTime returns the zero time for what is no time.
func decodeTime(text []byte) time.Time {
	micros, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMicro(micros)
}

// lives is when a stream goes by itself.
type lives struct {
	ttl     time.Duration
	expires time.Time // zero: never
	expiry  time.Time // when the TTL ends as the store knows: an eighth late or less
	access  time.Time // when it was last used, zero: not known, or others may know better
}

// mortal reports whether a stream goes by itself at all.
func (l *lives) mortal() bool { return l.ttl > 0 || !l.expires.IsZero() }

// over reports whether the time of a stream has come. It is exact while the last
// use is remembered; after a restart a stream may live an eighth longer, never
// shorter.
func (l lives) over(now time.Time) bool {
	end := l.until()
	return !end.IsZero() && !now.Before(end)
}

// until returns when it goes if nobody uses it, zero for never.
func (l lives) until() time.Time {
	end := l.expires
	if l.ttl > 0 {
		ttl := l.expiry
		if !l.access.IsZero() {
			ttl = l.access.Add(l.ttl)
		}
		if end.IsZero() || !ttl.IsZero() && ttl.Before(end) {
			end = ttl
		}
	}
	return end
}

// renewal returns what the store is to know of the end of the TTL after a use,
// if that is worth a write: at most every eighth of it.
func (l lives) renewal(now time.Time) (time.Time, bool) {
	if l.ttl <= 0 || now.Add(l.ttl).Before(l.expiry) {
		return time.Time{}, false
	}
	// The store keeps whole microseconds: rather too late than too early.
	return now.Add(late(l.ttl)).Add(time.Microsecond - 1).Truncate(time.Microsecond), true
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
