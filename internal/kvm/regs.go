package kvm

import "unsafe"

// Regs is struct kvm_regs.
type Regs struct {
	RAX, RBX, RCX, RDX uint64
	RSI, RDI, RSP, RBP uint64
	R8, R9, R10, R11   uint64
	R12, R13, R14, R15 uint64
	RIP, RFLAGS        uint64
}

// Segment is struct kvm_segment.
type Segment struct {
	Base                           uint64
	Limit                          uint32
	Selector                       uint16
	Type                           uint8
	Present, DPL, DB, S, L, G, AVL uint8
	Unusable                       uint8
	Padding                        uint8
}

// Table is struct kvm_dtable: the GDT or IDT register.
type Table struct {
	Base    uint64
	Limit   uint16
	Padding [3]uint16
}

// sregsCommon is what struct kvm_sregs and kvm_sregs2 share.
type sregsCommon struct {
	CS, DS, ES, FS, GS, SS  Segment
	TR, LDT                 Segment
	GDT, IDT                Table
	CR0, CR2, CR3, CR4, CR8 uint64
	EFER                    uint64
	APICBase                uint64
}

// Sregs2 is struct kvm_sregs2: segments, control registers and, when Flags says so, the PAE page directory pointers.
type Sregs2 struct {
	CS, DS, ES, FS, GS, SS  Segment
	TR, LDT                 Segment
	GDT, IDT                Table
	CR0, CR2, CR3, CR4, CR8 uint64
	EFER                    uint64
	APICBase                uint64
	Flags                   uint64
	PDPTRs                  [4]uint64
}

// SregsPDPTRsValid in [Sregs2].Flags says that PDPTRs holds what the vCPU has cached.
const SregsPDPTRsValid = 1

// sregs is struct kvm_sregs, for kernels before 5.14.
type sregs struct {
	sregsCommon
	InterruptBitmap [4]uint64
}

// Regs reads the general registers. After a port or MMIO exit they are those from before the access.
func (c *VCPU) Regs(r *Regs) error {
	_, errno := ioctl(c.fd, reqGetRegs, unsafe.Pointer(r))
	return check("KVM_GET_REGS", errno)
}

// SetRegs sets the general registers and forgets a pending exception.
func (c *VCPU) SetRegs(r *Regs) error {
	_, errno := ioctl(c.fd, reqSetRegs, unsafe.Pointer(r))
	return check("KVM_SET_REGS", errno)
}

// Sregs2 reads the special registers. On a kernel without KVM_CAP_SREGS2 Flags is 0 and PDPTRs are absent.
func (c *VCPU) Sregs2(s *Sregs2) error {
	if c.sregs2 {
		_, errno := ioctl(c.fd, reqGetSregs2, unsafe.Pointer(s))
		return check("KVM_GET_SREGS2", errno)
	}
	var old sregs
	_, errno := ioctl(c.fd, reqGetSregs, unsafe.Pointer(&old))
	if errno != 0 {
		return check("KVM_GET_SREGS", errno)
	}
	*s = Sregs2{}
	copy(bytesAt(s), bytesAt(&old.sregsCommon)) // the two structs begin alike (abi_test.go)
	return nil
}

// SetSregs2 sets the special registers. An interrupt being injected is not among them: it is part of [Events].
func (c *VCPU) SetSregs2(s *Sregs2) error {
	if c.sregs2 {
		_, errno := ioctl(c.fd, reqSetSregs2, unsafe.Pointer(s))
		return check("KVM_SET_SREGS2", errno)
	}
	var old sregs
	copy(bytesAt(&old.sregsCommon), bytesAt(s))
	_, errno := ioctl(c.fd, reqSetSregs, unsafe.Pointer(&old))
	return check("KVM_SET_SREGS", errno)
}
