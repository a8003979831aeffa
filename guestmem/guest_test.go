package guestmem_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/internal/kvm/kvmtest"
)

// scatter is 64-bit code that counts in one page after another, chosen by an xorshift of RDX, of those at RSI that the mask RDI
// reaches:
//
//	again: (mov rax, rdx; shl rax, 13; xor rdx, rax), the same with shr 7, and with shl 17
//	       mov rax, rdx; and rax, rdi; inc qword [rsi+rax]; inc rbx; jmp again
var scatter = []byte{
	0x48, 0x89, 0xd0, 0x48, 0xc1, 0xe0, 13, 0x48, 0x31, 0xc2,
	0x48, 0x89, 0xd0, 0x48, 0xc1, 0xe8, 7, 0x48, 0x31, 0xc2,
	0x48, 0x89, 0xd0, 0x48, 0xc1, 0xe0, 17, 0x48, 0x31, 0xc2,
	0x48, 0x89, 0xd0, 0x48, 0x21, 0xf8, 0x48, 0xff, 0x04, 0x06, 0x48, 0xff, 0xc3, 0xeb, 0xd3,
}

// Where scatter writes.
const (
	scatterAt   = 8 * mib
	scatterMask = 0x7ff000 // 2048 pages: more than a small ring holds
)

// guest is a vCPU that runs on a thread of its own.
type guest struct {
	cpu   *kvm.VCPU
	rings *guestmem.Rings
	full  atomic.Int64 // exits because the ring was full
	stop  atomic.Bool
	tid   chan int
	done  chan error
}

// newGuest makes a vCPU that will run scatter in m.
func newGuest(t testing.TB, m *guestmem.Memory, log string) *guest {
	t.Helper()
	vm, rings := kvmAttach(t, m, log)
	g := &guest{rings: rings}
	var err error
	g.cpu, err = vm.CreateVCPU(0)
	check(t, err)
	t.Cleanup(func() { check(t, g.cpu.Close()) })
	low := make([]byte, kvmtest.UserEnd)
	copy(low[0x1000:], scatter)
	check(t, kvmtest.User(g.cpu, low, 0x1000, kvm.Regs{RDX: 88172645463325252, RSI: scatterAt, RDI: scatterMask}))
	check(t, m.WriteAt(low, 0))
	return g
}

// start lets it run until pause.
func (g *guest) start() {
	g.stop.Store(false)
	g.cpu.SetImmediateExit(false)
	g.tid, g.done = make(chan int, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		g.tid <- unix.Gettid()
		g.done <- g.run()
	}()
}

func (g *guest) run() error {
	for !g.stop.Load() {
		errno := g.cpu.Run()
		switch {
		case errors.Is(errno, unix.EINTR):
		case errno != 0:
			return errno
		case g.cpu.ExitReason() == kvm.ExitDirtyRingFull:
			g.full.Add(1)
			if err := g.rings.Collect(0); err != nil {
				return err
			}
		default:
			return fmt.Errorf("got %v %+v; want none", g.cpu.ExitReason(), g.cpu.Event())
		}
	}
	return nil
}

// pause returns when the vCPU runs no more.
func (g *guest) pause(t testing.TB) {
	t.Helper()
	g.stop.Store(true)
	g.cpu.SetImmediateExit(true)
	check(t, unix.Tgkill(unix.Getpid(), <-g.tid, unix.SIGURG))
	check(t, <-g.done)
}

