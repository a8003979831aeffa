package rules

import (
	"go/ast"
	"path"
	"regexp"
	"strings"
	"testing"
)

// decoders are functions that read what somebody else wrote.
var decoders = regexp.MustCompile(`^([dD]ecode|[pP]arse|[uU]npack)([A-Z]|$)`)

// trusted are packages whose decoders read what only the kernel, the build or a test writes.
var trusted = map[string]bool{"guests/linux": true, "internal/abitest": true, "tests/qemu": true}

// TestDecodersAreFuzzed wants a fuzz target in each package that decodes, and none where tests/fuzz, which lists what is built without
// tags, does not find it.
func TestDecodersAreFuzzed(t *testing.T) {
	decodes, fuzzed := map[string]string{}, map[string]bool{}
	for _, s := range sources(t) {
		dir := path.Dir(s.path)
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			switch {
			case s.isTest() && strings.HasPrefix(f.Name.Name, "Fuzz"):
				fuzzed[dir] = true
				if strings.Contains(string(s.text), "\n//go:build") || strings.HasPrefix(string(s.text), "//go:build") {
					t.Errorf("%s: got a fuzz target in a file with a build constraint; want it where tests/fuzz finds it", s.path)
				}
			case !s.isTest() && decoders.MatchString(f.Name.Name):
				decodes[dir] = f.Name.Name
			}
		}
	}
	if len(fuzzed) < 20 {
		t.Errorf("got %d packages with fuzz targets; want all that there are", len(fuzzed))
	}
	for dir, name := range decodes {
		if !fuzzed[dir] && !trusted[dir] {
			t.Errorf("%s has %s, and no fuzz target", dir, name)
		}
	}
}
