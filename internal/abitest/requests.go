package abitest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Requests compares a list of ioctl numbers with the constants req… of a file: a request that is not in it fails in a confined process alone.
func Requests(t *testing.T, name string, got []uint32) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var want []uint32
	ast.Inspect(file, func(n ast.Node) bool {
		v, ok := n.(*ast.ValueSpec)
		if !ok || len(v.Values) != 1 || len(v.Names[0].Name) < 4 || v.Names[0].Name[:3] != "req" {
			return true
		}
		number, err := strconv.ParseUint(v.Values[0].(*ast.BasicLit).Value, 0, 32)
		if err != nil {
			t.Fatalf("%s: %v", v.Names[0].Name, err)
		}
		want = append(want, uint32(number))
		return true
	})
	if len(want) < 5 {
		t.Fatalf("got %d constants in %s; want those of all requests", len(want), name)
	}
	if diff := cmp.Diff(want, got, cmpopts.SortSlices(func(a, b uint32) bool { return a < b })); diff != "" {
		t.Errorf("Requests (-want +got):\n%s", diff)
	}
}
