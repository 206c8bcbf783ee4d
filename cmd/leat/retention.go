package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
)

// What the stores hold at most if nothing is said, in bytes.
const (
	diskStore   = 10 << 30
	memoryStore = 1 << 30
)

// An age is a duration that may be written in days: 12h, 7d.
type age time.Duration

// UnmarshalText implements encoding.TextUnmarshaler, which kong uses.
func (a *age) UnmarshalText(text []byte) error {
	if days, ok := strings.CutSuffix(string(text), "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return fmt.Errorf("%q is not a time: write it such as 90s, 12h or 7d", text)
		}
		*a = age(n) * age(24*time.Hour)
		return nil
	}
	d, err := time.ParseDuration(string(text))
	if err != nil || d < 0 {
		return fmt.Errorf("%q is not a time: write it such as 90s, 12h or 7d", text)
	}
	*a = age(d)
	return nil
}

// String writes it as it is read.
func (a age) String() string {
	const day = 24 * time.Hour
	if d := time.Duration(a); d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	text := time.Duration(a).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// option is the age as an option of the server, where 0 is another thing.
func (a age) option() time.Duration {
	if a == 0 {
		return -1
	}
	return time.Duration(a)
}

// A retentionRule is written PATTERN=records:N,bytes:SIZE,age:TIME.
type retentionRule server.RetentionRule

// UnmarshalText implements encoding.TextUnmarshaler.
func (r *retentionRule) UnmarshalText(text []byte) error {
	// A name may have a '=' in it, bounds have none.
	at := strings.LastIndexByte(string(text), '=')
	if at < 0 {
		return fmt.Errorf("%q is not a rule: write it such as 'logs/**=records:1000,age:1d'", text)
	}
	r.Pattern = string(text[:at])
	if _, err := leat.ParsePattern(r.Pattern); err != nil {
		return err
	}
	for bound := range strings.SplitSeq(string(text[at+1:]), ",") {
		if err := r.set(bound); err != nil {
			return fmt.Errorf("the bound %q is not understood: %w", bound, err)
		}
	}
	return nil
}

func (r *retentionRule) set(bound string) error {
	name, value, _ := strings.Cut(bound, ":")
	switch name {
	case "records":
		n, err := strconv.ParseUint(value, 10, 63)
		if err != nil {
			return fmt.Errorf("it is a number")
		}
		r.Retention.Records = int64(n)
		return nil
	case "bytes":
		return (*byteSize)(&r.Retention.Bytes).UnmarshalText([]byte(value))
	case "age":
		return (*age)(&r.Retention.Age).UnmarshalText([]byte(value))
	}
	return fmt.Errorf("there are records, bytes and age")
}

func (c *serveCmd) rules() []server.RetentionRule {
	var rules []server.RetentionRule
	for _, r := range c.Retain {
		rules = append(rules, server.RetentionRule(r))
	}
	return rules
}

// maxStore returns what the store is to hold at most.
func (c *serveCmd) maxStore() int64 {
	switch {
	case c.MaxStore != nil:
		return int64(*c.MaxStore)
	case c.Store == "memory":
		return memoryStore
	}
	return diskStore
}

// retention says what is kept, for people.
func (c *serveCmd) retention() string {
	text := "topics for ever"
	if c.TopicAge > 0 {
		text = "topics for " + c.TopicAge.String()
	}
	if most := c.maxStore(); most > 0 {
		text += fmt.Sprintf(" and while the store has less than %v", byteSize(most))
	}
	return text + "; streams made with PUT until they are deleted or expire"
}
