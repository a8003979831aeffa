package vcpu

import "github.com/ferryvmm/ferry/internal/kvm"

// BootState is where the first vCPU starts: in 32-bit protected mode without paging, or with CR3 set in 64-bit mode, with flat segments
// either way and interrupts off.
type BootState struct {
	RIP uint64 // entry point; below 4 GiB in 32-bit mode
	RBX uint64 // PVH: guest address of hvm_start_info
	RSI uint64 // Linux's 64-bit protocol: guest address of boot_params
	CR3 uint64 // not 0: 64-bit mode, with these page tables, which map what RIP and GDT name one to one
	GDT uint64 // in 64-bit mode: guest address of null, null, code, data
}

// SetBootState makes every vCPU and controller what it is after power-on, and the first vCPU ready to start a kernel; the others wait for
// their SIPI. It serves a guest's reset too. The clock and the TSC go on.
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
	first.Regs = kvm.Regs{RIP: boot.RIP, RBX: boot.RBX, RSI: boot.RSI, RFLAGS: flagsReserved}
	setProtectedMode(&first.Sregs)
	if boot.CR3 != 0 {
		setLongMode(&first.Sregs, boot)
	}
	_, err := s.restore(&st, RestoreOptions{Clock: Advance})
	return err
}

const (
	flagsReserved = 1 << 1 // RFLAGS: always set

	cr0ProtectionEnable = 1 << 0
	cr0ExtensionType    = 1 << 4
	cr0Paging           = 1 << 31
	cr4PAE              = 1 << 5
	eferLongEnable      = 1 << 8
	eferLongActive      = 1 << 10

	segmentCode = 0xb // execute, read, accessed
	segmentData = 0x3 // read, write, accessed
	segmentTSS  = 0xb // busy 32-bit TSS
	flatLimit   = 0xffffffff
	tssLimit    = 0x67
)

// The selectors are those of a customary table; a PVH guest loads its own before it uses any. Those of 64-bit mode are the protocol's, and
// the table is there.
const (
	selectorCode = 0x08
	selectorData = 0x10
	selectorTSS  = 0x18

	selectorCode64 = 0x10
	selectorData64 = 0x18
	selectorTSS64  = 0x20
	limitGDT64     = 4*8 - 1
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

// setLongMode turns flat 32-bit segments into those of 64-bit mode, paging on.
func setLongMode(s *kvm.Sregs2, boot BootState) {
	s.CS.L, s.CS.DB, s.CS.Selector = 1, 0, selectorCode64
	s.DS.Selector = selectorData64
	s.ES, s.FS, s.GS, s.SS = s.DS, s.DS, s.DS, s.DS
	s.TR.Selector = selectorTSS64
	s.GDT = kvm.Table{Base: boot.GDT, Limit: limitGDT64}
	s.CR0 |= cr0Paging
	s.CR3 = boot.CR3
	s.CR4 = cr4PAE
	s.EFER = eferLongEnable | eferLongActive
}
