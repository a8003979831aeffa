package guestmem_test

import (
	"fmt"
	"testing"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/internal/kvm/kvmtest"
)

var (
	_ guestmem.VM     = (*kvm.VM)(nil)
	_ guestmem.RingVM = (*kvm.VM)(nil)
)

// kvmLogs are the dirty logs that KVM has.
var kvmLogs = []string{"manual", "plain", "ring", smallRing}

// smallRing is the smallest ring that every host takes: it is often full.
const smallRing = "small ring"

var ringEntries = map[string]int{"ring": 65536, smallRing: 1024}

// kvmAttach creates a VM on real KVM with m as its memory and that log.
func kvmAttach(t testing.TB, m *guestmem.Memory, log string) (*kvm.VM, *guestmem.Rings) {
	t.Helper()
	vm, err := kvmtest.Open(t).CreateVM()
	check(t, err)
	t.Cleanup(func() { check(t, vm.Close()) })
	switch log {
	case "plain":
		check(t, m.AttachPlain(vm))
	case "ring", smallRing:
		check(t, vm.EnableDirtyRing(ringEntries[log]))
		rings, err := m.AttachRings(vm, 1, ringEntries[log])
		check(t, err)
		return vm, rings
	default:
		initiallySet, err := vm.EnableManualDirtyProtect()
		check(t, err)
		t.Logf("manual protection, initially set: %v", initiallySet)
		check(t, m.Attach(vm))
	}
	return vm, nil
}

// writer is 16-bit code that counts in AX and writes it to one page after another of the 16 that DS reaches:
//
//	again: inc ax; mov [bx], ax; add bx, 0x3000; out 0x10, al; jmp again
var writer = []byte{0x40, 0x89, 0x07, 0x81, 0xc3, 0x00, 0x30, 0xe6, 0x10, 0xeb, 0xf5}

// A guest that really runs, on the log that KVM really keeps.
func TestTrackerKVM(t *testing.T) {
	for _, log := range kvmLogs {
		t.Run(log, func(t *testing.T) {
			const base = 8 * mib
			source, target := newMemory(t, split), newMemory(t, split)
			check(t, source.WriteAt(writer, 0x1000))
			vm, _ := kvmAttach(t, source, log)
			cpu, err := vm.CreateVCPU(0)
			check(t, err)
			t.Cleanup(func() { check(t, cpu.Close()) })
			var s kvm.Sregs2
			check(t, cpu.Sregs2(&s))
			s.CS.Base, s.CS.Selector = 0, 0
			s.DS.Base, s.DS.Selector = base, 0
			check(t, cpu.SetSregs2(&s))
			check(t, cpu.SetRegs(&kvm.Regs{RFLAGS: 2, RIP: 0x1000}))
			writes := 0
			run := func(n int) {
				t.Helper()
				for range n {
					if errno := cpu.Run(); errno != 0 {
						t.Fatalf("KVM_RUN: %v", errno)
					}
					if got := cpu.ExitReason(); got != kvm.ExitIO {
						t.Fatalf("exit: got %v %+v; want the port", got, cpu.Event())
					}
					writes++
				}
			}
			run(5)
			tr, err := source.Track()
			check(t, err)
			runs := make([]guestmem.Run, 2)
			for round := range 6 {
				run(round)
				_, err := tr.Harvest()
				check(t, err)
				for n := 1; n > 0; {
					run(3)
					n, err = tr.Next(runs)
					check(t, err)
					run(2) // between the look and the send
					for _, r := range runs[:n] {
						place(t, target, r)
					}
				}
			}
			pages, err := tr.Harvest()
			check(t, err)
			if pages == 0 || pages > 16 {
				t.Errorf("last round: got %d pages; want 1 to 16", pages)
			}
			drain(t, tr, target, 8)
			if n := nonzero(t, source, target); n != 17 {
				t.Errorf("pages that are not zero: got %d; want the code and 16", n)
			}
			var word [2]byte
			check(t, target.ReadAt(word[:], base+uint64((writes-1)*0x3000&0xffff)))
			if got := int(word[0]) | int(word[1])<<8; got != writes {
				t.Errorf("the last write: got %d at the target; want %d", got, writes)
			}
			pages, err = tr.Harvest()
			check(t, err)
			if pages != 0 {
				t.Errorf("a paused guest: got %d dirty pages; want 0", pages)
			}
			check(t, tr.Close())
		})
	}
}

// BenchmarkFirstRoundKVM is a first round over holes, on the log of real KVM.
func BenchmarkFirstRoundKVM(b *testing.B) {
	for _, gib := range []uint64{1, 4} {
		b.Run(fmt.Sprintf("%dGiB", gib), func(b *testing.B) {
			layout, err := guestmem.NewLayout(gib << 30)
			check(b, err)
			m := newMemory(b, layout)
			kvmAttach(b, m, "manual")
			runs := make([]guestmem.Run, 256)
			for b.Loop() {
				tr, err := m.Track()
				check(b, err)
				round(b, tr, runs)
				check(b, tr.Close())
			}
		})
	}
}

// BenchmarkLastRoundKVM is the round of a guest that stands still, with nothing dirty.
func BenchmarkLastRoundKVM(b *testing.B) {
	for _, log := range kvmLogs {
		b.Run(log, func(b *testing.B) {
			layout, err := guestmem.NewLayout(4 << 30)
			check(b, err)
			m := newMemory(b, layout)
			kvmAttach(b, m, log)
			runs := make([]guestmem.Run, 256)
			tr, err := m.Track()
			check(b, err)
			round(b, tr, runs)
			for b.Loop() {
				round(b, tr, runs)
			}
			check(b, tr.Close())
		})
	}
}
