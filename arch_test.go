package leat_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// This file keeps the architecture: which package may import which, that each
// package says what it is, and that each dependency is accounted for. Packages
// are written as leat/internal/live, for github.com/leat-dev/leat/internal/live.
// In a pattern * is one path element, and /** at the end is everything below.

const modulePath = "github.com/leat-dev/leat"

// layers has every package of the module, from the top to the bottom. A
// package may import what is on a lower line, and nothing on its own line or
// above. Tests may import anything of ours: a stage is tested over real stores.
var layers = [][]string{
	{"leat/cmd/*", "leat/internal/mutants", "leat/internal/real", "leat/conformance/*"},
	{"leat/server", "leat/server/h3", "leat/server/metrics", "leat/server/otel", "leat/console", "leat/internal/doctor"},
	{"leat/internal/surface/*"},
	{"leat/internal/session", "leat/internal/upload"},
	{"leat/internal/surface"},
	{"leat/internal/live", "leat/internal/ingest", "leat/internal/socket", "leat/internal/subscription"},
	{"leat/internal/journal", "leat/internal/render"},
	{"leat/store/*", "leat/client"},
	{"leat/internal/tally"},
	{"leat/store", "leat/sse", "leat/internal/frame", "leat/internal/wire", "leat/internal/repeat", "leat/clients/js"},
	{"leat/internal/epoll"},
	{"leat"},
}

// sideways has the imports within one layer that are meant.
var sideways = []rule{
	{"leat/server/h3", []string{"leat/server"}, "HTTP/3 carries the handler that server builds"},
	{"leat/server/metrics", []string{"leat/server"}, "what server counts, for Prometheus"},
	{"leat/server/otel", []string{"leat/server"}, "what server does, for OpenTelemetry"},
	{"leat/store/storetest", []string{"leat/store/memstore"}, "the suite dresses the memory store up as a foreign one"},
}

// A rule is about the imports of the packages that match from.
type rule struct {
	from string
	to   []string
	why  string
}

// forbidden narrows what the layers allow.
var forbidden = []rule{
	{"leat/sse", []string{"leat", "leat/**"},
		"the text/event-stream codec is of use to people who have no Leat"},
	{"leat/clients/js", []string{"leat"},
		"it has a file for browsers, and nothing of Go"},
	{"leat/client", []string{"leat/store"},
		"a client speaks HTTP to any conforming server"},
	{"leat/console", []string{"leat/**"},
		"the console uses only the HTTP interface, as any other page could"},
	{"leat/internal/**", []string{"leat/store/*"},
		"the stages work over the driver contract; who builds the server picks the driver"},
	{"leat/internal/surface/*", []string{"leat/internal/surface/*"},
		"what a second surface needs belongs into a stage"},
	{"leat/internal/surface", []string{"leat/internal/live", "leat/internal/journal", "leat/internal/ingest", "leat/store"},
		"what surfaces share is about HTTP; a rule of streams belongs into a stage"},
	{"leat/internal/ingest", []string{"leat/store"},
		"ingest makes records of a body and stores none"},
	{"leat/internal/journal", []string{"net/http", "net/http/**"},
		"the journal's rules are the same whatever surface a record came through"},
	{"leat/internal/live", []string{"net/http", "net/http/**"},
		"live knows feeds and positions, no connections"},
	{"leat/internal/live", []string{"leat/internal/render", "leat/internal/socket"},
		"live meets render and socket only through small interfaces of its own"},
	{"leat/internal/render", []string{"net/http", "net/http/**"},
		"a frame is a pure function of record and encoding"},
	{"leat/internal/subscription", []string{"leat/internal/render", "leat/sse"},
		"a subscription says that there is something to read, and reads nothing"},
	{"leat/internal/socket", []string{"leat/internal/ingest", "leat/internal/live", "leat/internal/journal", "leat/internal/render", "leat/store", "leat/sse"},
		"socket moves bytes from (feed, position) to a connection and sees no record and no format"},
	{"leat/internal/wire", []string{"leat/**", "net/http", "net/http/**"},
		"a wire has bytes, and nothing that they mean"},
	{"leat/internal/epoll", []string{"leat", "leat/**"}, "a descriptor has events, whatever it is of"},
	{"leat/internal/repeat", []string{"leat", "leat/store", "leat/sse", "leat/internal/frame", "leat/internal/wire"},
		"a connection whose requests repeat is a matter of HTTP, whatever they ask for"},
	{"leat", []string{"C"}, "the binary is static, built without cgo"},
	{"leat/**", []string{"C"}, "the binary is static, built without cgo"},
}

