package vcpu

import "github.com/ferryvmm/ferry/internal/kvm"

// BootState is where the first vCPU starts, as the PVH boot protocol asks: 32-bit protected mode without paging, flat segments.
type BootState struct {
	RIP uint64 // entry point, below 4 GiB
	RBX uint64 // guest address of hvm_start_info
}

// SetBootState makes every vCPU and controller what it is after power-on, and the first vCPU ready to start a PVH kernel; the others wait
// for their SIPI. It serves a guest's reset too. The clock and the TSC go on.
// Precondition: paused, else the error is ErrRunning.
func (s *Set) SetBootState(boot BootState) error {
	if err := s.lockPaused(); err != nil {
		return err
	}
	defer s.op.Unlock()
	st := s.fresh
	st.VCPUs = append([]CPUState(nil), s.fresh.VCPUs...)
	first := &st.VCPUs[0]
	first.MPState = kvm.MPRunnable
	first.Regs = kvm.Regs{RIP: boot.RIP, RBX: boot.RBX, RFLAGS: flagsReserved}
	setProtectedMode(&first.Sregs)
	_, err := s.restore(&st, RestoreOptions{Clock: Advance})
	return err
}

const (
	flagsReserved = 1 << 1 // RFLAGS: always set

	cr0ProtectionEnable = 1 << 0
	cr0ExtensionType    = 1 << 4

	segmentCode = 0xb // execute, read, accessed
	segmentData = 0x3 // read, write, accessed
	segmentTSS  = 0xb // busy 32-bit TSS
	flatLimit   = 0xffffffff
	tssLimit    = 0x67
)

// The selectors are those of a customary table; the guest loads its own before it uses any.
const (
	selectorCode = 0x08
	selectorData = 0x10
	selectorTSS  = 0x18
)

// setProtectedMode gives flat 32-bit segments, paging off.
func setProtectedMode(s *kvm.Sregs2) {
	flat := kvm.Segment{Limit: flatLimit, Present: 1, DB: 1, S: 1, G: 1}
	s.CS, s.DS = flat, flat
	s.CS.Type, s.CS.Selector = segmentCode, selectorCode
	s.DS.Type, s.DS.Selector = segmentData, selectorData
	s.ES, s.FS, s.GS, s.SS = s.DS, s.DS, s.DS, s.DS
	s.TR = kvm.Segment{Limit: tssLimit, Selector: selectorTSS, Type: segmentTSS, Present: 1}
	s.CR0 = cr0ProtectionEnable | cr0ExtensionType
	s.CR2, s.CR3, s.CR4, s.EFER = 0, 0, 0, 0
}
