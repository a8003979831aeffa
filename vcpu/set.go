package vcpu

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// ErrClosed means that the Set was closed: the machine is going away, and so should the caller.
var ErrClosed = errors.New("vcpu: set closed")

// ErrRunning means that an operation needs every vCPU paused. Call Pause first.
var ErrRunning = errors.New("vcpu: a vCPU is running")

// ErrStuck means that Close could not end every thread in time: one is held inside the kernel, for example in a fault on a page that
// never comes. Its vCPU stays open until the fault is resolved or the process ends.
var ErrStuck = errors.New("vcpu: a thread did not end")

// Config says what a Set is made of.
type Config struct {
	System *kvm.System
	VM     *kvm.VM          // with its interrupt controllers and PIT created
	CPUID  []kvm.CPUIDEntry // of a Model
	MSRs   []kvm.MSREntry   // of the same
	Count  int              // vCPUs, 1 to MaxCount
	Exits  Exits

	// Ended is called once for a vCPU that will not run again, on its thread. It must return quickly, and call the Set from
	// another goroutine only.
	Ended func(cpu int, e Ending)

	// Waiting, if not nil, says whether a vCPU's thread waits for a missing page. Pause asks it to tell Held from TimedOut.
	Waiting func(cpu int) bool

	// Dirty, if not nil, are the VM's dirty rings, which must be enabled already.
	Dirty Dirty
}

// MaxCount is the most vCPUs that one machine can have: their ids must fit an 8-bit APIC id, and 0xff means all.
const MaxCount = 254

// Set is the vCPUs of one machine.
//
// Pause, Kick and Close may be called at any time from any goroutine. Resume, Save, Restore, SetBootState and Rehearse
// wait for each other.
type Set struct {
	cfg         Config
	cpus        []*cpu
	msrs        []uint32 // what Save reads, in order
	fresh       State    // as the kernel made it, for SetBootState
	platform    platform
	time        timePlan                                 // of the Restore in progress
	throttle    atomic.Int32                             // percent of the time that vCPUs stand still
	window      time.Duration                            // throttleWindow
	hasDeadline bool                                     // the vCPUs have the TSC-deadline timer
	coalesced   func(pio bool, addr uint64, data []byte) // deliver, bound once

	op   sync.Mutex // held by operations that need paused vCPUs or start them; never across KVM_RUN
	ring sync.Mutex // guards draining of the coalesced ring

	mu      sync.Mutex    // guards the next three and cpu.active, cpu.ended; never held across an ioctl
	running int           // active vCPUs
	idle    chan struct{} // closed while running is 0
	closed  bool

	quit    chan struct{} // closed by Close
	threads sync.WaitGroup
}

// NewSet creates the vCPUs with their CPUID and starts their threads, parked. Nothing of the guest runs before Resume.
func NewSet(cfg Config) (*Set, error) {
	if cfg.Count < 1 || cfg.Count > MaxCount {
		return nil, fmt.Errorf("vcpu: %d vCPUs, want 1 to %d", cfg.Count, MaxCount)
	}
	s := &Set{cfg: cfg, window: throttleWindow, idle: make(chan struct{}), quit: make(chan struct{})}
	s.coalesced = s.deliver
	close(s.idle)
	if err := s.start(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// start creates what NewSet promises.
func (s *Set) start() error {
	started := make(chan struct{})
	for i := range s.cfg.Count {
		v, err := s.cfg.VM.CreateVCPU(i)
		if err != nil {
			return err
		}
		c := &cpu{set: s, index: i, kvm: v, work: make(chan func(), 1)}
		c.pacing = newPacing(c.kickActive)
		s.cpus = append(s.cpus, c)
		s.threads.Add(1)
		go c.thread(started)
		<-started
	}
	if err := s.each((*cpu).prepare); err != nil {
		return err
	}
	if err := s.probeMSRs(); err != nil {
		return err
	}
	if err := s.probePlatform(); err != nil {
		return err
	}
	var err error
	s.fresh, err = s.save()
	return err
}

// Count returns the number of vCPUs.
func (s *Set) Count() int { return len(s.cpus) }

// ThreadID returns the kernel's id of a vCPU's thread, by which userfaultfd names who waits for a page.
func (s *Set) ThreadID(cpu int) int { return s.cpus[cpu].tid }

// Whole tells whether no vCPU has ended. It is reliable once a Pause has answered Paused.
func (s *Set) Whole() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(s.cpus, func(c *cpu) bool { return c.ended })
}

// Resume lets every vCPU run that has not ended.
func (s *Set) Resume() error {
	s.op.Lock()
	defer s.op.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	for _, c := range s.cpus {
		if c.ended {
			continue
		}
		c.stop.Store(false)
		if c.active {
			continue // a pause that was not waited for: the thread sees that it is over
		}
		if s.running == 0 {
			s.idle = make(chan struct{})
		}
		s.running++
		c.active = true
		c.kvm.SetImmediateExit(false)
		c.work <- c.run // the thread is parked and its queue empty: this does not block
	}
	return nil
}

// closeWait bounds how long Close waits for a thread that is stuck inside the kernel.
const closeWait = 2 * time.Second

// Close stops the vCPUs wherever they are and ends their threads. Closing again does nothing.
func (s *Set) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	close(s.quit)
	for _, c := range s.cpus {
		c.stop.Store(true)
		c.kick()
	}
	s.mu.Unlock()
	ended := make(chan error, 1)
	go func() {
		s.threads.Wait()
		s.op.Lock() // what is under way uses the vCPUs' files, and would find another's by their numbers
		defer s.op.Unlock()
		var errs []error
		for _, c := range s.cpus {
			errs = append(errs, c.kvm.Close())
		}
		ended <- errors.Join(errs...)
	}()
	t := time.NewTimer(closeWait)
	defer t.Stop()
	select {
	case err := <-ended:
		return err
	case <-t.C:
		return ErrStuck
	}
}

// each runs f for every vCPU on the vCPU's own thread, in parallel, and returns the first error.
// Precondition: every vCPU is parked; op is held, or the Set is not yet shared.
func (s *Set) each(f func(*cpu) error) error {
	errs := make(chan error, len(s.cpus))
	for _, c := range s.cpus {
		select {
		case c.work <- func() { errs <- f(c) }:
		case <-s.quit:
			return ErrClosed
		}
	}
	var first error
	for range s.cpus {
		select {
		case err := <-errs:
			if first == nil {
				first = err
			}
		case <-s.quit:
			return ErrClosed
		}
	}
	return first
}

// lockPaused takes op if every vCPU is parked.
func (s *Set) lockPaused() error {
	s.op.Lock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.closed:
		s.op.Unlock()
		return ErrClosed
	case s.running > 0:
		s.op.Unlock()
		return ErrRunning
	}
	return nil
}
