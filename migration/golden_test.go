package migration_test

import (
	"bytes"
	"context"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/migration/migrationtest"
)

func goldenSections(t *testing.T) []migration.Section {
	t.Helper()
	one, err := migration.NewSection("fake", 1, migrationtest.State{Writes: 258})
	if err != nil {
		t.Fatal(err)
	}
	two, err := migration.NewSection("extra/0", 3, []byte{1, 2, 3})
	if err != nil {
		t.Fatal(err)
	}
	two.Optional = true
	return []migration.Section{one, two}
}

func TestGoldenState(t *testing.T) {
	got := migrationtest.Golden(t, "testdata/state-1.cbor", goldenSections(t))
	known, err := migration.Pick(got, "fake")
	if err != nil {
		t.Fatal(err)
	}
	var s migrationtest.State
	if err := known["fake"].Decode(&s); err != nil || s.Writes != 258 {
		t.Errorf("got %+v, %v; want 258 writes", s, err)
	}
}

// TestGoldenCopy restores a copy as version 1 wrote it.
func TestGoldenCopy(t *testing.T) {
	const path = "testdata/copy-1.ferry"
	page := bytes.Repeat([]byte("ferry 1\n"), guestmem.PageSize/8)
	want := migration.BuildStream([]migration.Frame{
		migration.ReserveFrame(migration.Description{Name: "g", Layout: guestmem.Layout{{Size: guestmem.MinSize}}, Modes: []migration.Mode{migration.StopCopy}, Keep: true}),
		migration.StateFrame(goldenSections(t)),
		migration.PagesFrame(0, true, 1<<20, guestmem.PageSize, 0, page),
		migration.EndOfRound(0, true, 1, 1, 0, 0),
	})
	if os.Getenv("UPDATE_GOLDEN") == "1" {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, want) {
		t.Error("a copy is written otherwise than it was: raise the file's version")
	}
	h := &migrationtest.Host{World: migrationtest.NewWorld()}
	if _, err := migration.Restore(context.Background(), bytes.NewReader(file), h); err != nil {
		t.Fatal(err)
	}
	m := h.Built().Memory()
	defer m.Close()
	got := make([]byte, guestmem.PageSize)
	if err := m.ReadAt(got, 1<<20); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(page, got); diff != "" || h.Built().State.Writes != 258 {
		t.Errorf("got %d writes, page (-want +got):\n%s", h.Built().State.Writes, diff)
	}
}
