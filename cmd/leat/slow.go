package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/leat-dev/leat"
	"github.com/leat-dev/leat/server"
)

// A slowRule is written PATTERN=skip:LAG or PATTERN=disconnect:LAG, where LAG is a
// number of records, a size, or both with a comma; or PATTERN=never.
type slowRule server.SlowRule

// UnmarshalText implements encoding.TextUnmarshaler, which kong uses.
func (r *slowRule) UnmarshalText(text []byte) error {
	// A name may have a '=' in it, what becomes of a reader has none.
	at := strings.LastIndexByte(string(text), '=')
	if at < 0 {
		return fmt.Errorf("%q is not a rule: write it such as 'prices/*=skip:1000' or 'logs/**=disconnect:64MiB'", text)
	}
	r.Pattern = string(text[:at])
	if _, err := leat.ParsePattern(r.Pattern); err != nil {
		return err
	}
	what, lag, bounded := strings.Cut(string(text[at+1:]), ":")
	switch {
	case what == "never" && !bounded:
		return nil
	case what != "skip" && what != "disconnect":
		return fmt.Errorf("%q is not understood: a slow reader is to skip or to disconnect, or never is", what)
	}
	r.Skip = what == "skip"
	for bound := range strings.SplitSeq(lag, ",") {
		if err := r.set(bound); err != nil {
			return fmt.Errorf("the lag %q is not understood: it is a number of records such as 1000, or a size such as 64MiB: %w", bound, err)
		}
	}
	return nil
}

func (r *slowRule) set(bound string) error {
	n, err := strconv.ParseInt(bound, 10, 64)
	if err == nil && n > 0 {
		r.Records = n
		return nil
	}
	if err = (*byteSize)(&r.Bytes).UnmarshalText([]byte(bound)); err == nil && r.Bytes == 0 {
		err = fmt.Errorf("it must be greater than nothing")
	}
	return err
}

func (c *serveCmd) slowRules() []server.SlowRule {
	var rules []server.SlowRule
	for _, r := range c.Slow {
		rules = append(rules, server.SlowRule(r))
	}
	return rules
}
