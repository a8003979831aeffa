package linux

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCacheIsWhereTheUserSays(t *testing.T) {
	t.Setenv("FERRY_CACHE", "/there")
	c, err := openCache()
	if err != nil || c.dir != "/there/guest" {
		t.Errorf("got %s, %v; want /there/guest", c.dir, err)
	}
	t.Setenv("FERRY_CACHE", "")
	t.Setenv("XDG_CACHE_HOME", "/home/user/.cache")
	c, err = openCache()
	if err != nil || c.dir != "/home/user/.cache/ferry/guest" {
		t.Errorf("got %s, %v; want /home/user/.cache/ferry/guest", c.dir, err)
	}
}

func TestEntryIsCompleteOrAbsent(t *testing.T) {
	c := cache{t.TempDir()}
	failed := errors.New("failed")
	half := func(dir string) error {
		if c.has("entry") {
			t.Error("got an entry that is being made; want none")
		}
		return errors.Join(failed, os.WriteFile(filepath.Join(dir, "half"), nil, 0o600))
	}
	if err := c.add("entry", half); !errors.Is(err, failed) {
		t.Errorf("got %v; want the failure", err)
	}
	if got := list(t, c.dir); len(got) != 0 {
		t.Errorf("after a failure: got %v left; want nothing", got)
	}
	if err := c.add("entry", func(dir string) error { return os.WriteFile(filepath.Join(dir, "file"), nil, 0o600) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"file"}, list(t, c.path("entry"))); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOneBuildsAtATime(t *testing.T) {
	c := cache{filepath.Join(t.TempDir(), "guest")}
	unlock, err := c.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	given, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.lock(given); !errors.Is(err, context.Canceled) {
		t.Errorf("while another holds the lock: got %v; want to wait until given up", err)
	}
	unlock()
	unlock, err = c.lock(t.Context())
	if err != nil {
		t.Fatalf("after it was unlocked: got %v; want the lock", err)
	}
	unlock()
}

func TestLockRemovesWhatAKilledBuildLeft(t *testing.T) {
	c := cache{t.TempDir()}
	for _, name := range []string{unfinished + "1", "fast-1"} {
		if err := os.MkdirAll(filepath.Join(c.path(name), "deep"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	unlock, err := c.lock(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer unlock()
	if diff := cmp.Diff([]string{"fast-1", "lock"}, list(t, c.dir)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestReadGuest(t *testing.T) {
	c := cache{t.TempDir()}
	if _, err := read(c.path("fast-1")); !errors.Is(err, ErrNotBuilt) {
		t.Errorf("got %v; want ErrNotBuilt", err)
	}
	kernel := t.TempDir()
	for _, name := range kernelProducts {
		if err := os.WriteFile(filepath.Join(kernel, name), []byte(name+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	p := planned{initramfs: []byte("archive")}
	if err := c.add("fast-1", func(dir string) error { return p.assemble(dir, kernel) }); err != nil {
		t.Fatal(err)
	}
	got, err := read(c.path("fast-1"))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cmdlineName, got.Cmdline); diff != "" {
		t.Errorf("command line (-want +got):\n%s", diff)
	}
	for path, want := range map[string]string{got.Kernel: kernelName + "\n", got.BzImage: bzImageName + "\n", got.Initramfs: "archive"} {
		if b, err := os.ReadFile(path); err != nil || string(b) != want {
			t.Errorf("%s: got %q, %v; want %q", path, b, err, want)
		}
	}
}

// list returns the names in a folder.
func list(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
