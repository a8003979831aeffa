package e2e

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// TestTroubleshooting holds docs/troubleshooting.md against the catalogue: it has each message that is provoked, and each code that there is.
func TestTroubleshooting(t *testing.T) {
	root, err := drive.Root(within(t, time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "docs/troubleshooting.md"))
	if err != nil {
		t.Fatal(err)
	}
	doc := string(text)
	all := slices.Concat(wordMistakes, startMistakes, tlsMistakes, careMistakes, orphanMistakes, []mistake{notFerry})
	for _, r := range refusals {
		all = append(all, mistake{line: "receive " + join(r.receive), code: r.code, says: r.says})
	}
	for _, m := range all {
		if !strings.Contains(doc, m.says) {
			t.Errorf("%q says %q, of which docs/troubleshooting.md has nothing", m.line, m.says)
		}
	}
	for _, code := range codes(t, root) {
		if !strings.Contains(doc, "`"+code+"`") {
			t.Errorf("got the code %s, of which docs/troubleshooting.md has nothing", code)
		}
	}
}

var codeWord = regexp.MustCompile(`^[a-z][a-z_-]+$`)

// codes are those of all errors in the source: constants that are called Code…, fields that are, and what Errorf of package api is given.
func codes(t *testing.T, root string) (all []string) {
	t.Helper()
	add := func(e ast.Expr) {
		lit, ok := e.(*ast.BasicLit)
		if !ok || lit.Kind != token.STRING {
			return
		}
		if code, err := strconv.Unquote(lit.Value); err == nil && codeWord.MatchString(code) {
			all = append(all, code)
		}
	}
	for _, dir := range []string{"cmd", "vmm", "migration", "netmig"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				switch n := n.(type) {
				case *ast.KeyValueExpr:
					if key, ok := n.Key.(*ast.Ident); ok && strings.EqualFold(key.Name, "code") {
						add(n.Value)
					}
				case *ast.ValueSpec:
					if strings.HasPrefix(n.Names[0].Name, "Code") && len(n.Values) == 1 {
						add(n.Values[0])
					}
				case *ast.CallExpr:
					if f, ok := n.Fun.(*ast.SelectorExpr); ok && f.Sel.Name == "Errorf" && len(n.Args) > 2 {
						add(n.Args[0])
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	slices.Sort(all)
	if all = slices.Compact(all); len(all) < 20 {
		t.Fatalf("got the codes %q; want all that there are", all)
	}
	return all
}
