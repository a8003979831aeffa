package kvm_test

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/internal/kvm/kvmtest"
)

func TestNewSystemRefusesOtherFiles(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	must(t, err)
	defer f.Close()
	if _, err := kvm.NewSystem(f); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("got %v; want ENOTTY", err)
	}
}

func TestSystem(t *testing.T) {
	sys := kvmtest.Open(t)
	if got, _ := sys.Probe(kvm.CapUserMemory); got != kvm.Yes {
		t.Errorf("user memory: got %v; want %v", got, kvm.Yes)
	}
	if got, _ := sys.Probe(kvm.Cap(0xffffff)); got != kvm.No {
		t.Errorf("unknown capability: got %v; want %v", got, kvm.No)
	}
	cpuid, err := sys.SupportedCPUID()
	must(t, err)
	if !slices.ContainsFunc(cpuid, func(e kvm.CPUIDEntry) bool { return e.Function == 1 && e.EDX&1 != 0 }) {
		t.Errorf("CPUID leaf 1 with an FPU is missing from %d entries", len(cpuid))
	}
	msrs, err := sys.MSRIndices()
	must(t, err)
	const tsc, lstar = 0x10, 0xc0000082
	if !slices.Contains(msrs, tsc) || !slices.Contains(msrs, lstar) {
		t.Errorf("IA32_TSC or LSTAR is missing from %x", msrs)
	}
}

// The result of a call must arrive wherever the caller's stack is about to grow.
func TestResultsArriveAtAnyStackDepth(t *testing.T) {
	g := newGuest(t, nil, nil)
	var at func(depth int) (lost int)
	at = func(depth int) (lost int) {
		var c kvm.Clock
		if err := g.vm.Clock(&c); err != nil || c.Clock == 0 {
			lost++
		}
		if depth == 0 {
			return lost
		}
		return lost + at(depth-1)
	}
	done := make(chan int)
	go func() { done <- at(600) }()
	if lost := <-done; lost != 0 {
		t.Errorf("got %d lost results; want 0", lost)
	}
}

func TestPortInCompletesOnReentryOnly(t *testing.T) {
	// in al, 0x42; hlt
	g := newGuest(t, []byte{0xe4, 0x42, 0xf4}, nil)
	g.run(t, kvm.ExitIO)
	io := g.cpu.IO()
	if io.Out || io.Port != 0x42 || io.Size != 1 || io.Count != 1 {
		t.Fatalf("got %+v; want one byte in from 0x42", io)
	}
	io.Data[0] = 0x5a
	var before, after kvm.Regs
	must(t, g.cpu.Regs(&before))
	g.cpu.SetImmediateExit(true)
	if errno := g.cpu.Run(); errno != unix.EINTR {
		t.Fatalf("got %v; want EINTR", errno)
	}
	must(t, g.cpu.Regs(&after))
	if before.RIP != 0 || after.RIP != 2 || after.RAX != 0x5a {
		t.Errorf("got RIP %d, then RIP %d RAX %#x; want 0, then 2, 0x5a", before.RIP, after.RIP, after.RAX)
	}
	g.cpu.SetImmediateExit(false)
	g.run(t, kvm.ExitHLT)
}

func TestStringOutGivesEveryRepetition(t *testing.T) {
	// mov cx,3; mov si,0x100; mov dx,0x3f8; rep outsb; hlt
	code := []byte{0xb9, 3, 0, 0xbe, 0, 1, 0xba, 0xf8, 3, 0xf3, 0x6e, 0xf4}
	g := newGuest(t, code, nil)
	copy(g.mem[0x100:], "abc")
	var got []byte
	for {
		if errno := g.cpu.Run(); errno != 0 {
			t.Fatal(errno)
		}
		if g.cpu.ExitReason() == kvm.ExitHLT {
			break
		}
		got = append(got, g.cpu.IO().Data...)
	}
	if string(got) != "abc" {
		t.Errorf("got %q; want abc", got)
	}
}

