package supervisor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// files returns what is in a folder, but for its own lock.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, e := range entries {
		if e.Name() != ".lock" {
			got = append(got, e.Name())
		}
	}
	return got
}

func TestNameIsTakenOnce(t *testing.T) {
	dir := t.TempDir()
	a, err := claim(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	_, err = claim(dir, "a")
	var e *api.Error
	if !errors.As(err, &e) || e.Code != api.CodeNameInUse {
		t.Errorf("second claim: got %v; want code %s", err, api.CodeNameInUse)
	}
	b, err := claimAny(dir, "a", "a-%d")
	if err != nil {
		t.Fatal(err)
	}
	if b.name != "a-2" {
		t.Errorf("got name %q; want a-2", b.name)
	}
	a.release(false)
	b.release(false)
	if diff := cmp.Diff([]string{}, files(t, dir)); diff != "" {
		t.Errorf("files left (-want +got):\n%s", diff)
	}
}

func TestNameOutlivesOneOfItsHolders(t *testing.T) {
	dir := t.TempDir()
	a, err := claim(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	machine, err := dup(a.lock) // as the machine process holds it
	if err != nil {
		t.Fatal(err)
	}
	a.lock.Close() // the supervisor died
	if _, err := claim(dir, "a"); err == nil {
		t.Error("the name of a guest without supervisor was given away")
	}
	machine.Close()
	again, err := claim(dir, "a")
	if err != nil {
		t.Fatalf("with no holder left: %v", err)
	}
	again.release(false)
}

func TestClaimClearsWhatTheDeadLeft(t *testing.T) {
	dir := t.TempDir()
	for _, f := range []string{"a.sock", "a.ipc", "a.json", "a.json.tmp", "a.lock"} {
		if err := os.WriteFile(filepath.Join(dir, f), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := List(dir); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v; want no machine", got, err)
	}
	if diff := cmp.Diff([]string{}, files(t, dir)); diff != "" {
		t.Errorf("files left (-want +got):\n%s", diff)
	}
}

func TestNamesThatAreNoFileNames(t *testing.T) {
	dir := t.TempDir()
	for _, s := range []string{"", ".", "../a", "a/b", "-x", "a b", "a\x00"} {
		if n, err := claim(dir, s); err == nil {
			t.Errorf("claimed %q", s)
			n.release(false)
		}
	}
	if diff := cmp.Diff([]string{}, files(t, dir)); diff != "" {
		t.Errorf("files left (-want +got):\n%s", diff)
	}
}

// TestStateFolderIsOurs: nobody else may look into it, nor connect to what is in it.
func TestStateFolderIsOurs(t *testing.T) {
	t.Setenv("FERRY_DIR", filepath.Join(t.TempDir(), "ferry"))
	dir, err := Dir()
	if err != nil {
		t.Fatal(err)
	}
	records, err := recordsDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	n, err := claim(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSupervisor(n, Console{Kind: "none"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.finish(Exit{})
	for _, path := range []string{dir, records, n.path("sock"), n.path("log"), n.path("lock")} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm() & 0o077; got != 0 {
			t.Errorf("%s: got mode %v; want nothing for others", path, info.Mode())
		}
	}
}
