package rules

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// namedTest is a test as docs/security.md names it: its folder, and its function.
var namedTest = regexp.MustCompile("`([a-z0-9_/]+)\\.((?:Test|Fuzz)[A-Za-z0-9_]*)`")

// TestSecurityIsShown wants each test that docs/security.md names to exist, and each line of its tables of what somebody could try to name one.
func TestSecurityIsShown(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	have := make(map[string]bool)
	for _, s := range sources(t) {
		if !s.isTest() {
			continue
		}
		for _, d := range s.file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				have[path.Dir(s.path)+"."+f.Name.Name] = true
			}
		}
	}
	named := 0
	shown := false // this table has a column of tests
	for line := range strings.Lines(string(text)) {
		tests := namedTest.FindAllStringSubmatch(line, -1)
		for _, m := range tests {
			if named++; !have[m[1]+"."+m[2]] {
				t.Errorf("docs/security.md names %s in %s; want it to exist", m[2], m[1])
			}
		}
		switch row := strings.HasPrefix(line, "|"); {
		case strings.Contains(line, "shown by"):
			shown = true
		case !row:
			shown = false
		case shown && len(tests) == 0 && !strings.HasPrefix(line, "|---"):
			t.Errorf("docs/security.md: no test shows %q", strings.TrimSpace(line))
		}
	}
	if named < 30 {
		t.Errorf("docs/security.md names %d tests; want more", named)
	}
}
