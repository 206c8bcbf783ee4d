package main

import (
	"testing"

	"github.com/leat-dev/leat/server"
)

func TestSlowRule(t *testing.T) {
	for text, want := range map[string]server.SlowRule{
		"prices/*=skip:1000":       {Pattern: "prices/*", Records: 1000, Skip: true},
		"logs/**=disconnect:64MiB": {Pattern: "logs/**", Bytes: 64 << 20},
		"a=b=skip:1000,5B":         {Pattern: "a=b", Records: 1000, Bytes: 5, Skip: true},
		"a=disconnect:5KiB,1":      {Pattern: "a", Records: 1, Bytes: 5 << 10},
		"a=never":                  {Pattern: "a"},
	} {
		var r slowRule
		if err := r.UnmarshalText([]byte(text)); err != nil || server.SlowRule(r) != want {
			t.Errorf("%s: %+v, %v", text, r, err)
		}
	}
	for _, text := range []string{
		"", "a", "a=", "a=skip", "a=skip:", "a=skip:0", "a=skip:-1", "a=skip:0B", "a=skip:many", "a=skip:1,", "a=drop:1", "a=never:1", "=skip:1", "a/**/b=skip:1",
		"a=skip:9999999999999999999999",
	} {
		if err := new(slowRule).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is taken for a rule", text)
		}
	}
}
