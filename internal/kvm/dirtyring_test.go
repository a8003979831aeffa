package kvm_test

import (
	"errors"
	"runtime"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/internal/kvm/kvmtest"
)

// ringEntries is the smallest ring that every host takes: those with a page modification log keep 576 entries in reserve.
const ringEntries = 1024

func enableRing(t *testing.T) func(*kvm.VM) {
	return func(vm *kvm.VM) { must(t, vm.EnableDirtyRing(ringEntries)) }
}

// collect takes the pages that are in the ring of vCPU 0.
func (g *guest) collect(t *testing.T) []uint64 {
	t.Helper()
	var pages []uint64
	n := g.vm.CollectDirty(0, func(slot uint32, page uint64) {
		if slot != 0 {
			t.Errorf("got an entry of slot %d; want 0", slot)
		}
		pages = append(pages, page)
	})
	if n != len(pages) {
		t.Errorf("got %d entries; want the %d that were handed out", n, len(pages))
	}
	return slices.Compact(pages) // an access that KVM emulates is logged each time
}

// reset makes room in the rings.
func (g *guest) reset(t *testing.T) {
	t.Helper()
	whole, err := g.vm.ResetDirtyRings()
	if err != nil || !whole {
		t.Fatalf("got %v, %v; want all reset", whole, err)
	}
}

func TestDirtyRing(t *testing.T) {
	// mov byte [0x3000],1; mov byte [0x5000],1; hlt; jmp start
	code := []byte{0xc6, 0x06, 0, 0x30, 1, 0xc6, 0x06, 0, 0x50, 1, 0xf4, 0xeb, 0xf3}
	g := newGuest(t, code, enableRing(t))
	both := []uint64{3, 5}
	wants := func(when string, want []uint64) {
		t.Helper()
		if diff := cmp.Diff(want, g.collect(t)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	g.run(t, kvm.ExitHLT)
	wants("not logged", nil)
	g.slot(t, kvm.MemLogDirtyPages)
	g.run(t, kvm.ExitHLT)
	wants("after two writes", both)
	wants("collected already", nil)
	g.reset(t)
	g.run(t, kvm.ExitHLT)
	wants("reset", both)
	if err := g.vm.DirtyLog(0, make([]uint64, 1)); !errors.Is(err, unix.ENXIO) {
		t.Errorf("the other log: got %v; want ENXIO", err)
	}
	if n := g.vm.CollectDirty(1, nil); n != 0 {
		t.Errorf("a vCPU that does not exist: got %d entries; want 0", n)
	}
	must(t, g.cpu.Close())
	wants("a closed vCPU", nil)
}

func TestDirtyRingFull(t *testing.T) {
	const size = 16 << 20
	g := newGuest(t, nil, enableRing(t))
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	must(t, err)
	t.Cleanup(func() { must(t, unix.Munmap(mem)) })
	must(t, g.vm.SetMemoryRegion(0, 0, 0, 0, 0))
	must(t, g.vm.SetMemoryRegion(1, kvm.MemLogDirtyPages, 0, size, address(mem)))
	// again: inc byte [rdi]; add rdi, 0x1000; jmp again
	copy(mem, []byte{0xfe, 0x07, 0x48, 0x81, 0xc7, 0, 0x10, 0, 0, 0xeb, 0xf5})
	const first = kvmtest.UserEnd >> 12
	must(t, kvmtest.User(g.cpu, mem, 0, kvm.Regs{RDI: first << 12}))
	next := uint64(first)
	for range 3 {
		g.run(t, kvm.ExitDirtyRingFull)
		g.run(t, kvm.ExitDirtyRingFull) // nobody made room
		n := g.vm.CollectDirty(0, func(slot uint32, page uint64) {
			if page < first {
				return // the walk of the page tables marks them as accessed
			}
			if page+1 == next {
				return // logged, and protected again before it could be written
			}
			if slot != 1 || page != next {
				t.Fatalf("got page %d of slot %d; want %d of 1", page, slot, next)
			}
			next++
		})
		if n < ringEntries/4 || n > ringEntries {
			t.Errorf("a full ring: got %d entries; want most of %d", n, ringEntries)
		}
		g.reset(t)
	}
	for page := uint64(first); page < next-1; page++ {
		if mem[page<<12] != 1 {
			t.Fatalf("page %d: got %d writes; want 1", page, mem[page<<12])
		}
	}
}

// A reset that a signal cuts short is no reset: pages would be written without being logged.
func TestDirtyRingResetUnderSignals(t *testing.T) {
	const size, first, pages = 4 << 20, kvmtest.UserEnd >> 12, 400
	g := newGuest(t, nil, enableRing(t))
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	must(t, err)
	t.Cleanup(func() { must(t, unix.Munmap(mem)) })
	must(t, g.vm.SetMemoryRegion(0, 0, 0, 0, 0))
	must(t, g.vm.SetMemoryRegion(1, kvm.MemLogDirtyPages, 0, size, address(mem)))
	// again: inc qword [rsi]; add rsi, 0x1000; dec rcx; jnz again; out 0x10, al
	copy(mem, []byte{0x48, 0xff, 0x06, 0x48, 0x81, 0xc6, 0, 0x10, 0, 0, 0x48, 0xff, 0xc9, 0x75, 0xf1, 0xe6, 0x10})
	regs := kvm.Regs{RSI: first << 12, RCX: pages, RFLAGS: 2 | 3<<12}
	must(t, kvmtest.User(g.cpu, mem, 0, regs))
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	tid := unix.Gettid()
	for range 50 {
		must(t, g.cpu.SetRegs(&regs))
		errno := g.cpu.Run()
		for ; errors.Is(errno, unix.EINTR); errno = g.cpu.Run() {
		}
		if errno != 0 || g.cpu.ExitReason() != kvm.ExitIO {
			t.Fatalf("got %v, %v; want the port", errno, g.cpu.ExitReason())
		}
		logged := map[uint64]bool{}
		g.vm.CollectDirty(0, func(_ uint32, page uint64) { logged[page] = true })
		for page := uint64(first); page < first+pages; page++ {
			if !logged[page] {
				t.Fatalf("page %d was written and not logged", page)
			}
		}
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
					_ = unix.Tgkill(unix.Getpid(), tid, unix.SIGURG) // as Go does to preempt
				}
			}
		}()
		whole, err := g.vm.ResetDirtyRings()
		close(stop)
		<-stopped
		must(t, err)
		if !whole {
			t.Error("a reset was cut short")
		}
	}
}

func TestDirtyRingRefused(t *testing.T) {
	g := newGuest(t, nil, nil)
	for _, entries := range []int{-1, 0, 1000} {
		if err := g.vm.EnableDirtyRing(entries); !errors.Is(err, unix.EINVAL) {
			t.Errorf("%d entries: got %v; want EINVAL", entries, err)
		}
	}
	if err := g.vm.EnableDirtyRing(1 << 30); !errors.Is(err, kvm.ErrNotSupported) {
		t.Errorf("too large a ring: got %v; want ErrNotSupported", err)
	}
	if err := g.vm.EnableDirtyRing(ringEntries); !errors.Is(err, unix.EINVAL) {
		t.Errorf("with a vCPU: got %v; want EINVAL", err)
	}
	if _, err := g.vm.ResetDirtyRings(); !errors.Is(err, unix.EINVAL) {
		t.Errorf("reset without rings: got %v; want EINVAL", err)
	}
}