func TestMMIO(t *testing.T) {
	// mov ax,0x2000; mov ds,ax; mov ax,[4]; mov [6],ax; hlt    (0x20000 is outside memory)
	code := []byte{0xb8, 0, 0x20, 0x8e, 0xd8, 0xa1, 4, 0, 0xa3, 6, 0, 0xf4}
	g := newGuest(t, code, nil)
	g.run(t, kvm.ExitMMIO)
	addr, data, write := g.cpu.MMIO()
	if addr != 0x20004 || len(data) != 2 || write {
		t.Fatalf("got %#x, %d bytes, write %v; want a read of 2 at 0x20004", addr, len(data), write)
	}
	binary.LittleEndian.PutUint16(data, 0xbeef)
	g.run(t, kvm.ExitMMIO)
	addr, data, write = g.cpu.MMIO()
	if addr != 0x20006 || !write || binary.LittleEndian.Uint16(data) != 0xbeef {
		t.Fatalf("got %#x, % x, write %v; want a write of beef at 0x20006", addr, data, write)
	}
	g.run(t, kvm.ExitHLT)
}

func TestDirtyLog(t *testing.T) {
	// mov byte [0x3000],1; mov byte [0x5000],1; hlt; jmp start
	code := []byte{0xc6, 0x06, 0, 0x30, 1, 0xc6, 0x06, 0, 0x50, 1, 0xf4, 0xeb, 0xf3}
	var initiallySet bool
	g := newGuest(t, code, func(vm *kvm.VM) {
		var err error
		initiallySet, err = vm.EnableManualDirtyProtect()
		must(t, err)
	})
	bitmap := make([]uint64, 1)
	if err := g.vm.DirtyLog(0, bitmap); !errors.Is(err, unix.ENOENT) {
		t.Errorf("a slot without a log: got %v; want ENOENT", err)
	}
	g.slot(t, kvm.MemLogDirtyPages)
	must(t, g.vm.DirtyLog(0, bitmap))
	if want := uint64(0xffff); initiallySet && bitmap[0] != want {
		t.Errorf("initially set: got %#x; want %#x", bitmap[0], want)
	}
	must(t, g.vm.ClearDirtyLog(0, 0, 16, []uint64{0xffff}))
	g.run(t, kvm.ExitHLT)
	must(t, g.vm.DirtyLog(0, bitmap))
	if got, want := bitmap[0], uint64(1<<3|1<<5); got != want {
		t.Errorf("after two writes: got %#x; want %#x", got, want)
	}
	must(t, g.vm.ClearDirtyLog(0, 0, 16, []uint64{1 << 3}))
	must(t, g.vm.DirtyLog(0, bitmap))
	if got, want := bitmap[0], uint64(1<<5); got != want {
		t.Errorf("after clearing page 3: got %#x; want %#x", got, want)
	}
	if err := g.vm.ClearDirtyLog(0, 0, 128, bitmap); !errors.Is(err, unix.EINVAL) {
		t.Errorf("bitmap too short: got %v; want EINVAL", err)
	}
}

func TestMSRsReportTheRefusedOne(t *testing.T) {
	g := newGuest(t, nil, nil)
	const efer, bogus = 0xc0000080, 0x12345678
	entries := []kvm.MSREntry{{Index: efer}, {Index: bogus}, {Index: efer}}
	n, err := g.cpu.MSRs(entries)
	must(t, err)
	if n != 1 {
		t.Errorf("MSRs: got %d; want 1, the index of the refused one", n)
	}
	n, err = g.cpu.SetMSRs(entries)
	must(t, err)
	if n != 1 {
		t.Errorf("SetMSRs: got %d; want 1", n)
	}
	many := slices.Repeat([]kvm.MSREntry{{Index: efer}}, 1000) // more than one call takes
	n, err = g.cpu.MSRs(many)
	must(t, err)
	if n != len(many) {
		t.Errorf("got %d of %d", n, len(many))
	}
}

