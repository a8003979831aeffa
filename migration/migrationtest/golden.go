package migrationtest

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/migration"
)

// Golden checks that sections still encode to the state in a file, and that
// the file still decodes to them; a state that was once written must be readable
// for as long as its format is. It returns what the file holds, to be restored.
// With UPDATE_GOLDEN=1 in the environment it writes the file instead.
func Golden(t testing.TB, path string, sections []migration.Section) []migration.Section {
	t.Helper()
	b, err := migration.EncodeState(sections)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(golden, b) {
		t.Errorf("%s: the state encodes to other bytes than it did: raise the format's version, or a section's", path)
	}
	got, err := migration.DecodeState(golden)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if diff := cmp.Diff(sections, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", path, diff)
	}
	return got
}
