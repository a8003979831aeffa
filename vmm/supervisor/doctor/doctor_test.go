package doctor

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/vcpu"
)

// caps is a KVM with all but these.
func caps(without ...kvm.Cap) func(kvm.Cap) (kvm.Support, int) {
	return func(c kvm.Cap) (kvm.Support, int) {
		for _, w := range without {
			if c == w {
				return kvm.No, 0
			}
		}
		return kvm.Yes, int(kvm.ClockRealtime)
	}
}

var (
	errAbsent    = fmt.Errorf("open: %w", os.ErrNotExist)
	errForbidden = fmt.Errorf("open: %w", os.ErrPermission)
	errOther     = errors.New("it is on fire")
)

// TestChecks makes each check fail, and succeed: what is wrong has a remedy.
func TestChecks(t *testing.T) {
	plain := []kvm.Cap{kvm.CapManualDirtyProtect2, kvm.CapDirtyLogRing, kvm.CapDirtyLogRingAcqRel}
	for _, tc := range []struct {
		got   Finding
		level Level
		says  string
	}{
		{kvmDevice(nil, ""), OK, "can be used"},
		{kvmDevice(errAbsent, "flags\t: fpu vmx\n"), Bad, "modprobe kvm_intel"},
		{kvmDevice(errAbsent, "flags\t: fpu svm\n"), Bad, "modprobe kvm_amd"},
		{kvmDevice(errAbsent, "flags\t: fpu\n"), Bad, "firmware"},
		{kvmDevice(errForbidden, ""), Bad, "usermod -aG kvm"},
		{kvmDevice(errOther, ""), Bad, "on fire"},
		{kind(time.Nanosecond, nil), OK, "full speed"},
		{kind(300*time.Nanosecond, nil), Note, "300 ns an instruction"},
		{kind(0, errOther), Bad, "on fire"},
		{capabilities(caps()), OK, "bitmap or by ring"},
		{capabilities(caps(kvm.CapManualDirtyProtect2)), OK, "by ring"},
		{capabilities(caps(plain[1:]...)), OK, "by bitmap"},
		{capabilities(caps(plain...)), Note, "plain log"},
		{capabilities(caps(kvm.CapIRQFD, kvm.CapXsave)), Bad, "lacks irqfd, extended state"},
		{userfault(nil), OK, "works"},
		{userfault(errAbsent), Note, "Linux 6.1"},
		{userfault(errForbidden), Note, "chmod 660 /dev/userfaultfd"},
		{userfault(errOther), Note, "on fire"},
		{iouring(nil), OK, "works"},
		{iouring(unix.EPERM), Note, "kernel.io_uring_disabled=0"},
		{iouring(errOther), Note, "on fire"},
		{memlock(unix.RLIM_INFINITY, nil), OK, "without limit"},
		{memlock(8<<20, nil), OK, "8 MiB"},
		{memlock(64<<10, nil), Note, "only 64 KiB"},
		{memlock(0, errOther), Note, "on fire"},
		{tap(nil, true), OK, "can be made"},
		{tap(nil, false), Note, "ip tuntap add"},
		{tap(errForbidden, false), Note, "/dev/net/tun may not be opened"},
		{tap(errAbsent, true), Note, "modprobe tun"},
		{hugePages("3\n", "8\n"), OK, "6 MiB"},
		{hugePages("0\n", "8\n"), Note, "vm.nr_hugepages=16"},
		{hugePages("0\n", "0\n"), OK, "vm.nr_hugepages"},
		{hugePages("", ""), Note, "CONFIG_HUGETLBFS"},
		{cpu(vcpu.Model{}, errOther), Bad, "on fire"},
		{cpu(model(1), nil), OK, "--cpu baseline"},
		{clock("tsc\n", caps()), OK, "another frequency"},
		{clock("tsc\n", caps(kvm.CapTSCControl)), OK, "cannot scale"},
		{clock("tsc\n", caps(kvm.CapAdjustClock)), Note, "Linux 5.16"},
		{clock("hpet\n", caps()), Note, "keeps time by hpet"},
		{threads(1), Note, "one CPU"},
		{threads(2), OK, "2 CPUs"},
		{stateFolder("/run/ferry", nil), OK, "/run/ferry"},
		{stateFolder("/run/ferry", errForbidden), Bad, "FERRY_DIR"},
	} {
		if tc.got.Level != tc.level || !strings.Contains(tc.got.Text+"\n"+tc.got.Remedy, tc.says) {
			t.Errorf("got %+v; want level %s, and that it says %q", tc.got, tc.level, tc.says)
		}
		if tc.level != OK && tc.got.Remedy == "" {
			t.Errorf("got %+v; want a remedy", tc.got)
		}
		if tc.got.Check == "" {
			t.Errorf("got %+v; want the name of the check", tc.got)
		}
	}
}

// TestExamine looks at the host that the test runs on: each check is asked once.
func TestExamine(t *testing.T) {
	dir := t.TempDir()
	r, _ := Examine(dir)
	seen := map[string]bool{}
	for _, f := range r.Findings {
		t.Logf("%s %s: %s (%s)", f.Level, f.Check, f.Text, f.Remedy)
		if seen[f.Check] {
			t.Errorf("got %s twice; want it once", f.Check)
		}
		seen[f.Check] = true
	}
	for _, want := range []string{"kvm", "userfaultfd", "io_uring", "memlock", "tap", "hugepages", "cpus", "folder"} {
		if !seen[want] {
			t.Errorf("got no %s; want it checked", want)
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("got %v, %v in the folder; want nothing left", left, err)
	}
	if r, _ := Examine(dir + "/none"); r.OK() {
		t.Error("got all well with a folder that is not there; want it bad")
	}
}
