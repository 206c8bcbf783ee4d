package leat_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"strconv"
	"strings"
	"testing"

	"github.com/leat-dev/leat"
)

func TestErrorf(t *testing.T) {
	err := leat.Errorf(leat.CodeStoreFailed, "cannot write %s: %w", "a file", fs.ErrPermission)
	if err.Code != leat.CodeStoreFailed || err.Detail != "cannot write a file: permission denied" || err.Cause != fs.ErrPermission {
		t.Errorf("%+v", err)
	}
	if got := err.Error(); got != err.Detail {
		t.Errorf("without advice it is %q", got)
	}
	if !errors.Is(err, fs.ErrPermission) {
		t.Error("the cause is not found")
	}
	if same := err.Advise("Try again."); same != err || err.Error() != "cannot write a file: permission denied. Try again." {
		t.Errorf("with advice it is %q", err)
	}
	if same := err.With("line", 7).With("stored", 6); same != err || err.Fields["line"] != 7 || err.Fields["stored"] != 6 {
		t.Errorf("the fields are %v", err.Fields)
	}
	if err := leat.Errorf(leat.CodeGap, "no cause"); err.Cause != nil || errors.Unwrap(err) != nil {
		t.Errorf("the cause is %v", err.Cause)
	}
}

// "Is reports whether target is an *Error with the same code."
func TestErrorIs(t *testing.T) {
	err := fmt.Errorf("wrapped: %w", leat.Errorf(leat.CodeStoreFull, "no room"))
	if !errors.Is(err, &leat.Error{Code: leat.CodeStoreFull}) {
		t.Error("an error is not the same code's")
	}
	if errors.Is(err, &leat.Error{Code: leat.CodeGap}) || errors.Is(err, fs.ErrExist) {
		t.Error("an error is another code's")
	}
	inner := leat.Errorf(leat.CodeGap, "inner")
	if outer := leat.Errorf(leat.CodeInternal, "outer: %w", inner); !errors.Is(outer, &leat.Error{Code: leat.CodeGap}) {
		t.Error("the code of a cause is not found")
	}
}

// "An error of another kind becomes one with code CodeInternal; nil stays
// nil." Its text, which may tell of files and addresses, is the cause and no
// detail.
func TestAsError(t *testing.T) {
	if e := leat.AsError(nil); e != nil {
		t.Errorf("nil is %v", e)
	}
	full := leat.Errorf(leat.CodeStoreFull, "no room")
	if e := leat.AsError(fmt.Errorf("wrapped: %w", full)); e != full {
		t.Errorf("an error in another one is %v", e)
	}
	secret := errors.New("open /secret/path")
	e := leat.AsError(secret)
	if e.Code != leat.CodeInternal || e.Cause != secret || strings.Contains(e.Error(), "secret") {
		t.Errorf("a foreign error is %+v", e)
	}
	if leat.CodeOf(nil) != "" || leat.CodeOf(secret) != leat.CodeInternal || leat.CodeOf(full) != leat.CodeStoreFull {
		t.Error("CodeOf is not that of AsError")
	}
}

// Every code that error.go declares has a status of its own, not the 500 of
// unknown ones, and no two codes have one text.
func TestCodesHaveStatuses(t *testing.T) {
	seen := make(map[leat.Code]string)
	for name, code := range declaredCodes(t) {
		if other := seen[code]; other != "" {
			t.Errorf("%s and %s are both %q", name, other, code)
		}
		seen[code] = name
		status := code.Status()
		if status < 400 || status > 599 || status == 500 && code != leat.CodeInternal {
			t.Errorf("%s (%q) has status %d", name, code, status)
		}
		if strings.Trim(string(code), "abcdefghijklmnopqrstuvwxyz_") != "" {
			t.Errorf("%s is %q, want lower case and underscores", name, code)
		}
	}
	if len(seen) < 20 || seen[leat.CodeGap] != "CodeGap" {
		t.Errorf("only %d codes were found: %v", len(seen), seen)
	}
	if leat.Code("").Status() != 500 || leat.Code("unheard_of").Status() != 500 {
		t.Error("an unknown code has a status other than 500")
	}
}

// declaredCodes reads the constants of type Code out of error.go.
func declaredCodes(t *testing.T) map[string]leat.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "error.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := make(map[string]leat.Code)
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || len(spec.Values) != 1 || len(spec.Names) != 1 || !strings.HasPrefix(spec.Names[0].Name, "Code") {
			return true
		}
		if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
			text, err := strconv.Unquote(lit.Value)
			if err != nil {
				t.Fatal(err)
			}
			codes[spec.Names[0].Name] = leat.Code(text)
		}
		return true
	})
	return codes
}