// A guest that writes at random while rounds are taken, and a device that does too: what has been sent when it stands still is its memory.
func TestTrackerKVMConcurrent(t *testing.T) {
	for _, log := range kvmLogs {
		t.Run(log, func(t *testing.T) {
			source, target := newMemory(t, split), newMemory(t, split)
			g := newGuest(t, source, log)
			tr, err := source.Track()
			check(t, err)
			g.start()
			begin, written := time.Now(), uint64(0)
			for n := uint64(0); n < 6 || written < 3000 || log == smallRing && g.full.Load() < 3; n++ {
				pages, err := tr.Harvest()
				check(t, err)
				if n > 0 {
					written += pages
				}
				check(t, source.WriteAt([]byte{byte(n)}, high+n%64*page))
				drain(t, tr, target, 16)
				time.Sleep(time.Duration(n%8) * 5 * time.Millisecond) // let it write something, or fill its ring
				if time.Since(begin) > 20*time.Second {
					t.Fatalf("got %d pages written, %d times a full ring; want more", written, g.full.Load())
				}
			}
			g.pause(t)
			_, err = tr.Harvest()
			check(t, err)
			drain(t, tr, target, 16)
			nonzero(t, source, target)
			if g.rings != nil && (g.rings.Dirtied()[0] < 2000 || g.rings.Written(0) < g.rings.Dirtied()[0]) {
				t.Errorf("got %d pages dirtied, %d entries; want at least 2000, and as many", g.rings.Dirtied()[0], g.rings.Written(0))
			}
			pages, err := tr.Harvest()
			check(t, err)
			if pages != 0 {
				t.Errorf("a paused guest: got %d dirty pages; want 0", pages)
			}
			check(t, tr.Close())

			// A second move starts anew.
			g.start()
			tr, err = source.Track()
			check(t, err)
			again := newMemory(t, split)
			_, err = tr.Harvest()
			check(t, err)
			drain(t, tr, again, 16)
			g.pause(t)
			_, err = tr.Harvest()
			check(t, err)
			drain(t, tr, again, 16)
			nonzero(t, source, again)
			check(t, tr.Close())
		})
	}
}

// sweep is 64-bit code that writes to RCX pages from RSI on, and then to a port:
//
//	again: inc qword [rsi]; add rsi, 0x1000; dec rcx; jnz again; out 0x10, al
var sweep = []byte{0x48, 0xff, 0x06, 0x48, 0x81, 0xc6, 0, 0x10, 0, 0, 0x48, 0xff, 0xc9, 0x75, 0xf1, 0xe6, 0x10}

// BenchmarkFirstWriteKVM is what the first write to a page costs the guest after a round, and what a dirty page costs the tracker, in
// CPU time, which other programs do not lengthen.
func BenchmarkFirstWriteKVM(b *testing.B) {
	const pages, at = 1024, 0x2000
	for _, log := range []string{"none", "plain", "manual", "ring"} {
		b.Run(log, func(b *testing.B) {
			m := newMemory(b, split)
			g := newGuest(b, m, log)
			check(b, m.WriteAt(sweep, at))
			var tr *guestmem.Tracker
			runs := make([]guestmem.Run, 256)
			if log != "none" {
				var err error
				tr, err = m.Track()
				check(b, err)
				round(b, tr, runs)
			}
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			r := kvm.Regs{RIP: at, RSI: scatterAt, RCX: pages, RFLAGS: 2 | 3<<12}
			var guest, harvest, scan time.Duration
			for b.Loop() {
				check(b, g.cpu.SetRegs(&r))
				begin := cpuTime(b)
				if errno := g.cpu.Run(); errno != 0 || g.cpu.ExitReason() != kvm.ExitIO {
					b.Fatalf("got %v, %v; want the port", errno, g.cpu.ExitReason())
				}
				ran := cpuTime(b)
				guest += ran - begin
				if tr == nil {
					continue
				}
				n, err := tr.Harvest()
				check(b, err)
				if n < pages {
					b.Fatalf("got %d pages; want %d", n, pages)
				}
				harvested := cpuTime(b)
				for n := 1; n > 0; {
					n, err = tr.Next(runs)
					check(b, err)
				}
				harvest += harvested - ran
				scan += cpuTime(b) - harvested
			}
			per := float64(b.N) * pages
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(float64(guest)/per, "write-ns/page")
			b.ReportMetric(float64(harvest)/per, "harvest-ns/page")
			b.ReportMetric(float64(scan)/per, "next-ns/page")
			if tr != nil {
				check(b, tr.Close())
			}
		})
	}
}

// cpuTime is the time that this thread has had a CPU.
func cpuTime(b *testing.B) time.Duration {
	var t unix.Timespec
	check(b, unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &t))
	return time.Duration(t.Nano())
}
