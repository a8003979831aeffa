package vcpu

import (
	"fmt"
	"math/bits"
	"time"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// timePlan is what a Restore has decided about the guest's TSC, the same for every vCPU.
type timePlan struct {
	khz       uint32 // frequency that the guest counted in
	offset    uint64 // to set
	hasOffset bool   // else the TSC itself is set
	base, at  uint64 // guest TSC base when vCPU 0's unchanged TSC read at
}

// restoreClock sets the VM's clock and plans the TSC. elapsed is by how much the guest's time went on.
//
// The TSC is given the same advance as the clock: on vCPU 0, with its present offset o, the guest TSC reads t; it should read
// the saved one plus the advance; so the offset becomes o + (saved + advance - t) for all. This needs no common TSC between hosts.
func (s *Set) restoreClock(p *PlatformState, khz uint32, opts RestoreOptions) (elapsed time.Duration, err error) {
	set := kvm.Clock{Clock: p.Clock.Clock}
	byKernel := opts.Clock == Advance && s.platform.clockRealtime && p.Clock.Flags&kvm.ClockRealtime != 0
	switch {
	case byKernel:
		set.Flags, set.Realtime = kvm.ClockRealtime, p.Clock.Realtime
	case opts.Clock == Advance:
		// A real-time clock that went backwards, or is behind the source's, must not turn the guest's clock back.
		set.Clock += uint64(max(0, time.Now().UnixNano()-p.HostTime))
	}
	if err := s.cfg.VM.SetClock(&set); err != nil {
		return 0, err
	}
	advance := set.Clock - p.Clock.Clock
	if byKernel {
		var now kvm.Clock
		if err := s.cfg.VM.Clock(&now); err != nil {
			return 0, err
		}
		advance = now.Clock - p.Clock.Clock
	}
	elapsed = time.Duration(advance)
	c := s.cpus[0]
	t := &s.time
	*t = timePlan{khz: khz, base: p.TSC + ticks(advance, khz)}
	if t.at, err = c.readTSC(); err != nil {
		return 0, err
	}
	if t.hasOffset = c.kvm.HasTSCOffset(); t.hasOffset {
		now, err := c.kvm.TSCOffset()
		if err != nil {
			return 0, err
		}
		t.offset = now + t.base - t.at
	}
	return elapsed, nil
}

// ticks converts nanoseconds to TSC ticks.
func ticks(ns uint64, khz uint32) uint64 {
	const nsPerMs = 1e6
	hi, lo := bits.Mul64(ns, uint64(khz))
	if hi >= nsPerMs { // over 2^64 ticks: a clock that is off by centuries
		return 0
	}
	q, _ := bits.Div64(hi, lo, nsPerMs)
	return q
}

// restoreTSCKHz gives the vCPUs the guest's frequency where the host can scale, and returns the drift where it cannot.
func (s *Set) restoreTSCKHz(khz uint32) (ppm float64, err error) {
	for _, c := range s.cpus {
		if khz == 0 || khz == c.khz {
			continue
		}
		if !s.platform.tscScaling {
			return (float64(c.khz)/float64(khz) - 1) * 1e6, nil
		}
		if err := c.kvm.SetTSCKHz(khz); err != nil {
			return 0, fmt.Errorf("vCPU %d: %w", c.index, err)
		}
		c.khz = khz
	}
	return 0, nil
}

// restoreTSC sets the planned offset.
func (c *cpu) restoreTSC() error {
	t := &c.set.time
	if t.hasOffset {
		return c.kvm.SetTSCOffset(t.offset)
	}
	// Linux before 5.16: the kernel takes writes within a second of each other as meant to be the same.
	return c.setMSRs([]kvm.MSREntry{{Index: msrTSC, Data: t.base}})
}

// How far the TSC may be from its plan to count as kept. Ahead: a thread may have been off its CPU between plan and check. Behind: the
// host follows by itself, and its real-time clock and TSC differ by this much.
const (
	tscAhead  = 100 * time.Millisecond
	tscBehind = time.Millisecond
)

// follows says whether the TSC, now reading now, goes on as planned.
func (t *timePlan) follows(now uint64) bool {
	d := int64(now - t.base)
	return d < int64(ticks(uint64(tscAhead), t.khz)) && -d < int64(ticks(uint64(tscBehind), t.khz))
}

// checkTSC judges by effect, on vCPU 0, whether the host follows the plan.
func (s *Set) checkTSC() (TSCOutcome, error) {
	now, err := s.cpus[0].readTSC()
	if err != nil {
		return 0, err
	}
	if s.time.follows(now) {
		return Kept, nil
	}
	return Ignored, nil
}

// restoreDeadline arms the TSC-deadline timer, or cancels what is armed.
func (c *cpu) restoreDeadline(st *CPUState) error {
	if !c.set.hasDeadline {
		if st.TSCDeadline != 0 {
			return fmt.Errorf("cannot set MSR %#x: %w", uint32(msrTSCDeadline), ErrMSR)
		}
		return nil
	}
	t := &c.set.time
	deadline := st.TSCDeadline
	if deadline != 0 {
		now, err := c.readTSC()
		if err != nil {
			return err
		}
		if !t.follows(now) {
			deadline += t.at - t.base // the TSC jumps for the guest, and the deadline with it: the timer must not be lost
		}
	}
	return c.setMSRs([]kvm.MSREntry{{Index: msrTSCDeadline, Data: deadline}})
}

// readTSC reads the guest's TSC.
func (c *cpu) readTSC() (uint64, error) {
	e := [1]kvm.MSREntry{{Index: msrTSC}}
	n, err := c.kvm.MSRs(e[:])
	if err != nil {
		return 0, err
	}
	if n != 1 {
		return 0, fmt.Errorf("cannot read MSR %#x: %w", uint32(msrTSC), ErrMSR)
	}
	return e[0].Data, nil
}
