//go:build linux && !race

package real

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// What TestMain has the linker write into the binary, as make build does.
const (
	builtVersion = "v1.2.3-test"
	builtCommit  = "0123456789abcdef"
)

// "Version and commit in leat version."
func TestVersion(t *testing.T) {
	out, err := exec.Command(leatPath, "version").CombinedOutput()
	want := fmt.Sprintf("leat %s commit %s %s %s/%s\n", builtVersion, builtCommit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	if err != nil || string(out) != want {
		t.Errorf("got %q, want %q; %v", out, want, err)
	}
}

// The unit and the container start what there is, with a configuration that there can be.
func TestPackagedConfiguration(t *testing.T) {
	const dir = "../../packaging/"
	if out, err := exec.Command(leatPath, "config", "check", dir+"leat.yaml").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	text, err := os.ReadFile(dir + "Containerfile")
	if err != nil {
		t.Fatal(err)
	}
	vars := regexp.MustCompile(`LEAT_[A-Z0-9_]+=\S+`).FindAllString(string(text), -1)
	if len(vars) == 0 {
		t.Fatal("the container sets nothing")
	}
	print := exec.Command(leatPath, "serve", "--print-config")
	print.Env = vars
	out, err := print.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, v := range vars {
		name, value, _ := strings.Cut(v, "=")
		if !regexp.MustCompile(`(?m)^[a-z-]+: '?` + regexp.QuoteMeta(value) + `'? # ` + name + `$`).Match(out) {
			t.Errorf("%s says nothing to %s", v, out)
		}
	}
}

// "A hardened unit, checked by systemd-analyze verify": it also has to be far on the safe
// side of what systemd thinks of services.
func TestUnit(t *testing.T) {
	analyze := program(t, "systemd-analyze", "systemd")
	text, err := os.ReadFile("../../packaging/leat.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := filepath.Join(t.TempDir(), "leat.service")
	here := strings.ReplaceAll(string(text), "/usr/local/bin/leat", leatPath) // verify looks whether it is there
	if err := os.WriteFile(unit, []byte(here), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command(analyze, "verify", "--man=no", unit).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
	const exposure = "15" // of 100; 50 and more is what systemd calls exposed
	if out, err := exec.Command(analyze, "security", "--offline=yes", "--threshold="+exposure, unit).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

// "darwin, windows and linux on arm64 compile": every file of ours for them is checked as
// the compiler does it, and what they use is there. Building all of it takes a minute for
// each; make release does.
func TestCompilesElsewhere(t *testing.T) {
	for _, platform := range []string{"linux/arm64", "darwin/arm64", "windows/amd64"} {
		t.Run(platform, func(t *testing.T) {
			t.Parallel()
			checkFor(t, platform)
		})
	}
}

// A listed package is what go list says of one.
type listed struct {
	ImportPath, Dir string
	GoFiles         []string
	ImportMap       map[string]string // what its imports are really called
	Module          *struct{ Main bool }
	Error           *struct{ Err string }
}

// checkFor checks the types of the command and of all that it imports, for a platform.
func checkFor(t *testing.T, platform string) {
	system, arch, _ := strings.Cut(platform, "/")
	list := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,GoFiles,ImportMap,Module,Error", "./cmd/leat")
	list.Dir = "../.."
	list.Env = append(os.Environ(), "GOOS="+system, "GOARCH="+arch, "CGO_ENABLED=0")
	list.Stderr = os.Stderr
	out, err := list.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := list.Start(); err != nil {
		t.Fatal(err)
	}
	done := map[string]*types.Package{"unsafe": types.Unsafe}
	ours := 0
	for in := json.NewDecoder(out); ; { // a package comes behind those it imports
		var p listed
		if err := in.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.ImportPath == "unsafe" {
			continue
		}
		mine := p.Module != nil && p.Module.Main
		if mine {
			ours++
		}
		if done[p.ImportPath], err = check(&p, arch, mine, done); err != nil {
			t.Error(err)
		}
	}
	if err := list.Wait(); err != nil || ours < 10 {
		t.Errorf("%d packages of ours; %v", ours, err)
	}
}

// importer finds packages that are done, for one that may call them by another name.
type importer struct {
	done  map[string]*types.Package
	names map[string]string
}

func (i importer) Import(path string) (*types.Package, error) {
	if real, ok := i.names[path]; ok {
		path = real
	}
	if p := i.done[path]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("there is no package %s", path)
}

// check checks a package: all of it if it is ours, and else what others see of it.
func check(p *listed, arch string, mine bool, done map[string]*types.Package) (*types.Package, error) {
	if p.Error != nil {
		return nil, errors.New(p.Error.Err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	var wrong []error
	config := types.Config{
		Importer: importer{done, p.ImportMap}, Sizes: types.SizesFor("gc", arch), IgnoreFuncBodies: !mine,
		Error: func(err error) { wrong = append(wrong, err) },
	}
	pkg, _ := config.Check(p.ImportPath, fset, files, nil) // whose error is the first of wrong
	if !mine {
		wrong = nil // the standard library and what others wrote has bodies that only the compiler knows
	}
	return pkg, errors.Join(wrong...)
}
