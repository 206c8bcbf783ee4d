package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The table must fit the code: this is the quick half of `make mutants`, which
// tells who edits a line that a mutant names.
func TestTable(t *testing.T) {
	seen := map[string]bool{}
	for _, m := range table {
		if m.Name == "" || m.Why == "" || m.Package == "" || m.Run == "" {
			t.Errorf("%q: Name, Why, Package and Run must all be set", m.Name)
		}
		if seen[m.Name] {
			t.Errorf("%s: there are two of this name", m.Name)
		}
		seen[m.Name] = true
		if strings.HasSuffix(m.File, "_test.go") {
			t.Errorf("%s: a defect in a test proves nothing", m.Name)
		}
		text, err := os.ReadFile(filepath.Join("..", "..", filepath.FromSlash(m.File)))
		if err != nil {
			t.Errorf("%s: %v", m.Name, err)
		} else if _, err := m.apply(string(text)); err != nil {
			t.Errorf("%s: %v", m.Name, err)
		}
	}
}

// Each verdict, over the small module in testdata/tiny.
func TestVerdicts(t *testing.T) {
	root, err := filepath.Abs("testdata/tiny")
	if err != nil {
		t.Fatal(err)
	}
	before := readTree(t, root)
	r := newRunner(root, t.TempDir(), 2*time.Second)
	good := Mutant{Name: "good", File: "tiny.go", Old: "a > b", New: "a < b", Package: ".", Run: "^TestMax$"}
	for _, test := range []struct {
		name    string
		change  func(m *Mutant)
		verdict string
		reason  string
	}{
		{"the test notices", func(m *Mutant) {}, caughtIt, "TestMax"},
		{"the test is weak", func(m *Mutant) { m.Run = "^TestWeak$" }, survived, "pass with the defect"},
		{"the code panics", func(m *Mutant) { m.Old, m.New = "return b\n", "panic(b)\n" }, caughtIt, "TestMax"},
		{"the code hangs", func(m *Mutant) { m.Old, m.New = "return b\n", "select {}\n" }, caughtIt, "panic: test timed out"},
		{"the code exits", func(m *Mutant) { m.New = "die(3) == 3" }, broken, "without a verdict"},
		{"the code exits as if all were well", func(m *Mutant) { m.New = "die(0) == 0" }, caughtIt, "TestMax"},
		{"it does not compile", func(m *Mutant) { m.New = "a >" }, broken, "does not compile"},
		{"it does not start", func(m *Mutant) { m.Old, m.New = "limit = 10", "limit = die(3)" }, broken, "before any test runs"},
		{"the text is gone", func(m *Mutant) { m.Old = "a >= b" }, broken, "occurs 0 times"},
		{"the text is there twice", func(m *Mutant) { m.Old = "> limit" }, broken, "occurs 2 times"},
		{"nothing changes", func(m *Mutant) { m.New = m.Old }, broken, "changes nothing"},
		{"no such file", func(m *Mutant) { m.File = "none.go" }, broken, "none.go"},
		{"no such package", func(m *Mutant) { m.Package = "./none" }, broken, "do not build"},
		{"several packages", func(m *Mutant) { m.Package = "./..." }, broken, "do not build"},
		{"no test files", func(m *Mutant) { m.Package = "./bare" }, broken, "do not build"},
		{"no such test", func(m *Mutant) { m.Run = "^TestNone$" }, broken, "no test ran"},
		{"a skipped test", func(m *Mutant) { m.Run = "^TestSkipped$" }, broken, "no test ran"},
		{"the test is red anyway", func(m *Mutant) { m.Run = "^TestRed$" }, broken, "without the defect too"},
	} {
		t.Run(test.name, func(t *testing.T) {
			m := good
			test.change(&m)
			got := r.try(t.Context(), m)
			if got.verdict != test.verdict || !strings.Contains(got.reason, test.reason) {
				t.Errorf("got %s: %s, want %s: …%s…\n%s", got.verdict, got.reason, test.verdict, test.reason, got.output)
			}
		})
	}
	if readTree(t, root) != before {
		t.Error("the tree has changed")
	}
}

// The report has a line per mutant, and is good only if all were caught.
func TestReport(t *testing.T) {
	root, err := filepath.Abs("testdata/tiny")
	if err != nil {
		t.Fatal(err)
	}
	good := Mutant{Name: "max-turned", File: "tiny.go", Old: "a > b", New: "a < b", Package: ".", Run: "^TestMax$"}
	weak := good
	weak.Name, weak.Run = "max-unguarded", "^TestWeak$"
	for _, test := range []struct {
		only  string
		ok    bool
		lines []string
	}{
		{"", false, []string{"caught .* max-turned: TestMax", "SURVIVED .* max-unguarded: ", "mutants: 1 of 2 caught"}},
		{"turned", true, []string{"caught .* max-turned: TestMax", "mutants: 1 of 1 caught"}},
		{"unguarded", false, []string{"SURVIVED .* max-unguarded: ", "mutants: 0 of 1 caught"}},
	} {
		var out strings.Builder
		r := newRunner(root, t.TempDir(), 2*time.Second)
		ok := r.report(t.Context(), &out, []Mutant{good, weak}, regexp.MustCompile(test.only), false)
		if want := "(?s)^" + strings.Join(test.lines, ".*\n"); ok != test.ok || !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("-run %q: got %v and\n%s\nwant %v and %q", test.only, ok, out.String(), test.ok, want)
		}
	}
}

// readTree returns the names and contents of all files below root.
func readTree(t *testing.T, root string) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := os.ReadFile(name)
		fmt.Fprintf(&all, "%s: %q\n", name, text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}
