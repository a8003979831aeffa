package vcpu

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/internal/kvm/kvmtest"
)

// mixed starts one vCPU that spins in ring 3, one that spins in ring 0, one that halts, one that waits for its SIPI, and one
// that reads counters without end.
func mixed(t testing.TB, m *machine) {
	m.load(otherAt, codeSpin...)
	m.load(otherAt+0x100, codeHalt...)
	m.load(codeAt, codeCount...)
	start(t, m, func(st *State) {
		m.longMode(&st.VCPUs[0], 3, codeAt)
		st.VCPUs[0].Regs.RDX, st.VCPUs[0].Regs.RDI = portCount, mmioAt
		m.longMode(&st.VCPUs[1], 3, otherAt)
		m.longMode(&st.VCPUs[2], 0, otherAt)
		m.longMode(&st.VCPUs[3], 0, otherAt+0x100)
	})
}

const mixedCount = 5

func TestPauseStopsEveryKindOfVCPU(t *testing.T) {
	m := newMachine(t, kvmtest.Open(t), mixedCount, newDevices())
	mixed(t, m)
	must(t, m.Resume())
	m.until(t, func() bool { return m.dev.ports.Load() > 0 })
	m.pause(t)
	st, err := m.Save()
	must(t, err)
	m.until(t, func() bool { // the fourth takes its time to get to its HLT
		must(t, m.Resume())
		m.pause(t)
		st, err = m.Save()
		must(t, err)
		return st.VCPUs[3].MPState == kvm.MPHalted
	})
	for i, want := range []uint32{kvm.MPRunnable, kvm.MPRunnable, kvm.MPRunnable, kvm.MPHalted, kvm.MPUninitialized} {
		if got := st.VCPUs[i].MPState; got != want {
			t.Errorf("vCPU %d: got MP state %d; want %d", i, got, want)
		}
	}
	count := m.dev.ports.Load()
	if _, err := m.Save(); err != nil {
		t.Error(err)
	}
	if got := m.dev.ports.Load(); got != count {
		t.Errorf("a paused guest read a port: got %d; want %d", got, count)
	}
}

// A wake-up that is lost shows as a Pause that does not end.
func TestNoWakeUpIsLost(t *testing.T) {
	rounds := 3000
	if testing.Short() {
		rounds = 300
	}
	m := newMachine(t, kvmtest.Open(t), mixedCount, newDevices())
	mixed(t, m)
	round, kicked := make(chan struct{}), make(chan struct{})
	go func() { // kicks that mean nothing come at the same time
		defer close(kicked)
		for range round {
			m.Kick()
		}
	}()
	defer func() { close(round); <-kicked }()
	for i := range rounds {
		must(t, m.Resume())
		switch i % 4 {
		case 0: // at any moment on the way into the guest
			for begin, d := time.Now(), time.Duration(rand.IntN(100))*time.Microsecond; time.Since(begin) < d; {
			}
		case 1: // let it run for a moment
			for range rand.IntN(20) {
				runtime.Gosched()
			}
		case 2: // ask, take it back, ask again
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			if _, err := m.Pause(ctx); err != nil {
				t.Fatal(err)
			}
			must(t, m.Resume())
		case 3:
			round <- struct{}{}
		}
		m.pause(t)
	}
	if m.dev.ports.Load() == 0 {
		t.Error("the guest never ran")
	}
	if bad := m.dev.bad.Load(); bad != 0 {
		t.Errorf("the guest read %d out of order", bad-1)
	}
}

// A kick whose signal finds the thread outside KVM_RUN must still end the next one.
func TestKickOutsideTheGuestIsRemembered(t *testing.T) {
	m := newMachine(t, kvmtest.Open(t), 1, newDevices())
	// in eax,dx; jmp $
	m.load(codeAt, 0xed, 0xeb, 0xfe)
	start(t, m, func(st *State) {
		m.longMode(&st.VCPUs[0], 3, codeAt)
		st.VCPUs[0].Regs.RDX = portCount
	})
	m.dev.block.Store(true)
	must(t, m.Resume())
	<-m.dev.entered
	before := m.cpus[0].interrupted.Load()
	m.Kick()
	m.dev.release <- struct{}{}
	m.until(t, func() bool { return m.cpus[0].interrupted.Load() > before })
	m.pause(t)
}

