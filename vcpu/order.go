package vcpu

import "fmt"

// step is one part of a vCPU's state: how it is read or set, and why in this place.
type step struct {
	name string
	why  string
	do   func(c *cpu, st *CPUState) error
}

// saveOrder reads a parked vCPU.
var saveOrder = []step{
	{"MP_STATE", "first: takes in a pending INIT or SIPI, which rewrites the whole vCPU", func(c *cpu, st *CPUState) (err error) {
		st.MPState, err = c.kvm.MPState()
		return err
	}},
	{"VCPU_EVENTS", "before SREGS and DEBUGREGS: a pending exception's payload is delivered into CR2 or DR6 by this read", func(c *cpu, st *CPUState) error {
		return c.kvm.Events(&st.Events)
	}},
	{"REGS", "after settling, so RIP is behind any port or MMIO access", func(c *cpu, st *CPUState) error { return c.kvm.Regs(&st.Regs) }},
	{"SREGS2", "any order", func(c *cpu, st *CPUState) error { return c.kvm.Sregs2(&st.Sregs) }},
	{"XSAVE2", "any order", func(c *cpu, st *CPUState) error { return c.kvm.Xsave2(st.Xsave) }},
	{"XCRS", "any order", func(c *cpu, st *CPUState) error { return c.kvm.XCRs(&st.XCRs) }},
	{"DEBUGREGS", "after VCPU_EVENTS", func(c *cpu, st *CPUState) error { return c.kvm.DebugRegs(&st.Debug) }},
	{"MSRS", "TSC_DEADLINE before LAPIC: a timer that fires between the two reads is then seen twice (a spare tick), not lost (a hung guest)", (*cpu).saveMSRs},
	{"LAPIC", "after TSC_DEADLINE", func(c *cpu, st *CPUState) error { return c.kvm.LAPIC(&st.LAPIC) }},
}

// restoreOrder sets a parked vCPU that has its CPUID. TSC frequency and the VM's clock are set before it, the interrupt controllers
// and the PIT after it (see Set.restore).
var restoreOrder = []step{
	{"REGS", "before VCPU_EVENTS: forgets a pending exception", func(c *cpu, st *CPUState) error { return c.kvm.SetRegs(&st.Regs) }},
	{"SREGS2", "before LAPIC: holds the APIC base and mode; before MSRS: EFER and CR4 decide what they may hold", func(c *cpu, st *CPUState) error {
		return c.kvm.SetSregs2(&st.Sregs)
	}},
	{"MP_STATE", "after SREGS2, which makes a boot vCPU at the reset vector runnable; before VCPU_EVENTS, which are checked against it", func(c *cpu, st *CPUState) error {
		return c.kvm.SetMPState(st.MPState)
	}},
	{"XSAVE", "any order: the kernel checks it against the CPUID, not XCR0", func(c *cpu, st *CPUState) error { return c.kvm.SetXsave(st.Xsave) }},
	{"XCRS", "any order: checked against the CPUID", func(c *cpu, st *CPUState) error { return c.kvm.SetXCRs(&st.XCRs) }},
	{"DEBUGREGS", "any order", func(c *cpu, st *CPUState) error { return c.kvm.SetDebugRegs(&st.Debug) }},
	{"TSC_OFFSET", "before LAPIC and deadline: timers are armed by the guest's TSC", func(c *cpu, _ *CPUState) error { return c.restoreTSC() }},
	{"LAPIC", "after SREGS2; before MSRS: TSC_DEADLINE sticks only if the timer's mode is TSC-deadline", func(c *cpu, st *CPUState) error {
		return c.kvm.SetLAPIC(&st.LAPIC)
	}},
	{"MSRS", "after LAPIC; an MSR that the host refuses fails the restore by name", (*cpu).restoreMSRs},
	{"TSC_DEADLINE", "after everything that re-arms or cancels the timer", (*cpu).restoreDeadline},
	{"VCPU_EVENTS", "last: nothing may clear what is pending", func(c *cpu, st *CPUState) error {
		return c.kvm.SetEvents(&st.Events)
	}},
}

// apply runs the steps in order.
func (c *cpu) apply(order []step, st *CPUState) error {
	for i := range order {
		if err := order[i].do(c, st); err != nil {
			return fmt.Errorf("vCPU %d, %s: %w", c.index, order[i].name, err)
		}
	}
	return nil
}
