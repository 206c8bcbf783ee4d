package client_test

import (
	"os"
	"strings"
	"testing"
)

// The Go in docs/clients.md is part of the examples, line by line.
func TestDocumentedSnippets(t *testing.T) {
	read := func(name string) string {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	var examples strings.Builder
	for _, name := range []string{"example_test.go", "example_forms_test.go"} {
		for line := range strings.Lines(read(name)) {
			examples.WriteString(strings.TrimSpace(line) + "\n")
		}
	}
	_, section, _ := strings.Cut(read("../docs/clients.md"), "\n## Go\n")
	section, _, _ = strings.Cut(section, "\n## ")
	blocks := strings.Split(section, "```go\n")[1:]
	for _, block := range blocks {
		code, _, _ := strings.Cut(block, "```")
		var lines strings.Builder
		for line := range strings.Lines(code) {
			lines.WriteString(strings.TrimSpace(line) + "\n")
		}
		if !strings.Contains(examples.String(), lines.String()) {
			t.Errorf("no example has\n%s", code)
		}
	}
	if len(blocks) < 2 {
		t.Errorf("%d snippets", len(blocks))
	}
}
