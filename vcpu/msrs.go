package vcpu

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// ErrMSR means that the host refused a model-specific register of a saved guest: it lacks the feature, or its kernel is older. The guest
// cannot move here.
var ErrMSR = errors.New("vcpu: MSR refused")

// The model-specific registers that are handled by name.
const (
	msrTSC           = 0x10
	msrWallClockOld  = 0x11
	msrSystemTimeOld = 0x12
	msrTSCDeadline   = 0x6e0
	msrKVMFirst      = 0x4b564d00 // the wall clock
	msrKVMLast       = 0x4b564d08
)

// notInList are registers that KVM lists for saving and that do not travel in the list.
var notInList = map[uint32]string{
	msrTSC:           "goes as an offset, the same for all vCPUs: written one by one they would drift apart",
	msrTSCDeadline:   "read before and set after the LAPIC, on its own",
	msrKVMFirst:      "setting it makes KVM write the time into guest memory, into a page that may not have arrived; guests only ever write it",
	msrWallClockOld:  "the same register",
	msrSystemTimeOld: "the same register as 0x4b564d01",
}

// extraMSRs are registers of a guest's state that the kernel's list leaves out, on some or all versions.
func extraMSRs() []uint32 {
	list := []uint32{
		0x174, 0x175, 0x176, // SYSENTER
		0x277,        // PAT
		0x2ff,        // MTRR default type
		0x250,        // MTRR fixed ranges
		0x258, 0x259, //
	}
	for i := range uint32(8) {
		list = append(list, 0x268+i) // MTRR fixed 4 KiB ranges
	}
	for i := range uint32(16) {
		list = append(list, 0x200+i) // MTRR variable ranges
	}
	for i := range uint32(32) {
		list = append(list, 0x400+4*i) // machine-check banks' control; their status is only ever set by an injected error
	}
	for i := uint32(msrKVMFirst); i <= msrKVMLast; i++ {
		list = append(list, i)
	}
	return list
}

// probeMSRs finds the registers that this host, with this CPUID, can both read and set back.
func (s *Set) probeMSRs() error {
	listed, err := s.cfg.System.MSRIndices()
	if err != nil {
		return err
	}
	for _, index := range append(listed, extraMSRs()...) {
		if _, skip := notInList[index]; !skip && !slices.Contains(s.msrs, index) {
			s.msrs = append(s.msrs, index)
		}
	}
	c := s.cpus[0].kvm
	n, err := c.MSRs([]kvm.MSREntry{{Index: msrTSCDeadline}})
	if err != nil {
		return err
	}
	s.hasDeadline = n == 1
	entries := newMSREntries(s.msrs)
	for done := 0; done < len(entries); {
		n, err := c.MSRs(entries[done:])
		if err != nil {
			return err
		}
		if done += n; done < len(entries) {
			entries = slices.Delete(entries, done, done+1)
		}
	}
	for done := 0; done < len(entries); {
		n, err := c.SetMSRs(entries[done:])
		if err != nil {
			return err
		}
		if done += n; done < len(entries) {
			entries = slices.Delete(entries, done, done+1)
		}
	}
	s.msrs = s.msrs[:0]
	for _, e := range entries {
		s.msrs = append(s.msrs, e.Index)
	}
	return nil
}

// newMSREntries makes room to read these registers; the one place behind the end is for the deadline.
func newMSREntries(indices []uint32) []kvm.MSREntry {
	entries := make([]kvm.MSREntry, len(indices), len(indices)+1)
	for i, index := range indices {
		entries[i].Index = index
	}
	return entries
}

// saveMSRs reads the registers of the list and the deadline in one call.
func (c *cpu) saveMSRs(st *CPUState) error {
	all := st.MSRs
	if c.set.hasDeadline {
		all = append(all, kvm.MSREntry{Index: msrTSCDeadline})
	}
	n, err := c.kvm.MSRs(all)
	if err != nil {
		return err
	}
	if n < len(all) {
		return fmt.Errorf("cannot read MSR %#x: %w", all[n].Index, ErrMSR)
	}
	if c.set.hasDeadline {
		st.TSCDeadline = all[n-1].Data
	}
	st.TSCKHz = c.khz
	return nil
}

// restoreMSRs sets the registers of the list.
func (c *cpu) restoreMSRs(st *CPUState) error { return c.setMSRs(st.MSRs) }

// setMSRs sets registers, all or an error that names the first one refused.
func (c *cpu) setMSRs(entries []kvm.MSREntry) error {
	n, err := c.kvm.SetMSRs(entries)
	if err != nil {
		return err
	}
	if n < len(entries) {
		return fmt.Errorf("cannot set MSR %#x to %#x: %w", entries[n].Index, entries[n].Data, ErrMSR)
	}
	return nil
}
