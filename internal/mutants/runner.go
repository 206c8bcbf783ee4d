package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// The verdicts on a mutant. Only caught is good.
const (
	caughtIt = "caught"
	survived = "SURVIVED" // the tests pass with the defect: they guard nothing
	broken   = "BROKEN"   // the mutant proves nothing; the table or the tests need work
)

// A result is a verdict with its reason, and the output that led to it.
type result struct {
	verdict string
	reason  string
	output  string
}

// A runner tries mutants. Its methods may be called by several goroutines at once.
type runner struct {
	root string // of the module
	tmp  string // everything that is written goes here, each try in a directory of its own

	// A mutated run may take ten times as long as the sound one did, and at
	// least patience: then it counts as hung, which is a failure.
	patience time.Duration

	mu     sync.Mutex
	sound  map[string]func() soundRun   // by package and -run, so that each is run once
	builds map[string]func() soundBuild // by package: linking takes longer than most runs
}

// A soundBuild is the tests of a package without a defect.
type soundBuild struct {
	tests   testBinary
	failure *result // nil when they build
}

func newRunner(root, tmp string, patience time.Duration) *runner {
	return &runner{root: root, tmp: tmp, patience: patience, sound: map[string]func() soundRun{}, builds: map[string]func() soundBuild{}}
}

// A soundRun is what the tests do without a defect.
type soundRun struct {
	failure *result // nil when they pass
	took    time.Duration
}

// try finds out whether the tests of m notice its defect.
func (r *runner) try(ctx context.Context, m Mutant) result {
	file := filepath.Join(r.root, filepath.FromSlash(m.File))
	text, err := os.ReadFile(file)
	if err != nil {
		return result{broken, err.Error(), ""}
	}
	mutated, err := m.apply(string(text))
	if err != nil {
		return result{broken, err.Error(), ""}
	}
	sound := r.runSound(ctx, m)
	if sound.failure != nil {
		return *sound.failure
	}
	dir, err := os.MkdirTemp(r.tmp, "")
	if err != nil {
		return result{broken, err.Error(), ""}
	}
	defer os.RemoveAll(dir)
	overlay, err := writeOverlay(dir, file, mutated)
	if err != nil {
		return result{broken, err.Error(), ""}
	}
	tests, out, err := r.build(ctx, dir, m.Package, "-overlay", overlay)
	if err != nil {
		return result{broken, "the mutated code does not compile", out}
	}
	// A package that cannot even start fails every test, and proves nothing.
	if out, err := tests.run(ctx, "^$", r.patience); err != nil {
		return result{broken, "the mutated code fails before any test runs", out}
	}
	out, err = tests.run(ctx, m.Run, max(10*sound.took, r.patience))
	if err == nil {
		return result{survived, "the tests pass with the defect", out}
	}
	sign := firstLine(out, "panic: test timed out", "--- FAIL: ", "panic: ", "fatal error: ")
	if sign == "" {
		return result{broken, "the tests ended without a verdict: " + err.Error(), out}
	}
	return result{caughtIt, strings.TrimPrefix(sign, "--- FAIL: "), out}
}

// apply returns the text with the defect in it.
func (m Mutant) apply(text string) (string, error) {
	if n := strings.Count(text, m.Old); m.Old == "" || n != 1 {
		return "", fmt.Errorf("the text to replace occurs %d times in %s, want 1: %q", n, m.File, m.Old)
	}
	if m.Old == m.New {
		return "", errors.New("the replacement changes nothing")
	}
	return strings.Replace(text, m.Old, m.New, 1), nil
}

// once returns what made makes of a key, for all who ask one after the other or at the
// same time. mu guards the map.
func once[T any](mu *sync.Mutex, known map[string]func() T, key string, made func() T) T {
	mu.Lock()
	f, ok := known[key]
	if !ok {
		f = sync.OnceValue(made)
		known[key] = f
	}
	mu.Unlock()
	return f()
}

