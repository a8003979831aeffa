package supervisor

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// handed is the lock of a name as it comes to the heir.
func handed(t *testing.T, n *name) []*os.File {
	t.Helper()
	f, err := dup(n.lock)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return []*os.File{f}
}

func TestHeirHasTheNameBeforeItIsFree(t *testing.T) {
	dir := t.TempDir()
	a, err := claim(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	came := handed(t, a)
	heir := inheritedName(dir, "a", came)
	if heir == nil {
		t.Fatal("the heir got nothing")
	}
	came[0].Close()
	if err := os.WriteFile(heir.path("sock"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	a.giveUp(false)
	if diff := cmp.Diff([]string{"a.lock", "a.sock"}, files(t, dir)); diff != "" {
		t.Errorf("the heir's files (-want +got):\n%s", diff)
	}
	if _, err := claim(dir, "a"); err == nil {
		t.Error("the name was free")
	}
	heir.giveUp(false)
	if diff := cmp.Diff([]string{}, files(t, dir)); diff != "" {
		t.Errorf("files left (-want +got):\n%s", diff)
	}
}

// TestHeirThatGivesUp leaves the name as it was.
func TestHeirThatGivesUp(t *testing.T) {
	dir := t.TempDir()
	a, err := claim(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	came := handed(t, a)
	inheritedName(dir, "a", came).giveUp(false)
	came[0].Close()
	if _, err := claim(dir, "a"); err == nil {
		t.Error("the name was free")
	}
	a.giveUp(false)
	if diff := cmp.Diff([]string{}, files(t, dir)); diff != "" {
		t.Errorf("files left (-want +got):\n%s", diff)
	}
}

func TestOnlyTheLockOfTheNameMakesAnHeir(t *testing.T) {
	dir, other := t.TempDir(), t.TempDir()
	a, err := claim(dir, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer a.giveUp(false)
	b, err := claim(other, "a")
	if err != nil {
		t.Fatal(err)
	}
	defer b.giveUp(false)
	opened, err := os.OpenFile(a.path("lock"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	for what, got := range map[string]*name{
		"of another folder":          inheritedName(dir, "a", handed(t, b)),
		"none":                       inheritedName(dir, "a", nil),
		"of another name":            inheritedName(dir, "b", handed(t, a)),
		"opened by who has it not":   inheritedName(dir, "a", []*os.File{opened}),
		"for a name that leads away": inheritedName(dir, "../a", handed(t, a)),
	} {
		if got != nil {
			t.Errorf("a lock %s: got the name", what)
		}
	}
}
