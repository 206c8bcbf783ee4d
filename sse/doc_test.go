package sse_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// The package imports only the standard library, so that anybody can use it,
// and every exported name says what it is for.
func TestImportsAndComments(t *testing.T) {
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		f, err := parser.ParseFile(fset, e.Name(), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, imp := range f.Imports {
			path, _ := strconv.Unquote(imp.Path.Value)
			self := path == "github.com/leat-dev/leat/sse" && strings.HasSuffix(e.Name(), "_test.go")
			if strings.Contains(path, ".") && !self {
				t.Errorf("%s imports %s", e.Name(), path)
			}
		}
		if strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		for _, decl := range f.Decls {
			name, doc := exported(decl)
			if name != "" && doc == "" {
				t.Errorf("%s: %s has no comment", e.Name(), name)
			}
		}
	}
}

func exported(decl ast.Decl) (name, doc string) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Name.IsExported() && d.Name.Name != "Error" {
			return d.Name.Name, d.Doc.Text()
		}
	case *ast.GenDecl:
		if len(d.Specs) == 1 {
			if s, ok := d.Specs[0].(*ast.TypeSpec); ok && s.Name.IsExported() {
				return s.Name.Name, d.Doc.Text()
			}
		}
	}
	return "", ""
}
