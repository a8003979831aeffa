package vcpu

// Save reads the state of every vCPU, in parallel on their threads, then the interrupt controllers, the PIT and the clock. It
// changes nothing, and the guest may be resumed.
// Precondition: Pause answered Paused, else the error is ErrRunning.
func (s *Set) Save() (State, error) {
	if err := s.lockPaused(); err != nil {
		return State{}, err
	}
	defer s.op.Unlock()
	return s.save()
}

// save is Save without its checks.
func (s *Set) save() (State, error) {
	st := State{VCPUs: make([]CPUState, len(s.cpus))}
	for i, c := range s.cpus {
		st.VCPUs[i].Xsave = make([]byte, c.kvm.XsaveSize())
		st.VCPUs[i].MSRs = newMSREntries(s.msrs)
	}
	err := s.each(func(c *cpu) error { return c.apply(saveOrder, &st.VCPUs[c.index]) })
	if err != nil {
		return State{}, err
	}
	// After the vCPUs: what they acknowledge in their LAPIC is acknowledged in the I/O APIC, never the other way round. The clock
	// comes last, so that as little as possible of the pause is missing from a frozen one.
	if err := s.savePlatform(&st.Chips); err != nil {
		return State{}, err
	}
	return st, nil
}
