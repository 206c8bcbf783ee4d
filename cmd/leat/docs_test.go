package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// cliDoc is the page whose sessions docs.txtar runs.
const cliDoc = "../../docs/cli.md"

// sessions FILE runs the console sessions of a page: what stands behind a dollar sign,
// with a shell, has to say the lines below it. Ids and times may be others, … is
// anything, and so is a version.
func cmdSessions(ts *testscript.TestScript, neg bool, args []string) {
	text := ts.ReadFile(args[0])
	blocks := regexp.MustCompile("(?ms)^```console\n(.*?)^```$").FindAllStringSubmatch(text, -1)
	if len(blocks) == 0 {
		ts.Fatalf("%s has no sessions", args[0])
	}
	for _, block := range blocks {
		for _, step := range strings.Split("\n"+block[1], "\n$ ")[1:] {
			command, want, _ := strings.Cut(step, "\n")
			ctx, cancel := context.WithTimeout(context.Background(), patience)
			cmd := exec.CommandContext(ctx, "sh", "-c", command)
			cmd.Dir = ts.MkAbs(".")
			cmd.Env = append(os.Environ(), "LEAT_SERVER="+ts.Getenv("LEAT_SERVER"), "PATH="+ts.Getenv("PATH"))
			cmd.WaitDelay = time.Second    // what the shell has started may be left
			out, _ := cmd.CombinedOutput() // that it has failed stands there too
			cancel()
			if !pattern(want).Match(out) {
				ts.Fatalf("%s: $ %s\n%s\nthe page has\n%s", args[0], command, out, want)
			}
		}
	}
}

// pattern is what matches the output that a page has.
func pattern(want string) *regexp.Regexp {
	want = regexp.QuoteMeta(strings.TrimSpace(want))
	for from, to := range map[string]string{
		"…":             ".*",
		`\d{16}_\d{16}`: `\d{16}_\d{16}`,
		`\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\\\.\d{3}`: clock,
	} {
		want = regexp.MustCompile(from).ReplaceAllLiteralString(want, to)
	}
	return regexp.MustCompile(fmt.Sprintf(`^%s\n?$`, want))
}
