package linux

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeysDifferWhereWhatTheyNameDiffers(t *testing.T) {
	seen := map[string]string{}
	for name, k := range map[string]string{
		"fast":           kernelKey(Fast, "6.1.1", "gcc 12"),
		"full":           kernelKey(Full, "6.1.1", "gcc 12"),
		"other source":   kernelKey(Fast, "6.1.2", "gcc 12"),
		"other compiler": kernelKey(Fast, "6.1.1", "gcc 13"),
		"parts":          key("a", []byte("b"), []byte("cd")),
		"other parts":    key("a", []byte("bc"), []byte("d")),
		"fewer parts":    key("a", []byte("bcd")),
	} {
		if other, ok := seen[k]; ok {
			t.Errorf("%s and %s: got the same key %s; want two", name, other, k)
		}
		seen[k] = name
	}
	if got, want := kernelKey(Fast, "6.1.1", "gcc 12"), kernelKey(Fast, "6.1.1", "gcc 12"); got != want {
		t.Errorf("got %s and %s of the same; want one key", got, want)
	}
}

func TestFullIsAdaptedFurther(t *testing.T) {
	fast, full := adaptation(Fast), adaptation(Full)
	if !bytes.Equal(fast, kernelFile("adapt")) {
		t.Error("fast: got more than adapt; want just that")
	}
	if want := string(kernelFile("adapt")) + string(kernelFile("full.adapt")); string(full) != want {
		t.Errorf("full: got %d bytes; want adapt and full.adapt, %d", len(full), len(want))
	}
	dir := filepath.Join(t.TempDir(), "recipe")
	if err := writeKernelFiles(dir, Full); err != nil {
		t.Fatal(err)
	}
	script := filepath.Join(dir, "adapt")
	if st, err := os.Stat(script); err != nil || st.Mode().Perm() != 0o755 {
		t.Errorf("got %v, %v; want a script that can be run", st, err)
	}
	if got, err := os.ReadFile(script); err != nil || !bytes.Equal(got, full) {
		t.Errorf("got a script of %d bytes, %v; want %d", len(got), err, len(full))
	}
}

func TestCmdlineIsOneLine(t *testing.T) {
	for _, v := range Variants() {
		line := string(kernelFile(string(v) + ".cmdline"))
		if strings.Count(line, "\n") != 1 || !strings.HasSuffix(line, "\n") || len(line) > 1024 {
			t.Errorf("%s: got %q; want one line of at most 1024 bytes", v, line)
		}
	}
}

func TestInitIsTheSameEachTime(t *testing.T) {
	first, err := buildInit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	second, err := buildInit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if string(first) != string(second) {
		t.Error("got other bytes the second time; want the same")
	}
}
