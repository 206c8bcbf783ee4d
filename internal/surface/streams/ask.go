package streams

import (
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/internal/ingest"
	"github.com/leat-dev/leat/internal/journal"
)

func badField(name, value, why, advice string) error {
	return leat.Errorf(leat.CodeInvalidParameter, "%s: %.64q is not understood: %s", name, value, why).Advise(advice)
}

// field returns the value of a field that has one. If a head has it twice, that
// is what a list of both would be, which is no value of such a field.
func field(h http.Header, name string) string {
	return strings.TrimSpace(strings.Join(h.Values(name), ", "))
}

// configOf returns the configuration that the head of a request asks for.
func configOf(h http.Header) (c journal.Config, err error) {
	c.ContentType = ingest.OwnType(h.Get("Content-Type"))
	if _, _, err := mime.ParseMediaType(c.ContentType); err != nil || !strings.Contains(essenceOf(c.ContentType), "/") {
		// What is no type says nothing. A fork that says nothing has its source's.
		c.ContentType = ""
	}
	ttl, expires := field(h, fieldTTL), field(h, fieldExpires)
	if ttl != "" && expires != "" {
		return c, badField(fieldExpires, expires, "there is a "+fieldTTL+" too", "Send one of the two.")
	}
	if ttl != "" {
		seconds, err := strconv.ParseUint(ttl, 10, 63)
		if err != nil || strconv.FormatUint(seconds, 10) != ttl || seconds > maxSeconds {
			return c, badField(fieldTTL, ttl, "it is no number of seconds", "Send seconds in decimal digits, for example "+fieldTTL+": 3600.")
		}
		// A TTL of nothing is one that is over at once.
		c.TTL = max(time.Duration(seconds)*time.Second, 1)
	}
	if expires != "" {
		if c.Expires, err = time.Parse(time.RFC3339, expires); err != nil || !rfc3339.MatchString(expires) {
			return c, badField(fieldExpires, expires, "it is no date and time of RFC 3339", "Send one such as 2026-12-31T23:59:59Z.")
		}
		c.ExpiresText = expires
	}
	c.Retention, err = parseRetention(h.Values(fieldRetain))
	return c, err
}

// rfc3339 is what time.Parse lets pass with less than the format asks for: an hour
// of one digit, a comma before the fraction.
var rfc3339 = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,20})?(Z|[+-]\d\d:\d\d)$`)

// maxSeconds is the longest time that can be asked for: 100 years.
const maxSeconds = 100 * 366 * 24 * 60 * 60

const retentionAdvice = "Send bounds such as " + fieldRetain + ": records=1000, bytes=10485760, age=86400, of which each may be missing; age is in seconds."

// parseRetention reads a dictionary of integers (RFC 9651, section 3.2).
func parseRetention(values []string) (r journal.Retention, err error) {
	text := strings.Join(values, ",")
	if strings.TrimSpace(text) == "" {
		return r, nil
	}
	for part := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(strings.Trim(part, " \t"), "=")
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil || n == 0 || len(value) > 15 { // an integer of a structured field has 15 digits
			return r, badField(fieldRetain, text, "the bound "+strconv.Quote(key)+" is no positive integer", retentionAdvice)
		}
		switch key {
		case "records":
			r.Records = int64(n)
		case "bytes":
			r.Bytes = int64(n)
		case "age":
			if n > maxSeconds {
				return r, badField(fieldRetain, text, "the age is more than 100 years", retentionAdvice)
			}
			r.Age = time.Duration(n) * time.Second
		default:
			return r, badField(fieldRetain, text, "there is no bound "+strconv.Quote(key), retentionAdvice)
		}
	}
	return r, nil
}

func formatRetention(r journal.Retention) string {
	var parts []string
	add := func(key string, n int64) {
		if n > 0 {
			parts = append(parts, key+"="+strconv.FormatInt(n, 10))
		}
	}
	add("records", r.Records)
	add("bytes", r.Bytes)
	add("age", int64(r.Age/time.Second))
	return strings.Join(parts, ", ")
}

// An ending is how a request asks to end a stream, with an empty state if it does
// not.
type ending struct {
	state  leat.EndState
	reason string
}

const endAdvice = "Send for example " + fieldEnd + `: aborted, or ` + fieldEnd + `: error; reason="disk full".`

// endingOf reads Stream-Closed, which counts only as true, and Leat-End.
func endingOf(h http.Header) (e ending, err error) {
	text := field(h, fieldEnd)
	if !strings.EqualFold(field(h, fieldClosed), "true") {
		if text != "" {
			return e, badField(fieldEnd, text, "it says how the stream ends, and it does not", "Send "+fieldClosed+": true as well.")
		}
		return e, nil
	}
	if text == "" {
		return ending{state: leat.EndComplete}, nil
	}
	e, ok := parseEnd(text)
	switch e.state {
	case leat.EndComplete, leat.EndAborted, leat.EndError:
	default:
		return e, badField(fieldEnd, text, "there is no such way to end", "Send complete, aborted or error.")
	}
	if !ok {
		return e, badField(fieldEnd, text, "what follows the state is no reason", endAdvice)
	}
	return e, nil
}

// parseEnd reads a token with an optional parameter reason (RFC 9651, section
// 3.3): a string, or a display string if it is not in ASCII.
func parseEnd(text string) (e ending, ok bool) {
	state, rest, more := strings.Cut(text, ";")
	e.state = leat.EndState(strings.TrimRight(state, " "))
	if !more {
		return e, true
	}
	value, ok := strings.CutPrefix(strings.TrimLeft(rest, " "), "reason=")
	if !ok {
		return e, false
	}
	e.reason, ok = parseText(value)
	return e, ok
}

// formatEnd writes what parseEnd reads.
func formatEnd(e ending) string {
	if e.reason == "" {
		return string(e.state)
	}
	return string(e.state) + "; reason=" + formatText(e.reason)
}
