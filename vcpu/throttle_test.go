package vcpu

import (
	"encoding/binary"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/internal/kvm/kvmtest"
)

// counting starts a vCPU that reads counters without end.
func counting(t *testing.T, change ...func(*Config)) *machine {
	m := newMachine(t, kvmtest.Open(t), 1, newDevices(), change...)
	m.load(codeAt, codeCount...)
	start(t, m, func(st *State) {
		m.longMode(&st.VCPUs[0], 3, codeAt)
		st.VCPUs[0].Regs.RDX, st.VCPUs[0].Regs.RDI = portCount, mmioAt
	})
	return m
}

// goesOn wants the guest to get on.
func (m *machine) goesOn(t *testing.T) {
	t.Helper()
	before := m.dev.ports.Load()
	m.until(t, func() bool { return m.dev.ports.Load() > before+10 })
}

// resting waits until a vCPU stands still for longer than any test. Precondition: the window is longer.
func (m *machine) resting(t *testing.T) {
	t.Helper()
	before := m.cpus[0].interrupted.Load()
	must(t, m.Throttle(99))
	m.until(t, func() bool { return m.cpus[0].interrupted.Load() > before })
	time.Sleep(5 * time.Millisecond) // so that it most likely does
}

func TestThrottledGuestAnswersAtOnce(t *testing.T) {
	m := counting(t)
	m.window = time.Hour
	must(t, m.Resume())
	m.goesOn(t)
	m.resting(t)
	m.pause(t)
	must(t, m.Resume()) // it runs for its share first
	m.goesOn(t)
	must(t, m.Throttle(0))
	m.resting(t)
	must(t, m.Throttle(0))
	m.goesOn(t)
	m.resting(t)
	must(t, m.Close())
}

func TestThrottleRests(t *testing.T) {
	m := counting(t)
	must(t, m.Resume())
	must(t, m.Throttle(80))
	rested := func() time.Duration { return time.Duration(m.cpus[0].rested.Load()) }
	m.until(t, func() bool { return rested() > 3*throttleWindow })
	m.goesOn(t)
	m.pause(t)
	must(t, m.Resume())
	before := rested()
	m.until(t, func() bool { return rested() > before+throttleWindow }) // a pause does not end it
	must(t, m.Throttle(0))
	m.pause(t)
	must(t, m.Resume())
	before = rested()
	m.goesOn(t)
	m.Kick()
	m.goesOn(t)
	if got := rested(); got != before {
		t.Errorf("throttled no more: got %v of rest; want none", got-before)
	}
	for _, percent := range []int{-1, 100} {
		if err := m.Throttle(percent); err == nil {
			t.Errorf("%d percent: got no error", percent)
		}
	}
}

// writes is what vCPUs claim to have written: the first more and more.
type writes struct{ n atomic.Uint64 }

func (w *writes) Collect(int) error { return nil }

func (w *writes) Written(cpu int) uint64 {
	if cpu > 0 {
		return 0
	}
	return w.n.Add(1)
}

func TestThrottleSparesReaders(t *testing.T) {
	m := newMachine(t, kvmtest.Open(t), 2, newDevices(), func(c *Config) { c.Dirty = &writes{} })
	m.load(codeAt, codeSpin...)
	start(t, m, func(st *State) {
		m.longMode(&st.VCPUs[0], 3, codeAt)
		m.longMode(&st.VCPUs[1], 3, codeAt)
	})
	must(t, m.Resume())
	must(t, m.Throttle(50))
	m.until(t, func() bool {
		return m.cpus[0].rested.Load() > int64(3*throttleWindow) && m.cpus[1].interrupted.Load() > 3
	})
	if got := m.cpus[1].rested.Load(); got != 0 {
		t.Errorf("a vCPU that writes nothing: got %v of rest; want none", time.Duration(got))
	}
}

// ringed empties the ring of a VM.
type ringed struct {
	vm    *kvm.VM
	pages atomic.Uint64
}

func (r *ringed) Collect(cpu int) error {
	r.pages.Add(uint64(r.vm.CollectDirty(cpu, func(uint32, uint64) {})))
	_, err := r.vm.ResetDirtyRings()
	return err
}

func (r *ringed) Written(int) uint64 { return r.pages.Load() }

func TestFullRingIsEmptied(t *testing.T) {
	const at, size = 4 << 20, 16 << 20
	ring := &ringed{}
	m := newMachine(t, kvmtest.Open(t), 1, newDevices(), func(c *Config) {
		must(t, c.VM.EnableDirtyRing(1024))
		ring.vm, c.Dirty = c.VM, ring
	})
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	must(t, err)
	t.Cleanup(func() { must(t, unix.Munmap(mem)) })
	must(t, m.vm.SetMemoryRegion(1, kvm.MemLogDirtyPages, at, size, address(mem)))
	// again: inc qword [rdi+rax]; add rax, 0x1000; and eax, 0xffffff; jmp again
	m.load(codeAt, 0x48, 0xff, 0x04, 0x07, 0x48, 0x05, 0, 0x10, 0, 0, 0x25, 0xff, 0xff, 0xff, 0, 0xeb, 0xef)
	start(t, m, func(st *State) {
		m.longMode(&st.VCPUs[0], 3, codeAt)
		for i := uint64(2); i < 10; i++ {
			binary.LittleEndian.PutUint64(m.mem[tablesAt+0x2000+8*i:], i<<21|0x87)
		}
		st.VCPUs[0].Regs.RDI = at
	})
	must(t, m.Resume())
	m.until(t, func() bool { return ring.pages.Load() > 1500 })
	m.pause(t)
	for page := range 1500 - 100 {
		if binary.LittleEndian.Uint64(mem[page<<12:]) == 0 {
			t.Fatalf("page %d: got no write; want it written before those that were logged later", page)
		}
	}
}
