package main

import (
	"os/exec"
	"strings"
	"testing"
)

// The shells themselves say what they would complete. Of bash there is always one; the
// others are asked where they are installed.
func TestCompletion(t *testing.T) {
	shells := map[string]struct {
		script string // %s is the command line, whose last word is completed
		quote  func(line []string) string
	}{
		"bash": {`source /dev/stdin; COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _leat; echo "${COMPREPLY[*]}"`, quoted},
		"zsh": {`compdef() { :; }; _files() { print -n file; }; compadd() { [[ $1 == -- ]] && shift; print -rn -- "$@"; }
			_describe() { [[ $1 == -o ]] && shift; for w in ${(P)2}; do print -rn -- "${w%%%%:*} "; done; }
			source /dev/stdin; words=(%s); CURRENT=$#words; _leat`, quoted},
		"fish": {`source; complete -C %s`, func(line []string) string { return "'" + strings.Join(line, " ") + "'" }},
	}
	for name, shell := range shells {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath(name); err != nil {
				if name == "bash" {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			status, script, stderr := command(t, "", "completion", name)
			if status != 0 || stderr != "" {
				t.Fatalf("status %d, %s", status, stderr)
			}
			for line, want := range map[string]string{
				"leat ":                       "serve publish tail streams doctor",
				"leat streams ":               "list show close trim delete",
				"leat streams close a --st":   "--state",
				"leat streams close --state ": "complete aborted error",
				"leat tail --exp":             "--expect",
				"leat serve --store ":         "pebble memory",
				"leat tail a -":               "--chaos",
				"leat completion ":            "bash zsh fish",
			} {
				words := strings.Split(line, " ")
				cmd := exec.Command(name, "-c", strings.Replace(shell.script, "%s", shell.quote(words), 1))
				cmd.Args[2] = strings.ReplaceAll(cmd.Args[2], "%%", "%")
				cmd.Stdin = strings.NewReader(script)
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%q: %v\n%s", line, err, out)
				}
				for word := range strings.SplitSeq(want, " ") {
					if !strings.Contains(string(out), word) {
						t.Errorf("%q completes to %q, without %s", line, out, word)
					}
				}
			}
		})
	}
}

func quoted(line []string) string { return "'" + strings.Join(line, "' '") + "'" }
