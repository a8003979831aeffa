package uffd

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

var update = flag.Bool("update", false, "write testdata/abi.golden from the machine's <linux/userfaultfd.h>")

const golden = "testdata/abi.golden"

// parseABI reads "name value" lines.
func parseABI(t *testing.T, text string) map[string]uint64 {
	t.Helper()
	out := map[string]uint64{}
	for line := range strings.Lines(text) {
		at := strings.LastIndexByte(strings.TrimSpace(line), ' ')
		var v uint64
		if _, err := fmt.Sscanf(line[at+1:], "%v", &v); err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		out[line[:at]] = v
	}
	return out
}

// fromHeader compiles and runs testdata/abi.c.
func fromHeader(t *testing.T) string {
	t.Helper()
	exe := filepath.Join(t.TempDir(), "abi")
	if out, err := exec.Command("gcc", "-Wall", "-Werror", "-o", exe, "testdata/abi.c").CombinedOutput(); err != nil {
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

func TestABIMatchesGolden(t *testing.T) {
	if *update {
		if err := os.WriteFile(golden, []byte(fromHeader(t)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(parseABI(t, string(text)), abiTable); diff != "" {
		t.Errorf("got package, want %s (-want +got):\n%s", golden, diff)
	}
}

func TestABIMatchesHeader(t *testing.T) {
	if diff := cmp.Diff(parseABI(t, fromHeader(t)), abiTable); diff != "" {
		t.Errorf("got package, want <linux/userfaultfd.h> (-want +got):\n%s", diff)
	}
}
