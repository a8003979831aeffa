package supervisor

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSnapshotFolderIsCompleteOrAbsent(t *testing.T) {
	for _, commit := range []bool{true, false} {
		parent := t.TempDir()
		dir := filepath.Join(parent, "snap")
		d, err := newSnapshotDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(d.stream, "stream"); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(dir); err == nil {
			t.Error("the folder has its name before it is complete")
		}
		want := []string{}
		if commit {
			want = []string{"snap"}
			if err := d.commit(); err != nil {
				t.Fatal(err)
			}
		}
		d.close()
		if diff := cmp.Diff(want, files(t, parent)); diff != "" {
			t.Errorf("commit %v: (-want +got):\n%s", commit, diff)
		}
		if commit {
			f, err := openSnapshot(dir)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
		}
	}
}

func TestSnapshotRefusesFoldersInUse(t *testing.T) {
	parent := t.TempDir()
	if err := os.WriteFile(filepath.Join(parent, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{parent, filepath.Join(parent, "file"), filepath.Join(parent, "no", "parent"), "relative"} {
		if d, err := newSnapshotDir(dir); err == nil {
			t.Errorf("%s was taken", dir)
			d.close()
		}
	}
	if diff := cmp.Diff([]string{"file"}, files(t, parent)); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
}
