package kvm_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/internal/kvm/kvmtest"
)

// guest is a VM with one vCPU in real mode and 64 KiB of memory at 0 that starts with the code.
type guest struct {
	vm  *kvm.VM
	cpu *kvm.VCPU
	mem []byte
}

const guestMem = 64 << 10

// newGuest builds a guest; with is called before the vCPU is created.
func newGuest(t *testing.T, code []byte, with func(*kvm.VM)) *guest {
	t.Helper()
	sys := kvmtest.Open(t)
	vm, err := sys.CreateVM()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeOK(t, vm.Close) })
	mem, err := unix.Mmap(-1, 0, guestMem, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeOK(t, func() error { return unix.Munmap(mem) }) })
	copy(mem, code)
	if with != nil {
		with(vm)
	}
	cpu, err := vm.CreateVCPU(0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeOK(t, cpu.Close) })
	g := &guest{vm: vm, cpu: cpu, mem: mem}
	g.slot(t, 0)
	var s kvm.Sregs2
	must(t, cpu.Sregs2(&s))
	s.CS.Base, s.CS.Selector = 0, 0
	must(t, cpu.SetSregs2(&s))
	must(t, cpu.SetRegs(&kvm.Regs{RFLAGS: 2, RSP: guestMem / 2}))
	return g
}

func (g *guest) slot(t *testing.T, flags uint32) {
	t.Helper()
	must(t, g.vm.SetMemoryRegion(0, flags, 0, guestMem, address(g.mem)))
}

// run enters the guest and wants an exit for this reason.
func (g *guest) run(t *testing.T, want kvm.ExitReason) {
	t.Helper()
	if errno := g.cpu.Run(); errno != 0 {
		t.Fatalf("got KVM_RUN %v; want %v", errno, want)
	}
	if got := g.cpu.ExitReason(); got != want {
		t.Fatalf("got %v %+v; want %v", got, g.cpu.Event(), want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func closeOK(t *testing.T, f func() error) {
	t.Helper()
	if err := f(); err != nil {
		t.Error(err)
	}
}