// runSound runs the tests of m without the defect, once for all mutants that
// name the same tests.
func (r *runner) runSound(ctx context.Context, m Mutant) soundRun {
	return once(&r.mu, r.sound, m.Package+" "+m.Run, func() soundRun {
		b := once(&r.mu, r.builds, m.Package, func() soundBuild { return r.buildSound(ctx, m.Package) })
		if b.failure != nil {
			return soundRun{failure: b.failure}
		}
		return trySound(ctx, b.tests, m.Run)
	})
}

// buildSound builds the tests of a package as they are. They stay until all mutants are
// tried.
func (r *runner) buildSound(ctx context.Context, pkg string) soundBuild {
	dir, err := os.MkdirTemp(r.tmp, "")
	if err != nil {
		return soundBuild{failure: &result{broken, err.Error(), ""}}
	}
	tests, out, err := r.build(ctx, dir, pkg)
	if err != nil {
		return soundBuild{failure: &result{broken, "the tests do not build, even without the defect", out}}
	}
	return soundBuild{tests: tests}
}

func trySound(ctx context.Context, tests testBinary, match string) soundRun {
	start := time.Now()
	out, err := tests.run(ctx, match, 10*time.Minute)
	switch {
	case err != nil:
		return soundRun{failure: &result{broken, "the tests fail without the defect too", out}}
	case firstLine(out, "--- PASS: ") == "":
		return soundRun{failure: &result{broken, "no test ran: none matches, or all were skipped", out}}
	}
	return soundRun{took: time.Since(start)}
}

// writeOverlay returns the name of a file in dir for the go command's -overlay
// flag, which puts text in the place of file.
func writeOverlay(dir, file, text string) (string, error) {
	mutated := filepath.Join(dir, "mutated.go")
	overlay := filepath.Join(dir, "overlay.json")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{file: mutated}})
	if err != nil {
		return "", err
	}
	return overlay, errors.Join(os.WriteFile(mutated, []byte(text), 0o666), os.WriteFile(overlay, replace, 0o666))
}

// A testBinary is what go test -c builds. Running it, rather than go test,
// keeps a failure to build or to vet from looking like a test that fails.
type testBinary struct {
	file string
	dir  string // of the package, where its tests expect to be run
}

// build compiles the tests of one package into dir; its output tells why it could not.
// Without the tables of a debugger linking takes half as long.
func (r *runner) build(ctx context.Context, into, pkg string, flags ...string) (testBinary, string, error) {
	list := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", pkg)
	list.Dir = r.root
	dir, err := list.Output()
	if err != nil {
		return testBinary{}, "go list finds no such package", err
	}
	tests := testBinary{filepath.Join(into, "mutant.test"), strings.TrimSpace(string(dir))}
	args := append([]string{"test", "-c", "-ldflags", "-w", "-o", tests.file}, flags...)
	cmd := exec.CommandContext(ctx, "go", append(args, pkg)...)
	cmd.Dir = r.root
	out, err := cmd.CombinedOutput()
	if err == nil {
		_, err = os.Stat(tests.file) // there is none for a package without tests
	}
	return tests, string(out), err
}

// run runs the tests that match and returns their verbose output.
func (b testBinary) run(ctx context.Context, match string, timeout time.Duration) (string, error) {
	// A hung test ends by its own timeout, with stacks; the context is for a
	// process that cannot do even that.
	ctx, cancel := context.WithTimeout(ctx, timeout+time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, b.file, "-test.v", "-test.failfast", "-test.paniconexit0", "-test.run", match, "-test.timeout", timeout.String())
	cmd.Dir = b.dir
	cmd.WaitDelay = time.Second // a child that the test left behind may hold its output
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// firstLine returns the first line of out that has one of the marks, looking
// for the marks in their order; "" if none has.
func firstLine(out string, marks ...string) string {
	for _, mark := range marks {
		for line := range strings.Lines(out) {
			if strings.Contains(line, mark) {
				return strings.TrimSpace(line)
			}
		}
	}
	return ""
}
