package rules

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// unsafeFaults lists what is wrong with a file's use of unsafe: that it is in
// the wrong place, that nothing says why it is safe, that an address becomes a
// number outside the arguments of a system call (where the garbage collector
// does not know that it is one). What is handed straight to one of chokes,
// functions of the same package, is explained there.
func unsafeFaults(s source, chokes map[string]bool) []string {
	imported := false
	for _, imp := range s.file.Imports {
		imported = imported || imp.Path.Value == `"unsafe"`
	}
	if !imported {
		return nil
	}
	var faults []string
	if !under(s.path, "internal") && !strings.HasSuffix(s.path, "_unsafe.go") {
		faults = append(faults, s.path+": unsafe belongs in internal/ and in files named *_unsafe.go")
	}
	for _, decl := range s.file.Decls {
		if usesUnsafe(decl, chokes) && !explained(s, decl) {
			faults = append(faults, s.fset.Position(decl.Pos()).String()+": unsafe without a SAFETY: comment")
		}
		faults = append(faults, loosePointers(s, decl)...)
	}
	return faults
}

// unsafeCall returns the name of the function of package unsafe that e calls,
// or "".
func unsafeCall(e ast.Node) string {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return ""
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return ""
	}
	if pkg, ok := sel.X.(*ast.Ident); !ok || pkg.Name != "unsafe" {
		return ""
	}
	return sel.Sel.Name
}

func usesUnsafe(decl ast.Decl, chokes map[string]bool) bool {
	found := false
	handed := make(map[ast.Node]bool)
	ast.Inspect(decl, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if fun, ok := call.Fun.(*ast.Ident); ok && chokes[fun.Name] {
				for _, arg := range call.Args {
					handed[arg] = true
				}
			}
		}
		if handed[n] && unsafeCall(n) == "Pointer" {
			return true
		}
		switch unsafeCall(n) {
		case "", "Sizeof", "Offsetof", "Alignof": // harmless
		default:
			found = true
		}
		return true
	})
	return found
}

// explained says whether a SAFETY: comment stands in decl or right before it.
func explained(s source, decl ast.Decl) bool {
	from := decl.Pos()
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Doc != nil {
			from = d.Doc.Pos()
		}
	case *ast.GenDecl:
		if d.Doc != nil {
			from = d.Doc.Pos()
		}
	}
	for _, group := range s.file.Comments {
		for _, c := range group.List {
			if c.Pos() >= from && c.Pos() < decl.End() && strings.Contains(c.Text, "SAFETY:") {
				return true
			}
		}
	}
	return false
}

// loosePointers finds uintptr(unsafe.Pointer(x)) anywhere but as an argument
// of a system call.
func loosePointers(s source, decl ast.Decl) []string {
	allowed := make(map[ast.Expr]bool)
	var faults []string
	ast.Inspect(decl, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if sel, ok := call.Fun.(*ast.SelectorExpr); ok && strings.Contains(sel.Sel.Name, "Syscall") {
			for _, arg := range call.Args {
				allowed[arg] = true
			}
		}
		fun, ok := call.Fun.(*ast.Ident)
		if ok && fun.Name == "uintptr" && len(call.Args) == 1 && unsafeCall(call.Args[0]) == "Pointer" && !allowed[call] {
			faults = append(faults, s.fset.Position(call.Pos()).String()+": an address as a number, outside a system call's arguments")
		}
		return true
	})
	return faults
}

// chokePoints returns, for each folder, the functions that take a pointer of
// package unsafe and say why that is safe.
func chokePoints(all []source) map[string]map[string]bool {
	points := make(map[string]map[string]bool)
	for _, s := range all {
		dir := path.Dir(s.path)
		if points[dir] == nil {
			points[dir] = make(map[string]bool)
		}
		for _, decl := range s.file.Decls {
			fun, ok := decl.(*ast.FuncDecl)
			if !ok || fun.Recv != nil || !explained(s, decl) {
				continue
			}
			for _, param := range fun.Type.Params.List {
				if sel, ok := param.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Pointer" {
					points[dir][fun.Name.Name] = true
				}
			}
		}
	}
	return points
}

func TestUnsafe(t *testing.T) {
	all := sources(t)
	chokes := chokePoints(all)
	for _, s := range all {
		if s.isTest() {
			continue
		}
		for _, fault := range unsafeFaults(s, chokes[path.Dir(s.path)]) {
			t.Error(fault)
		}
	}
}

func TestUnsafeFaults(t *testing.T) {
	tests := []struct {
		path, body string
		want       []string
	}{
		{"vmm/a.go", `var x = unsafe.Sizeof(0)`, []string{"vmm/a.go: unsafe belongs in internal/ and in files named *_unsafe.go"}},
		{"vmm/a_unsafe.go", `var x = unsafe.Sizeof(0)`, nil},
		{"internal/a.go", "// SAFETY: fine.\nfunc f(p *int) unsafe.Pointer { return unsafe.Pointer(p) }", nil},
		{"internal/a.go", "func f(p *int) unsafe.Pointer {\n\t// SAFETY: fine.\n\treturn unsafe.Pointer(p) }", nil},
		{"internal/a.go", "// SAFETY: other.\nvar y int\n\nfunc f(p *int) unsafe.Pointer { return unsafe.Pointer(p) }",
			[]string{"internal/a.go:5:1: unsafe without a SAFETY: comment"}},
		{"internal/a.go", "// SAFETY: fine.\nfunc f(p *int) { unix.Syscall(1, 2, uintptr(unsafe.Pointer(p))) }", nil},
		{"internal/a.go", "// SAFETY: fine.\nfunc f(p *int) uintptr { return uintptr(unsafe.Pointer(p)) }",
			[]string{"internal/a.go:3:33: an address as a number, outside a system call's arguments"}},
		{"internal/a.go", "// SAFETY: fine.\nfunc choke(p unsafe.Pointer) {}\n\nfunc f(p *int) { choke(unsafe.Pointer(p)) }", nil},
		{"internal/a.go", "func choke(p unsafe.Pointer) {}\n\nfunc f(p *int) { choke(unsafe.Pointer(p)) }",
			[]string{"internal/a.go:4:1: unsafe without a SAFETY: comment"}},
		{"internal/a.go", "// SAFETY: fine.\nfunc choke(p unsafe.Pointer) {}\n\nfunc f(p *int) { choke(unsafe.Add(unsafe.Pointer(p), 1)) }",
			[]string{"internal/a.go:5:1: unsafe without a SAFETY: comment"}},
	}
	for _, tt := range tests {
		s := source{path: tt.path, fset: token.NewFileSet()}
		var err error
		s.file, err = parser.ParseFile(s.fset, tt.path, "package a; import \"unsafe\"\n"+tt.body, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, unsafeFaults(s, chokePoints([]source{s})[path.Dir(s.path)])); diff != "" {
			t.Errorf("%s\nfaults (-want +got):\n%s", tt.body, diff)
		}
	}
}