func TestPauseSaysHeldOrTimedOut(t *testing.T) {
	for _, waiting := range []bool{false, true} {
		t.Run(fmt.Sprint(waiting), func(t *testing.T) {
			m := newMachine(t, kvmtest.Open(t), 1, newDevices(), func(c *Config) {
				if waiting {
					c.Waiting = func(cpu int) bool { return cpu == 0 }
				}
			})
			m.load(codeAt, codeCount...)
			start(t, m, func(st *State) {
				m.longMode(&st.VCPUs[0], 3, codeAt)
				st.VCPUs[0].Regs.RDX, st.VCPUs[0].Regs.RDI = portCount, mmioAt
			})
			m.dev.block.Store(true)
			must(t, m.Resume())
			<-m.dev.entered
			ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
			defer cancel()
			want := TimedOut
			if waiting {
				want = Held
			}
			if got, err := m.Pause(ctx); err != nil || got != want {
				t.Errorf("got %v, %v; want %v", got, err, want)
			}
			if _, err := m.Save(); !errors.Is(err, ErrRunning) {
				t.Errorf("save: got %v; want %v", err, ErrRunning)
			}
			m.dev.release <- struct{}{}
			m.pause(t)
		})
	}
}

func TestCloseWhileRunning(t *testing.T) {
	m := newMachine(t, kvmtest.Open(t), mixedCount, newDevices())
	mixed(t, m)
	must(t, m.Resume())
	must(t, m.Close())
	must(t, m.Close())
	if _, err := m.Pause(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("pause: got %v; want %v", err, ErrClosed)
	}
	if err := m.Resume(); !errors.Is(err, ErrClosed) {
		t.Errorf("resume: got %v; want %v", err, ErrClosed)
	}
	if _, err := m.Save(); !errors.Is(err, ErrClosed) {
		t.Errorf("save: got %v; want %v", err, ErrClosed)
	}
	m.Kick()
}

func TestCloseRacesWithEverything(t *testing.T) {
	sys := kvmtest.Open(t)
	for range 20 {
		m := newMachine(t, sys, 2, newDevices())
		m.load(codeAt, codeSpin...)
		start(t, m, func(st *State) { m.longMode(&st.VCPUs[0], 3, codeAt) })
		done := make(chan error)
		go func() {
			for {
				if err := m.Resume(); err != nil {
					done <- err
					return
				}
				if _, err := m.Pause(context.Background()); err != nil {
					done <- err
					return
				}
				if _, err := m.Save(); err != nil {
					done <- err
					return
				}
			}
		}()
		for range rand.IntN(100) {
			runtime.Gosched()
		}
		must(t, m.Close())
		if err := <-done; !errors.Is(err, ErrClosed) {
			t.Errorf("got %v; want %v", err, ErrClosed)
		}
	}
}

func TestTripleFaultEndsOnce(t *testing.T) {
	m := newMachine(t, kvmtest.Open(t), 1, newDevices())
	m.load(codeAt, codeFault...)
	start(t, m, func(st *State) { m.longMode(&st.VCPUs[0], 3, codeAt) })
	if !m.Whole() {
		t.Error("a vCPU that never ran has ended")
	}
	must(t, m.Resume())
	if e := <-m.ended; e.Kind != Shutdown {
		t.Errorf("got %v; want %v", e, Shutdown)
	}
	m.pause(t)
	if m.Whole() {
		t.Error("no vCPU has ended; want the one that met a triple fault")
	}
	must(t, m.Resume()) // nothing to run
	m.pause(t)

	// A reset makes it new.
	m.load(codeAt, codeBoot...)
	for _, want := range []byte{0x55, 0x66} {
		must(t, m.SetBootState(BootState{RIP: codeAt, RBX: uint64(want)}))
		must(t, m.Resume())
		if got := m.dev.wait(t, 1); got[0] != want {
			t.Errorf("after boot: got %#x; want %#x", got[0], want)
		}
		m.pause(t)
	}
}

func TestExitsDoNotAllocate(t *testing.T) {
	m := newMachine(t, kvmtest.Open(t), 1, newDevices())
	m.load(codeAt, codeCount...)
	start(t, m, func(st *State) {
		m.longMode(&st.VCPUs[0], 3, codeAt)
		st.VCPUs[0].Regs.RDX, st.VCPUs[0].Regs.RDI = portCount, mmioAt
	})
	must(t, m.Resume())
	const exits = 5000
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m.until(t, func() bool { return m.dev.ports.Load() >= exits })
	runtime.ReadMemStats(&after)
	if got := after.Mallocs - before.Mallocs; got > exits/100 {
		t.Errorf("got %d allocations in %d exits; want about none", got, 2*exits)
	}
}
