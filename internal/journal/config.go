package journal

import (
	"encoding/json"
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
}

// equal reports whether two configurations say the same.
func (c Config) equal(d Config) bool {
	return c.ContentType == d.ContentType && c.Retention == d.Retention && c.TTL == d.TTL && c.Expires.Equal(d.Expires)
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
	stateConfig = "config" // its Config in JSON, if it was made on purpose
	stateTail   = "tail"   // the bytes of an unfinished character that its text ends with
	stateExpiry = "expiry" // when its TTL ends, in microseconds since 1970, as last written
)

var stateKeys = []string{stateEnd, stateConfig, stateTail, stateExpiry}

func encodeConfig(c *Config) []byte {
	text, err := json.Marshal(c)
	if err != nil {
		panic(err) // it has nothing that cannot be encoded
	}
	return text
}

// decodeConfig reads what a store has kept. What cannot be read is told, not
// guessed at: a bound that is forgotten keeps too much, one that is made up
// removes what somebody wanted.
func decodeConfig(name string, text []byte, contentType string) (*Config, error) {
	if text == nil {
		return nil, nil
	}
	c := &Config{}
	if err := json.Unmarshal(text, c); err != nil {
		return nil, leat.Errorf(leat.CodeStoreFailed, "the configuration of the stream %q cannot be read: %w", name, err).
			Advise("Was the store written by a newer version of Leat? Use that.")
	}
	c.ContentType = contentType
	return c, nil
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
	access  time.Time // when it was last used in this process, zero: not known
}

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
			// What the store knows may be a later use, by another process.
			ttl = ttl.Add(-l.ttl / slack)
			if used := l.access.Add(l.ttl); used.After(ttl) {
				ttl = used
			}
		}
		if end.IsZero() || ttl.Before(end) {
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
	return now.Add(l.ttl + l.ttl/slack), true
}