// thirdParty is the whole list of foreign modules and of the packages that may
// import them. docs/dependencies.md says why we have them.
var thirdParty = []rule{
	{"leat/store/pebblestore", []string{"github.com/cockroachdb/pebble/v2"}, "one driver, one engine"},
	{"leat/server/h3", []string{"github.com/quic-go/quic-go"}, "who does without HTTP/3 does without QUIC"},
	{"leat/server/metrics", []string{"github.com/prometheus/client_golang"}, "who does without Prometheus does without its library: server has metrics as data"},
	{"leat/server/otel", []string{"go.opentelemetry.io/otel"}, "who does without OpenTelemetry does without its library: server has an interface of its own"},
	{"leat/cmd/leat", []string{"github.com/alecthomas/kong"}, "flags are the command's business"},
	{"leat/cmd/leat", []string{"go.yaml.in/yaml/v4"}, "and so is the file that has them"},
	{"leat/internal/surface", []string{"github.com/coder/websocket"}, "an upgrade is a matter of HTTP; behind it there are lines"},
	{"leat/internal/epoll", []string{"golang.org/x/sys/unix"}, "it speaks to the system"},
	{"leat/internal/socket", []string{"golang.org/x/sys/unix"}, "so does who writes to connections"},
	{"leat/internal/repeat", []string{"golang.org/x/sys/unix"}, "and who reads from publishers"},
}

// testModules may be imported by any test. Stages are tested over the durable
// store on a file system in memory.
var testModules = []string{"github.com/rogpeppe/go-internal", "pgregory.net/rapid", "github.com/cockroachdb/pebble/v2/vfs", "github.com/coder/websocket"}

func TestImports(t *testing.T) {
	pkgs := loadPackages(t)
	root := slices.IndexFunc(pkgs, func(p pkg) bool { return p.path == "leat" })
	if root < 0 || !slices.Contains(pkgs[root].testImports, "go/parser") {
		t.Fatal("the loader does not see the imports of this very file")
	}
	for _, p := range pkgs {
		for _, v := range violations(p) {
			t.Error(v)
		}
	}
}

func TestPackageComments(t *testing.T) {
	for _, p := range loadPackages(t) {
		if p.doc == "" {
			t.Errorf("%s has no package comment: say in one file, above its package clause, what it is for", p.path)
		}
	}
}

func TestDependenciesAreDocumented(t *testing.T) {
	doc := readFile(t, "docs/dependencies.md")
	for _, file := range []string{"go.mod", "tools/go.mod"} {
		for _, module := range undocumented(readFile(t, file), doc) {
			t.Errorf("%s: %s has no row in docs/dependencies.md", file, module)
		}
	}
}

// violations returns a line for each import of p that is not allowed.
func violations(p pkg) []string {
	var out []string
	report := func(imp, why string) { out = append(out, fmt.Sprintf("%s imports %s: %s", p.path, imp, why)) }
	from := layerOf(p.path)
	if from < 0 {
		out = append(out, p.path+" has no place in the layers of arch_test.go: give it one")
	}
	for _, imp := range p.imports {
		for _, r := range forbidden {
			if r.covers(p.path, imp) {
				report(imp, r.why)
			}
		}
		switch to := layerOf(imp); {
		case isOurs(imp):
			if to <= from && !slices.ContainsFunc(sideways, func(r rule) bool { return r.covers(p.path, imp) }) {
				report(imp, "imports run down the layers of arch_test.go only")
			}
		case isForeign(imp) && !foreignAllowed(p.path, imp):
			report(imp, "foreign modules are imported only where thirdParty in arch_test.go says so")
		}
	}
	for _, imp := range p.testImports {
		if isForeign(imp) && !foreignAllowed(p.path, imp) && !slices.ContainsFunc(testModules, within(imp)) {
			report(imp, "a test may import testModules of arch_test.go and what its package may")
		}
	}
	return out
}

func (r rule) covers(from, to string) bool {
	return matches(r.from, from) && slices.ContainsFunc(r.to, func(p string) bool { return matches(p, to) })
}

func matches(pattern, name string) bool {
	if dir, ok := strings.CutSuffix(pattern, "/**"); ok {
		return strings.HasPrefix(name, dir+"/")
	}
	ok, err := path.Match(pattern, name)
	return ok && err == nil
}

