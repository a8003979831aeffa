package vcpu

import (
	"errors"
	"fmt"
	"time"
)

// ErrShape means that a saved state does not fit the machine: another number of vCPUs, other controllers, or vector state that this
// host does not have. Build the target from the source's plan.
var ErrShape = errors.New("vcpu: state does not fit this machine")

// Restore makes the machine what was saved. It may be called again and again, so that a target can rehearse it. Nothing runs before
// Resume. KVM itself reads guest memory for it (the pages of the guest's paravirtual clock), so missing pages must be
// served meanwhile. After an error the machine's state is undefined until a Restore succeeds.
// Precondition: paused, else the error is ErrRunning.
func (s *Set) Restore(st State, opts RestoreOptions) (Report, error) {
	if err := s.lockPaused(); err != nil {
		return Report{}, err
	}
	defer s.op.Unlock()
	return s.restore(&st, opts)
}

// Rehearse saves and restores the machine's own state, to find out how long either takes here. On a target that has not received
// its guest yet the state is that of a new machine, which has the same shape.
// Precondition: paused, else the error is ErrRunning.
func (s *Set) Rehearse(opts RestoreOptions) (save time.Duration, restore Report, err error) {
	if err := s.lockPaused(); err != nil {
		return 0, Report{}, err
	}
	defer s.op.Unlock()
	begin := time.Now()
	st, err := s.save()
	if err != nil {
		return 0, Report{}, err
	}
	save = time.Since(begin)
	restore, err = s.restore(&st, opts)
	return save, restore, err
}

// restore is Restore without its checks on who runs.
func (s *Set) restore(st *State, opts RestoreOptions) (Report, error) {
	begin := time.Now()
	xsave, err := s.fit(st)
	if err != nil {
		return Report{}, err
	}
	var r Report
	khz := st.VCPUs[0].TSCKHz
	if r.TSCDrift, err = s.restoreTSCKHz(khz); err != nil {
		return r, err
	}
	if r.Elapsed, err = s.restoreClock(&st.Chips, khz, opts); err != nil {
		return r, err
	}
	vcpus := time.Now()
	err = s.each(func(c *cpu) error {
		one := st.VCPUs[c.index]
		one.Xsave = xsave[c.index]
		return c.apply(restoreOrder, &one)
	})
	if err != nil {
		return r, err
	}
	r.VCPUTime = time.Since(vcpus)
	// After the LAPICs: what a controller has pending is delivered to them.
	if err := s.restoreChips(&st.Chips); err != nil {
		return r, err
	}
	if r.TSC, err = s.checkTSC(); err != nil {
		return r, err
	}
	s.mu.Lock()
	for _, c := range s.cpus {
		c.ended = false
	}
	s.mu.Unlock()
	r.Time = time.Since(begin)
	r.PlatformTime = r.Time - r.VCPUTime
	return r, nil
}

// fit checks a state's shape and returns the vector states in this host's length.
func (s *Set) fit(st *State) (xsave [][]byte, err error) {
	if len(st.VCPUs) != len(s.cpus) {
		return nil, fmt.Errorf("%d vCPUs, have %d: %w", len(st.VCPUs), len(s.cpus), ErrShape)
	}
	if st.Chips.HasIRQChip != s.platform.irqchip || st.Chips.HasPIT != s.platform.pit {
		return nil, fmt.Errorf("interrupt controllers %v and PIT %v, have %v and %v: %w",
			st.Chips.HasIRQChip, st.Chips.HasPIT, s.platform.irqchip, s.platform.pit, ErrShape)
	}
	for i, c := range s.cpus {
		data, size := st.VCPUs[i].Xsave, c.kvm.XsaveSize()
		if len(data) > size {
			for _, b := range data[size:] {
				if b != 0 {
					return nil, fmt.Errorf("vCPU %d: %d bytes of vector state, have %d: %w", i, len(data), size, ErrShape)
				}
			}
		}
		if len(data) < size {
			data = append(make([]byte, 0, size), data...)[:size]
		}
		xsave = append(xsave, data[:size])
	}
	return xsave, nil
}
