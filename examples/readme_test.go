package examples

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The READMEs say how to run what is there, and name only tests that exist.
func TestReadmes(t *testing.T) {
	index := read(t, "README.md")
	tests := ""
	for _, file := range glob(t, "*_test.go") {
		tests += read(t, file)
	}
	for _, file := range append(glob(t, "*/README.md"), "README.md") {
		text := read(t, file)
		for _, name := range regexp.MustCompile(`Test\w+(/\w+)?`).FindAllString(text, -1) {
			name, sub, _ := strings.Cut(name, "/")
			if !strings.Contains(tests, "func "+name+"(t *testing.T)") || sub != "" && !strings.Contains(tests, `"`+strings.ReplaceAll(sub, "_", " ")+`"`) {
				t.Errorf("%s: there is no test %s/%s", file, name, sub)
			}
		}
	}
	for _, file := range glob(t, "*/client.mjs") {
		dir := filepath.Dir(file)
		text := read(t, dir+"/README.md")
		for _, command := range []string{"go run ./" + dir, "node " + dir + "/client.mjs", "python3 " + dir + "/client.py"} {
			if !strings.Contains(text, command) {
				t.Errorf("%s/README.md does not say %q", dir, command)
			}
		}
		if !strings.Contains(index, "("+dir+")") {
			t.Errorf("README.md does not name %s", dir)
		}
		if !strings.Contains(read(t, dir+"/client.py"), "python3 "+dir+"/client.py") || !strings.Contains(read(t, file), "node "+file) {
			t.Errorf("the clients of %s do not say how they are run", dir)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %v, %v", pattern, files, err)
	}
	return files
}
