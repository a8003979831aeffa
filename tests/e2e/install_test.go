package e2e

import (
	"io/fs"
	"os"
	osexec "os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/tests/drive"
)

// tree lists the files below a folder.
func tree(t *testing.T, dir string) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			path, err = filepath.Rel(dir, path)
			all = append(all, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestInstall installs into a folder, has systemd look at the units where it is there, and takes everything away again.
func TestInstall(t *testing.T) {
	ctx := within(t, time.Minute)
	root, err := drive.Root(ctx)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(target string) {
		t.Helper()
		// It is built already: GO=true builds nothing.
		out, err := osexec.CommandContext(ctx, "make", "-C", root, target, "GO=true", "BIN="+vmm, "PREFIX=/opt/ferry", "DESTDIR="+dir).CombinedOutput()
		if err != nil {
			t.Fatalf("make %s: %v\n%s", target, err, out)
		}
	}
	run("install")
	got := tree(t, dir)
	pages := len(slices.DeleteFunc(slices.Clone(got), func(p string) bool { return !strings.HasPrefix(p, "opt/ferry/share/man/man1/vmm") }))
	if pages < 20 {
		t.Errorf("got %d man pages; want one for each command", pages)
	}
	rest := slices.DeleteFunc(got, func(p string) bool { return strings.HasPrefix(p, "opt/ferry/share/man/man1/vmm-") })
	want := []string{
		"opt/ferry/bin/vmm", "opt/ferry/lib/systemd/system/ferry-adopt@.service", "opt/ferry/lib/systemd/system/ferry-receive@.service", "opt/ferry/lib/systemd/system/ferry@.service",
		"opt/ferry/share/bash-completion/completions/vmm", "opt/ferry/share/doc/ferry/machine.schema.json", "opt/ferry/share/doc/ferry/openapi.json",
		"opt/ferry/share/fish/vendor_completions.d/vmm.fish", "opt/ferry/share/man/man1/vmm.1", "opt/ferry/share/zsh/site-functions/_vmm",
	}
	if diff := cmp.Diff(want, rest); diff != "" {
		t.Errorf("installed (-want +got):\n%s", diff)
	}
	for _, path := range rest {
		if info, err := os.Stat(filepath.Join(dir, path)); err != nil || info.Size() == 0 {
			t.Errorf("%s: got %v, %v; want something in it", path, info, err)
		}
	}
	units(t, dir)
	run("uninstall")
	if left := tree(t, dir); len(left) != 0 {
		t.Errorf("got %v left; want nothing", left)
	}
}

// units looks at the units: what they run is installed, with flags that there are.
func units(t *testing.T, dir string) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "opt/ferry/lib/systemd/system/*.service"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, command, ok := strings.Cut(string(text), "\nExecStart=/opt/ferry/bin/vmm ")
		if !ok {
			t.Errorf("%s: got\n%s; want it to run the vmm that is installed", path, text)
			continue
		}
		command, _, _ = strings.Cut(command, "\n")
		words := strings.Fields(command)
		help, err := osexec.CommandContext(t.Context(), vmm, words[0], "--help").Output()
		if err != nil {
			t.Errorf("vmm %s --help: %v", words[0], err)
		}
		for _, w := range words {
			if strings.HasPrefix(w, "-") && !strings.Contains(string(help), w+" ") && !strings.Contains(string(help), w+", ") {
				t.Errorf("%s: got the flag %s; want one that there is", path, w)
			}
		}
	}
}

// TestMachineFile boots the guest of a machine file, with a flag that overrides it.
func TestMachineFile(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	path := filepath.Join(t.TempDir(), "alpha.json")
	if err := os.WriteFile(path, []byte(`{"name": "alpha", "memory": "64M", "cpus": 2, "cmdline": "fill=4", "rng": true}`), 0o600); err != nil {
		t.Fatal(err)
	}
	exec(t, ctx, w.Sites[0], 0, "run", "-f", path, "--memory", "32M", "--detach")
	m, err := client(w.Sites[0], "alpha").Machine(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if m.MemoryBytes != 32<<20 || m.CPUs != 2 || len(m.Devices) != 1 || m.Devices[0].Kind != "rng" || !strings.HasPrefix(m.Cmdline, "fill=4") {
		t.Errorf("got %+v; want what the file and the flag say", m)
	}
	exec(t, ctx, w.Sites[0], 0, "stop", "alpha")
}