func layerOf(name string) int {
	return slices.IndexFunc(layers, func(patterns []string) bool {
		return slices.ContainsFunc(patterns, func(p string) bool { return matches(p, name) })
	})
}

func isOurs(imp string) bool { return within(imp)("leat") }

// isForeign: outside the standard library a path begins with a domain name.
func isForeign(imp string) bool {
	first, _, _ := strings.Cut(imp, "/")
	return strings.Contains(first, ".")
}

func foreignAllowed(from, imp string) bool {
	return slices.ContainsFunc(thirdParty, func(r rule) bool {
		return matches(r.from, from) && slices.ContainsFunc(r.to, within(imp))
	})
}

// within returns whether imp is the module, or a package in it.
func within(imp string) func(module string) bool {
	return func(module string) bool { return imp == module || strings.HasPrefix(imp, module+"/") }
}

// undocumented returns the direct requirements and the tools of a go.mod that
// no row in the table of doc accounts for.
func undocumented(gomod, doc string) []string {
	var rows, missing []string
	for line := range strings.Lines(doc) {
		if cells := strings.Split(line, "`"); strings.HasPrefix(line, "| `") && len(cells) > 2 {
			rows = append(rows, cells[1])
		}
	}
	block := "" // the verb of the block that we are in: require, tool, replace
	for line := range strings.Lines(gomod) {
		line, comment, _ := strings.Cut(line, "//")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
			continue
		case len(words) == 2 && words[1] == "(":
			block = words[0]
			continue
		case words[0] == ")":
			block = ""
			continue
		case block != "":
			words = append([]string{block}, words...)
		}
		direct := words[0] == "require" && strings.TrimSpace(comment) != "indirect"
		if (direct || words[0] == "tool") && !slices.ContainsFunc(rows, within(words[1])) {
			missing = append(missing, words[1])
		}
	}
	return missing
}

// A pkg is one directory of Go files, reduced to what this file asks about.
type pkg struct {
	path        string
	doc         string
	imports     []string // of its files that are no tests
	testImports []string
}

// loadPackages parses every package of this module. It looks at all files,
// whatever system they are for: the portable writer has rules to keep too.
func loadPackages(t *testing.T) []pkg {
	t.Helper()
	var pkgs []pkg
	err := filepath.WalkDir(".", func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if dir != "." && skipped(dir) {
			return filepath.SkipDir
		}
		p, err := loadPackage(dir)
		if p != nil {
			pkgs = append(pkgs, *p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pkgs
}

// skipped holds for what the go command skips, and for nested modules.
func skipped(dir string) bool {
	base := filepath.Base(dir)
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil || base == "testdata" || base == "node_modules" || base[0] == '.' || base[0] == '_'
}

// loadPackage returns nil for a directory without Go files.
func loadPackage(dir string) (*pkg, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		return nil, err
	}
	p := &pkg{path: path.Join("leat", filepath.ToSlash(dir))}
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return nil, err
		}
		imports := &p.imports
		if strings.HasSuffix(file, "_test.go") {
			imports = &p.testImports
		} else if p.doc == "" {
			p.doc = f.Doc.Text()
		}
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return nil, err
			}
			if within(imp)(modulePath) {
				imp = "leat" + strings.TrimPrefix(imp, modulePath)
			}
			*imports = append(*imports, imp)
		}
	}
	return p, nil
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// What follows tests the checks themselves, on packages that do not exist.

