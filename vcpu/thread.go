package vcpu

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// cpu is one vCPU and its thread.
type cpu struct {
	set   *Set
	index int
	kvm   *kvm.VCPU
	tid   int         // the thread, fixed once it has started
	work  chan func() // what the parked thread does next
	stop  atomic.Bool // the thread is to park
	khz   uint32      // TSC frequency

	exits       exitCounts
	interrupted atomic.Uint64 // times that a kick or another signal ended KVM_RUN

	pacing pacing       // used by the thread, its clock and wake excepted
	rested atomic.Int64 // nanoseconds that it stood still, throttled

	active bool // has work that runs the guest; guarded by Set.mu
	ended  bool // will not run again; guarded by Set.mu
}

// thread is the vCPU's thread: it waits for work until the Set is closed. It keeps its lock on the OS thread, so that thread ends with
// it. Work that was never begun is taken off the books.
func (c *cpu) thread(started chan<- struct{}) {
	runtime.LockOSThread()
	defer c.set.threads.Done()
	defer c.deactivate(false)
	defer c.pacing.stop()
	c.tid = unix.Gettid()
	started <- struct{}{}
	for {
		select {
		case f := <-c.work:
			f()
		case <-c.set.quit:
			return
		}
	}
}

// prepare gives the vCPU its CPUID and feature MSRs, which KVM wants before the first entry, and enters KVM_RUN once without running the
// guest, so that the first real entry finds everything the kernel allocates late.
func (c *cpu) prepare() error {
	if err := c.kvm.SetCPUID2(perCPU(c.set.cfg.CPUID, c.index, c.set.cfg.Count)); err != nil {
		return fmt.Errorf("vCPU %d: %w", c.index, err)
	}
	if err := c.setMSRs(c.set.cfg.MSRs); err != nil {
		return fmt.Errorf("vCPU %d: %w", c.index, err)
	}
	var err error
	if c.khz, err = c.kvm.TSCKHz(); err != nil {
		return fmt.Errorf("vCPU %d: %w", c.index, err)
	}
	c.kvm.SetImmediateExit(true)
	if errno := c.kvm.Run(); !errors.Is(errno, unix.EINTR) {
		return fmt.Errorf("vCPU %d: KVM_RUN with immediate_exit: got %w, want EINTR", c.index, errno)
	}
	return nil
}

// run is the guest's time on this thread: it returns when the vCPU is parked or has ended. It does not allocate.
func (c *cpu) run() {
	c.resumed()
	if run, rest := c.set.shares(); rest > 0 {
		c.runFor(run)
	}
	for {
		if c.stop.Load() {
			if e, ok := c.settle(); !ok {
				c.end(e)
				return
			}
			if c.park() {
				return
			}
			continue
		}
		switch errno := c.kvm.Run(); errno {
		case 0:
			if e, ok := c.dispatch(); !ok {
				c.end(e)
				return
			}
		case unix.EINTR:
			// A kick, or a signal that was not for us. Clear the flag, then look for a stop request: whoever sets one sets the
			// flag after it.
			c.interrupted.Add(1)
			c.kvm.SetImmediateExit(false)
			c.pace()
		case unix.EAGAIN: // an AP was woken by its SIPI
		default:
			c.end(Ending{Kind: RunFailed, Errno: errno})
			return
		}
	}
}

// resumed tells the guest's clock that it stood still, lest its watchdog reports a lock-up. A guest without kvmclock (EINVAL) has
// nothing to tell, and no other failure could be acted on here: KVM_RUN will meet its cause.
func (c *cpu) resumed() { _ = c.kvm.KVMClockCtrl() }

// settle completes a port or MMIO access in flight: it enters KVM_RUN with immediate_exit set until that gives EINTR.
func (c *cpu) settle() (e Ending, ok bool) {
	c.kvm.SetImmediateExit(true)
	for {
		switch errno := c.kvm.Run(); errno {
		case 0: // completing one access began another: the next part of a string or of an access across pages
			if e, ok := c.dispatch(); !ok {
				return e, false
			}
		case unix.EINTR:
			c.drain()
			return Ending{}, true
		case unix.EAGAIN:
		default:
			return Ending{Kind: RunFailed, Errno: errno}, false
		}
	}
}

// park reports the vCPU as paused, unless a Resume has come in between: then it runs on.
func (c *cpu) park() bool {
	s := c.set
	s.mu.Lock()
	defer s.mu.Unlock()
	if !c.stop.Load() {
		c.kvm.SetImmediateExit(false)
		return false
	}
	c.deactivateLocked(false)
	return true
}

// end reports that the vCPU will not run again.
func (c *cpu) end(e Ending) {
	var r kvm.Regs
	if err := c.kvm.Regs(&r); err == nil {
		e.RIP = r.RIP
	}
	c.deactivate(true)
	if c.set.cfg.Ended != nil {
		c.set.cfg.Ended(c.index, e)
	}
}

func (c *cpu) deactivate(ended bool) {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	c.deactivateLocked(ended)
}

// deactivateLocked takes the vCPU off the count of running ones. Precondition: Set.mu is held.
func (c *cpu) deactivateLocked(ended bool) {
	c.ended = c.ended || ended
	if !c.active {
		return
	}
	c.active = false
	c.set.running--
	if c.set.running == 0 {
		close(c.set.idle)
	}
}

// kick makes the thread leave KVM_RUN, or not enter the guest when it gets there. Preconditions: Set.mu is held, since Close
// unmaps the flag; whoever wants more than a round trip has set stop before.
func (c *cpu) kick() {
	c.kvm.SetImmediateExit(true)
	c.pacing.stir()
	// A thread that has ended (ESRCH) needs no signal, and there is no other failure for one's own thread.
	_ = unix.Tgkill(pid, c.tid, unix.SIGURG)
}

var pid = unix.Getpid()

// kickActive kicks the vCPU if it may be in the guest.
func (c *cpu) kickActive() {
	c.set.mu.Lock()
	defer c.set.mu.Unlock()
	if c.active {
		c.kick()
	}
}