func TestIRQRoutingAndClock(t *testing.T) {
	g := newGuest(t, nil, func(vm *kvm.VM) {
		must(t, vm.SetIdentityMapAddr(0xfffbc000))
		must(t, vm.SetTSSAddr(0xfffbd000))
		must(t, vm.CreateIRQChip())
		must(t, vm.CreatePIT2())
	})
	must(t, g.vm.SetGSIRouting([]kvm.Route{
		kvm.NewIRQChipRoute(4, kvm.IOAPIC, 4),
		kvm.NewIRQChipRoute(4, kvm.PICMaster, 4),
		kvm.NewMSIRoute(24, 0xfee00000, 0x31),
	}))
	must(t, g.vm.IRQLine(4, true))
	pic := kvm.IRQChip{ID: kvm.PICMaster}
	must(t, g.vm.IRQChip(&pic))
	if irr := pic.State[1]; irr != 1<<4 {
		t.Errorf("PIC IRR: got %#x; want %#x", irr, 1<<4)
	}
	must(t, g.vm.SetIRQChip(&pic))
	must(t, g.vm.IRQLine(4, false))

	efd, err := unix.Eventfd(0, unix.EFD_CLOEXEC)
	must(t, err)
	defer unix.Close(efd)
	must(t, g.vm.IRQFD(efd, 24, -1))
	must(t, g.vm.RemoveIRQFD(efd, 24))
	ev := kvm.IOEvent{Addr: 0x1000, Len: 2, FD: int32(efd), Flags: kvm.IOEventPIO}
	must(t, g.vm.IOEventFD(ev))
	must(t, g.vm.RemoveIOEventFD(ev))

	pit := kvm.PIT{}
	must(t, g.vm.PIT2(&pit))
	must(t, g.vm.SetPIT2(&pit))
	var c kvm.Clock
	c.Clock = 1e15
	must(t, g.vm.SetClock(&c))
	must(t, g.vm.Clock(&c))
	if got := c.Clock - 1e15; got > 1e9 {
		t.Errorf("clock is %d ns away from what was set", got)
	}
}

func TestVCPUStateRoundTrips(t *testing.T) {
	g := newGuest(t, nil, func(vm *kvm.VM) { must(t, vm.CreateIRQChip()) })
	c := g.cpu
	type state struct {
		Regs   kvm.Regs
		Sregs  kvm.Sregs2
		Events kvm.Events
		LAPIC  kvm.LAPIC
		XCRs   kvm.XCRs
		Debug  kvm.DebugRegs
		MP     uint32
		Xsave  []byte
	}
	get := func() (s state) {
		var err error
		s.MP, err = c.MPState()
		must(t, err)
		s.Xsave = make([]byte, c.XsaveSize())
		must(t, errors.Join(c.Regs(&s.Regs), c.Sregs2(&s.Sregs), c.Events(&s.Events), c.LAPIC(&s.LAPIC), c.XCRs(&s.XCRs),
			c.DebugRegs(&s.Debug), c.Xsave2(s.Xsave)))
		return s
	}
	want := get()
	want.Regs.R15, want.Sregs.CR2, want.Debug.DB[1] = 0x1122334455667788, 0xdead000, 0x4000
	must(t, errors.Join(c.SetMPState(want.MP), c.SetRegs(&want.Regs), c.SetSregs2(&want.Sregs), c.SetXsave(want.Xsave), c.SetXCRs(&want.XCRs),
		c.SetDebugRegs(&want.Debug), c.SetLAPIC(&want.LAPIC), c.SetEvents(&want.Events)))
	if diff := cmp.Diff(want, get()); diff != "" {
		t.Errorf("state (-want +got):\n%s", diff)
	}
	if err := c.Xsave2(make([]byte, 64)); !errors.Is(err, unix.EINVAL) {
		t.Errorf("short xsave buffer: got %v; want EINVAL", err)
	}
}

func TestCoalescedWritesWait(t *testing.T) {
	// mov al,7; out 0x70,al; mov al,8; out 0x70,al; hlt
	g := newGuest(t, []byte{0xb0, 7, 0xe6, 0x70, 0xb0, 8, 0xe6, 0x70, 0xf4}, nil)
	if got, _ := g.vm.CheckExtension(kvm.CapCoalescedPIO); got != kvm.Yes {
		t.Skip("this kernel does not coalesce ports")
	}
	must(t, g.vm.Coalesce(true, 0x70, 1))
	g.run(t, kvm.ExitHLT)
	var got []byte
	drain := func() int {
		return g.cpu.DrainCoalesced(func(pio bool, addr uint64, data []byte) {
			if !pio || addr != 0x70 {
				t.Errorf("got port %v, address %#x; want port 0x70", pio, addr)
			}
			got = append(got, data...)
		})
	}
	if n := drain(); n != 2 || !slices.Equal(got, []byte{7, 8}) {
		t.Errorf("got %d writes, % x; want 07 08", n, got)
	}
	if n := drain(); n != 0 {
		t.Errorf("second drain: got %d; want 0", n)
	}
	must(t, g.vm.Uncoalesce(true, 0x70, 1))
}

func TestCloseTwice(t *testing.T) {
	g := newGuest(t, nil, nil)
	must(t, errors.Join(g.cpu.Close(), g.cpu.Close(), g.vm.Close(), g.vm.Close()))
}
