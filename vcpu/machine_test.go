package vcpu

import (
	"context"
	"encoding/binary"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/kvm"
)

func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(runtime.NumCPU() + mixedCount + 2) // as the machine process has it
	goleak.VerifyTestMain(m)
}

// Where things lie in a test guest's memory.
const (
	memorySize = 2 << 20
	stackAt    = 0x7000
	codeAt     = 0x8000 // of vCPU 0
	otherAt    = 0x9000 // of the others
	tablesAt   = 0x10000
	bufferAt   = 0x20000
	taskAt     = 0x30000    // task state segment with an I/O bitmap that allows every port
	mmioAt     = memorySize // the first address without memory, mapped for user code
)

// Ports of the test guests.
const (
	portCount = 0x3f4 // 4-byte reads give 0, 1, 2, …
	portBad   = 0xc0  // written when a guest saw something wrong
	portOut   = 0x80  // what is written is kept
)

// devices are the test guests' devices; several machines may share one, as the state of a device that moves.
type devices struct {
	ports, mmio atomic.Uint32 // values handed out
	bad         atomic.Uint32 // wrong ones, plus 1

	block   atomic.Bool   // the next PortIn waits
	entered chan struct{} // it has begun to
	release chan struct{} // it may go on

	mu  sync.Mutex
	out []byte        // guarded by mu
	any chan struct{} // has an element when out is not empty
}

func newDevices() *devices {
	return &devices{entered: make(chan struct{}, 1), release: make(chan struct{}), any: make(chan struct{}, 1)}
}

var _ Exits = (*devices)(nil)

func (d *devices) PortIn(port uint16, data []byte) {
	if d.block.CompareAndSwap(true, false) {
		d.entered <- struct{}{}
		<-d.release
	}
	if port == portCount && len(data) == 4 {
		binary.LittleEndian.PutUint32(data, d.ports.Add(1)-1)
	}
}

func (d *devices) PortOut(port uint16, data []byte) {
	switch port {
	case portBad:
		var v [4]byte
		copy(v[:], data)
		d.bad.Store(binary.LittleEndian.Uint32(v[:]) + 1)
	case portOut:
		d.mu.Lock()
		d.out = append(d.out, data...)
		d.mu.Unlock()
		select {
		case d.any <- struct{}{}:
		default:
		}
	}
}

func (d *devices) MMIORead(_ uint64, data []byte) {
	if len(data) == 4 {
		binary.LittleEndian.PutUint32(data, d.mmio.Add(1)-1)
	}
}

func (d *devices) MMIOWrite(uint64, []byte) {}

// output takes what the guest has written.
func (d *devices) output() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := d.out
	d.out = nil
	return out
}

// wait gives the guest's output once there are n bytes.
func (d *devices) wait(t testing.TB, n int) []byte {
	t.Helper()
	limit := time.After(20 * time.Second)
	var got []byte
	for {
		if got = append(got, d.output()...); len(got) >= n {
			return got
		}
		select {
		case <-d.any:
		case <-limit:
			t.Fatalf("got %d bytes of output %q; want %d", len(got), got, n)
		}
	}
}

// machine is a Set with a VM around it.
type machine struct {
	*Set
	vm    *kvm.VM
	mem   []byte
	dev   *devices
	ended chan Ending
}

