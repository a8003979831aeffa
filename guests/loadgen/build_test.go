package loadgen_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ferryvmm/ferry/guests/loadgen"
)

// toolchain returns what the TOOLCHAIN file would say here; empty without the tools.
func toolchain() string {
	var lines []string
	for _, tool := range []string{"gcc", "ld"} {
		out, err := exec.Command(tool, "--version").Output()
		if err != nil {
			return ""
		}
		first, _, _ := strings.Cut(string(out), "\n")
		lines = append(lines, first+"\n")
	}
	return strings.Join(lines, "")
}

func readToolchain(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("TOOLCHAIN")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// build makes the ELF from source.
func build(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "loadgen.elf")
	out, err := exec.Command("./build", path).CombinedOutput()
	if err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if len(out) > 0 && toolchain() == readToolchain(t) {
		t.Errorf("build: got warnings %s; want none", out)
	}
	return path
}

// embedded writes the committed ELF to a file.
func embedded(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "loadgen.elf")
	if err := os.WriteFile(path, loadgen.ELF(), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommittedELFIsBuiltFromSource(t *testing.T) {
	if toolchain() == "" {
		unavailable(t, "no gcc or ld: run tests/install-deps")
	}
	if got, want := toolchain(), readToolchain(t); got != want {
		t.Logf("the tools here are %q, not %q: TestBehaviour runs on the ELF that they make, too", got, want)
		build(t)
		return
	}
	got, err := os.ReadFile(build(t))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, loadgen.ELF()) {
		t.Errorf("got other bytes from source (%d) than loadgen.elf (%d); want the same: run go generate", len(got), len(loadgen.ELF()))
	}
}

func TestELFIsACopy(t *testing.T) {
	loadgen.ELF()[0] = 0
	if got := loadgen.ELF()[0]; got != 0x7f {
		t.Errorf("after a caller changed its copy: got first byte %#x; want 0x7f", got)
	}
}