func TestViolationsOfMadeUpPackages(t *testing.T) {
	for _, test := range []struct {
		pkg  string
		imp  string
		want string // part of the one violation; empty for none
	}{
		{"leat/cmd/leat", "leat/server/h3", ""},
		{"leat/cmd/leat", "leat/store/pebblestore", ""},
		{"leat/cmd/leat", "github.com/alecthomas/kong", ""},
		{"leat/server", "leat/internal/surface/events", ""},
		{"leat/server", "net/http", ""},
		{"leat/server/h3", "leat/server", ""},
		{"leat/server/h3", "github.com/quic-go/quic-go/http3", ""},
		{"leat/internal/surface/streams", "leat/internal/live", ""},
		{"leat/internal/live", "leat/internal/journal", ""},
		{"leat/internal/journal", "leat/store", ""},
		{"leat/store/pebblestore", "leat/store", ""},
		{"leat/store/pebblestore", "github.com/cockroachdb/pebble/v2/vfs", ""},
		{"leat/client", "leat/sse", ""},
		{"leat/client", "leat", ""},

		{"leat/cmd/leat", "github.com/cockroachdb/pebble/v2", "foreign modules"},
		{"leat/server", "github.com/quic-go/quic-go", "foreign modules"},
		{"leat/store/memstore", "github.com/cockroachdb/pebble/v2", "foreign modules"},
		{"leat/store/pebblestore", "github.com/cockroachdb/pebble/v20", "foreign modules"},
		{"leat", "golang.org/x/text/unicode/norm", "foreign modules"},
		{"leat/client", "pgregory.net/rapid", "foreign modules"},
		{"leat/server", "leat/server/h3", "down the layers"},
		{"leat/store", "leat/store/memstore", "down the layers"},
		{"leat/client", "leat/internal/live", "down the layers"},
		{"leat", "leat/sse", "down the layers"},
		{"leat/internal/types", "fmt", "no place in the layers"},
		{"leat/server", "leat/internal/types", "down the layers"},
	} {
		got := violations(pkg{path: test.pkg, imports: []string{test.imp}})
		switch {
		case test.want == "" && len(got) > 0:
			t.Errorf("%s may import %s, got %q", test.pkg, test.imp, got)
		case test.want != "" && (len(got) != 1 || !strings.Contains(got[0], test.want)):
			t.Errorf("%s imports %s: got %q, want one line with %q", test.pkg, test.imp, got, test.want)
		}
	}
}

// A rule with a misspelt package would never fire. So each one must, on names
// made from its patterns, and these names must be in the layers.
func TestEveryRuleCanFail(t *testing.T) {
	example := strings.NewReplacer("**", "live", "*", "x").Replace
	for _, r := range forbidden {
		for _, to := range r.to {
			p := pkg{path: example(r.from), imports: []string{example(to)}}
			if got := violations(p); !strings.Contains(strings.Join(got, "\n"), r.why) {
				t.Errorf("%s imports %s: got %q, want %q", p.path, p.imports[0], got, r.why)
			}
		}
	}
	for _, r := range slices.Concat(forbidden, sideways, thirdParty) {
		for _, name := range append(r.to, r.from) {
			if isOurs(name) && !strings.Contains(name, "**") && layerOf(example(name)) < 0 {
				t.Errorf("a rule is about %s, which is not in the layers", name)
			}
		}
	}
	for i, upper := range layers {
		for _, lower := range layers[i:] {
			p := pkg{path: example(lower[0]), imports: []string{example(upper[0])}}
			if len(violations(p)) == 0 {
				t.Errorf("%s may import %s", p.path, p.imports[0])
			}
		}
	}
}

func TestViolationsOfTests(t *testing.T) {
	p := pkg{path: "leat/internal/live", testImports: []string{
		"net/http", "leat/store/memstore", "pgregory.net/rapid", "github.com/stretchr/testify/require",
	}}
	if got := violations(p); len(got) != 1 || !strings.Contains(got[0], "testify") {
		t.Errorf("got %q, want one violation, about testify", got)
	}
}

func TestUndocumented(t *testing.T) {
	const gomod = `module m
go 1.26
require example.com/alone v1.0.0 // why not
require (
	example.com/known v1.2.3
	example.com/unknown v0.1.0
	example.com/deep v0.1.0 // indirect
)
replace example.com/known => ../known
tool example.com/tools/cmd/lint
tool example.com/known/cmd/known
`
	const doc = "| module | what for | why |\n|---|---|---|\n| `example.com/known` | a | not `example.com/unknown` |\n"
	got := undocumented(gomod, doc)
	want := []string{"example.com/alone", "example.com/unknown", "example.com/tools/cmd/lint"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLoadPackage(t *testing.T) {
	t.Chdir(t.TempDir())
	files := map[string]string{
		"a/doc.go":            "// Package a is documented.\npackage a\n",
		"a/a_plan9.go":        "package a\n\nimport \"" + modulePath + "/sse\"\n",
		"a/a_test.go":         "package a_test\n\nimport \"testing\"\n",
		"b/b.go":              "package b\n\nimport \"C\"\n",
		"b/b_test.go":         "// Package b is documented in its test only.\npackage b\n",
		"c/testdata/c.go":     "no Go at all",
		"nested/go.mod":       "module nested\n",
		"nested/below/foo.go": "package below\n",
	}
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	got := fmt.Sprintf("%q", loadPackages(t))
	want := fmt.Sprintf("%q", []pkg{
		{"leat/a", "Package a is documented.\n", []string{"leat/sse"}, []string{"testing"}},
		{"leat/b", "", []string{"C"}, nil},
	})
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