// newMachine builds a machine with empty memory. The system is shared by all machines of a test.
func newMachine(t testing.TB, sys *kvm.System, count int, dev *devices, change ...func(*Config)) *machine {
	t.Helper()
	vm, err := sys.CreateVM()
	must(t, err)
	t.Cleanup(func() { must(t, vm.Close()) })
	must(t, vm.SetIdentityMapAddr(0xfffbc000))
	must(t, vm.SetTSSAddr(0xfffbd000))
	must(t, vm.CreateIRQChip())
	must(t, vm.CreatePIT2())
	mem, err := unix.Mmap(-1, 0, memorySize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	must(t, err)
	t.Cleanup(func() { must(t, unix.Munmap(mem)) })
	must(t, vm.SetMemoryRegion(0, 0, 0, memorySize, address(mem)))
	cpuid, err := CPUID(sys, count)
	must(t, err)
	m := &machine{vm: vm, mem: mem, dev: dev, ended: make(chan Ending, count)}
	cfg := Config{System: sys, VM: vm, CPUID: cpuid, Count: count, Exits: dev, Ended: func(_ int, e Ending) { m.ended <- e }}
	for _, f := range change {
		f(&cfg)
	}
	m.Set, err = NewSet(cfg)
	must(t, err)
	t.Cleanup(func() {
		must(t, m.Close())
		select {
		case e := <-m.ended:
			if !t.Failed() {
				t.Errorf("a vCPU ended: %v", e)
			}
		default:
		}
	})
	return m
}

// start makes a machine whose vCPUs are what with sets up, in a state that is otherwise fresh, and does not resume it.
func start(t testing.TB, m *machine, with func(st *State)) {
	t.Helper()
	st, err := m.Save()
	must(t, err)
	with(&st)
	_, err = m.Restore(st, RestoreOptions{})
	must(t, err)
}

// load puts code into memory.
func (m *machine) load(at int, code ...byte) { copy(m.mem[at:], code) }

// longMode makes a vCPU run code at rip in 64-bit mode with I/O privilege, in ring 3 or 0, memory mapped one to one.
func (m *machine) longMode(c *CPUState, ring uint8, rip uint64) {
	le := binary.LittleEndian
	le.PutUint64(m.mem[tablesAt:], tablesAt+0x1000|7)
	le.PutUint64(m.mem[tablesAt+0x1000:], tablesAt+0x2000|7)
	for i := range uint64(2) { // 2 MiB each: memory, then MMIO
		le.PutUint64(m.mem[tablesAt+0x2000+8*i:], i<<21|0x87)
	}
	s := &c.Sregs
	s.CR0, s.CR3, s.CR4, s.EFER = 0x80000031, tablesAt, 0x620, 0x500
	s.CS = kvm.Segment{Limit: flatLimit, Selector: 0x08 | uint16(ring), Type: 0xb, Present: 1, DPL: ring, S: 1, L: 1, G: 1}
	d := kvm.Segment{Limit: flatLimit, Selector: 0x10 | uint16(ring), Type: 3, Present: 1, DPL: ring, DB: 1, S: 1, G: 1}
	s.DS, s.ES, s.FS, s.GS, s.SS = d, d, d, d, d
	// I/O privilege level 3 is not enough: software KVM looks at the bitmap all the same.
	const bitmapOffset, bitmap, bitmapSize = 0x66, 0x68, 8192
	le.PutUint16(m.mem[taskAt+bitmapOffset:], bitmap)
	s.TR = kvm.Segment{Base: taskAt, Limit: bitmap + bitmapSize, Selector: 0x18, Type: 0xb, Present: 1}
	c.Regs = kvm.Regs{RIP: rip, RSP: stackAt, RFLAGS: 2 | 3<<12}
	c.MPState = kvm.MPRunnable
}

// realMode makes a vCPU run code at rip in 16-bit mode.
func realMode(c *CPUState, rip uint64, flags uint64) {
	c.Sregs.CS.Base, c.Sregs.CS.Selector = 0, 0
	c.Regs = kvm.Regs{RIP: rip, RSP: stackAt, RFLAGS: 2 | flags}
	c.MPState = kvm.MPRunnable
}

// pause wants the guest paused, well before a lost wake-up would show.
func (m *machine) pause(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	a, err := m.Pause(ctx)
	must(t, err)
	if a != Paused {
		t.Fatalf("got %v; want %v", a, Paused)
	}
}

// until waits for a condition that the guest brings about.
func (m *machine) until(t testing.TB, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !done(); runtime.Gosched() {
		select {
		case e := <-m.ended:
			t.Fatalf("a vCPU ended: %v", e)
		default:
		}
		if time.Now().After(limit) {
			t.Fatal("the guest does not get on")
		}
	}
}

// moveTo pauses, saves, copies memory and restores into to.
func (m *machine) moveTo(t testing.TB, to *machine) {
	t.Helper()
	m.pause(t)
	st, err := m.Save()
	must(t, err)
	copy(to.mem, m.mem)
	_, err = to.Restore(st, RestoreOptions{})
	must(t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
