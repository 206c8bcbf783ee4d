package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// configured is what --print-config says for a command line, without where from.
func configured(t *testing.T, args ...string) string {
	t.Helper()
	var c cli
	var out bytes.Buffer
	std := &streams{in: strings.NewReader(""), out: &out, err: io.Discard}
	parser, err := newParser(&c, std)
	if err != nil {
		t.Fatal(err)
	}
	command, err := parser.Parse(append([]string{"serve", "--print-config"}, args...))
	if err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	command.BindTo(t.Context(), (*context.Context)(nil))
	if err := command.Run(std, &c); err != nil {
		t.Fatalf("%q: %v", args, err)
	}
	var b strings.Builder
	for line := range strings.Lines(out.String()) {
		setting, _, _ := strings.Cut(line, " # ")
		fmt.Fprintln(&b, strings.TrimSuffix(setting, "\n"))
	}
	return b.String()
}

// What is printed is a file that says the same, whatever was set, and in whatever way.
func TestPrintedConfigIsTheSame(t *testing.T) {
	for _, args := range [][]string{
		{},
		{"--store", "memory", "--max-store", "0", "--topic-age", "0", "--no-v1", "--subscriptions"},
		{"--retain", "a=records:1", "--retain", "**=bytes:3,age:90m", "--retain", "x=y=age:12h"},
		{"--slow", "a=never", "--slow", "*/b=skip:10,1KiB", "--slow", "**=disconnect:1GiB"},
		{"--cors-origin", "*", "--allow-host", "yes", "--allow-host", "1", "--allow-host", "a: b", "--data", "#x"},
		{"--stall-timeout=-1s", "--sync-pause", "250us", "--key-window", "1h30m", "--drain", "0"},
	} {
		want := configured(t, args...)
		file := filepath.Join(t.TempDir(), "leat.yaml")
		if err := os.WriteFile(file, []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := configured(t, "--config", file); got != want {
			t.Errorf("%q: the file\n%s\nis read as\n%s", args, want, got)
		}
	}
}

// A file has as much right to be empty as to be there.
func TestEmptyConfig(t *testing.T) {
	want := configured(t)
	for _, text := range []string{"", "\n", "# nothing\n", "---\n", "---\n# nothing\n", "{}\n"} {
		file := filepath.Join(t.TempDir(), "leat.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := configured(t, "--config", file); got != want {
			t.Errorf("%q: %s", text, got)
		}
	}
}

// Repeated flags in the environment are lines, and a flag takes the place of all of them.
func TestConfigOfTheEnvironment(t *testing.T) {
	t.Setenv("LEAT_ALLOW_HOST", "a\nb\n")
	t.Setenv("LEAT_RETAIN", "a=records:1")
	t.Setenv("LEAT_SUBSCRIPTIONS", "true")
	t.Setenv("LEAT_MAX_STORE", "5GiB")
	want := configured(t, "--retain", "b=records:2")
	t.Setenv("LEAT_ALLOW_HOST", "c")
	t.Setenv("LEAT_RETAIN", "b=records:2")
	if got := configured(t, "--allow-host", "a", "--allow-host", "b"); got != want || !strings.Contains(got, "allow-host:\n- a\n- b\n") || !strings.Contains(got, "max-store: 5GiB\n") {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

func TestNearest(t *testing.T) {
	for word, want := range map[string]string{
		"listn": "listen", "max_record": "max-record", "maxrecord": "max-record", "retian": "retain", "zzzzzz": "", "": "",
	} {
		got := nearest(word, []string{"listen", "max-record", "retain", "slow"})
		if (want == "") != (got == "") || !strings.Contains(got, want) {
			t.Errorf("%q: %q, want %q", word, got, want)
		}
	}
	for _, test := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"", "ab", 2}, {"kitten", "sitting", 3}, {"ab", "ba", 2}} {
		if got := distance(test.a, test.b); got != test.want {
			t.Errorf("distance(%q, %q) = %d, want %d", test.a, test.b, got, test.want)
		}
	}
}

// Whatever is in a file, what is wrong with it is told with its name, and nothing panics.
func TestOddConfigs(t *testing.T) {
	for text, wrong := range map[string]bool{
		"listen: &x 127.0.0.1:0\ndata: *x\n": false, "listen: |\n  127.0.0.1:0\n": false, "max-store: ~\n": true, "allow-host:\n": false,
		"slow: &y [*y]\n": true, "? {a: b}\n: c\n": true, "retain: [{pattern: [a], age: {}}]": true, "retain: [[a]]": true, "- listen\n": true,
		"listen\n": true, "<<: {listen: a}\n": true, "listen: a\n---\nlisten: b\n": true, "\x00": true, "listen: a\n\tb: c\n": true, "[": true,
	} {
		file := filepath.Join(t.TempDir(), "leat.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		var c cli
		parser, err := newParser(&c, &streams{in: strings.NewReader(""), out: io.Discard, err: io.Discard})
		if err != nil {
			t.Fatal(err)
		}
		c.Serve.settings.noEnv = true
		_, err = parser.Parse([]string{"serve", "--config", file})
		if (err != nil) != wrong || err != nil && !strings.Contains(configError(err).Error(), file+":") {
			t.Errorf("%q: %v", text, err)
		}
	}
}
