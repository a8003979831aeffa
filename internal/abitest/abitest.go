// Package abitest compares what a package believes of the kernel's ABI with the
// kernel's headers. Such a package keeps two files in its testdata: abi.c, which
// prints lines of a C name and its value, and abi.golden, what it printed once,
// for machines without a compiler.
//
// It is for tests.
package abitest

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write testdata/abi.golden from the kernel's headers of this machine")

const (
	source = "testdata/abi.c"
	golden = "testdata/abi.golden"
)

// Golden compares a table of C names with the golden file, which -update writes anew.
func Golden(t *testing.T, table map[string]uint64) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden, []byte(printed(t)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, golden, string(text), table)
}

// Headers compares it with what the headers of this machine say.
func Headers(t *testing.T, table map[string]uint64) {
	t.Helper()
	compare(t, "the kernel's headers", printed(t), table)
}

func compare(t *testing.T, what, text string, table map[string]uint64) {
	t.Helper()
	want, err := parse(text)
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if diff := cmp.Diff(want, table); diff != "" {
		t.Errorf("got package, want %s (-want +got):\n%s", what, diff)
	}
}

// parse reads lines of a name, which may have spaces, and a value.
func parse(text string) (map[string]uint64, error) {
	table := map[string]uint64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		at := strings.LastIndexByte(line, ' ')
		var v uint64
		if at < 0 {
			return nil, fmt.Errorf("line %q: no name and value", line)
		}
		if _, err := fmt.Sscanf(line[at+1:], "%v", &v); err != nil {
			return nil, fmt.Errorf("line %q: %w", line, err)
		}
		table[line[:at]] = v
	}
	return table, nil
}

// printed compiles and runs the source.
func printed(t *testing.T) string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "abi")
	if out, err := exec.Command("gcc", "-Wall", "-Werror", "-o", exe, source).CombinedOutput(); err != nil {
		if errors.Is(err, exec.ErrNotFound) && os.Getenv("CI") != "true" {
			t.Skip("needs gcc and the kernel's headers; the golden table is checked without them")
		}
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	out, err := exec.Command(exe).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
