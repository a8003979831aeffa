package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/vcpu"
)

// cpuModel is a host's with these features in leaf 1.
func cpuModel(vendor, ecx uint32) vcpu.Model {
	return vcpu.Model{CPUID: []kvm.CPUIDEntry{{Function: 0, EAX: 1, EBX: vendor}, {Function: 1, ECX: ecx, EDX: 1}}}
}

func TestCPU(t *testing.T) {
	h := newHarness(t)
	h.model = cpuModel(1, 7)
	if got := h.run("cpu"); got != exitOK {
		t.Fatalf("got exit code %d; want 0\n%s", got, h.stderr)
	}
	got, err := vcpu.DecodeModel([]byte(h.stdout.String()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(h.model, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	h = newHarness(t)
	h.model = cpuModel(1, 7)
	if got := h.run("cpu", "--json"); got != exitOK || len(h.objects()) != 1 || h.objects()[0]["format"] != 1.0 {
		t.Errorf("--json: got exit code %d and %q; want one object", got, h.stdout)
	}
}

func TestCPUOfFiles(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, m vcpu.Model) string {
		text, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	a, b, other := file("a", cpuModel(1, 7)), file("b", cpuModel(1, 13)), file("other", cpuModel(2, 7))
	h := newHarness(t)
	if got := h.run("cpu", a, b); got != exitOK {
		t.Fatalf("got exit code %d; want 0\n%s", got, h.stderr)
	}
	got, err := vcpu.DecodeModel([]byte(h.stdout.String()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(cpuModel(1, 5), got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for what, c := range map[string]struct {
		files []string
		want  string
	}{
		"not there":   {[]string{a, filepath.Join(dir, "none")}, "no such file"},
		"a folder":    {[]string{dir}, "directory"},
		"endless":     {[]string{"/dev/zero"}, "at most"},
		"two vendors": {[]string{a, other}, "cannot move"},
	} {
		h := newHarness(t)
		if got := h.run(append([]string{"cpu"}, c.files...)...); got != exitFailed || !strings.Contains(h.stderr.String(), c.want) {
			t.Errorf("%s: got exit code %d and %q; want 1 and %q", what, got, h.stderr, c.want)
		}
		if h.stdout.String() != "" {
			t.Errorf("%s: got %q on stdout; want nothing", what, h.stdout)
		}
	}
	h = newHarness(t)
	h.failure = os.ErrPermission
	if got := h.run("cpu"); got != exitFailed || !strings.Contains(h.stderr.String(), "/dev/kvm") {
		t.Errorf("no KVM: got exit code %d and %q", got, h.stderr)
	}
}
