package kvm

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// XCRs is struct kvm_xcrs: the extended control registers (XCR0).
type XCRs struct {
	Count, Flags uint32
	XCRs         [16]XCR
	Reserved     [16]uint64
}

// XCR is struct kvm_xcr.
type XCR struct {
	Index, Reserved uint32
	Value           uint64
}

// DebugRegs is struct kvm_debugregs.
type DebugRegs struct {
	DB       [4]uint64
	DR6, DR7 uint64
	Flags    uint64
	Reserved [9]uint64
}

// LAPIC is struct kvm_lapic_state: the local APIC's register page, one register every 16 bytes.
type LAPIC struct{ Regs [1024]byte }

// Events is struct kvm_vcpu_events: exceptions, interrupts, NMIs and SMIs that are pending or being injected.
type Events struct {
	ExceptionInjected, ExceptionNr, ExceptionHasErrorCode, ExceptionPending uint8
	ExceptionErrorCode                                                      uint32
	InterruptInjected, InterruptNr, InterruptSoft, InterruptShadow          uint8
	NMIInjected, NMIPending, NMIMasked, NMIPad                              uint8
	SIPIVector                                                              uint32
	Flags                                                                   uint32
	SMM, SMIPending, SMMInsideNMI, LatchedINIT                              uint8
	TripleFaultPending                                                      uint8
	Reserved                                                                [26]uint8
	ExceptionHasPayload                                                     uint8
	ExceptionPayload                                                        uint64
}

// Bits of [Events].Flags, which say what SetEvents takes.
const (
	EventsNMIPending  uint32 = 1 << 0
	EventsSIPIVector  uint32 = 1 << 1
	EventsShadow      uint32 = 1 << 2
	EventsSMM         uint32 = 1 << 3
	EventsPayload     uint32 = 1 << 4
	EventsTripleFault uint32 = 1 << 5
)

// The states of [VCPU.MPState] (KVM_MP_STATE_*).
const (
	MPRunnable      uint32 = 0
	MPUninitialized uint32 = 1 // an AP waiting for INIT
	MPInitReceived  uint32 = 2 // waiting for SIPI
	MPHalted        uint32 = 3
	MPSIPIReceived  uint32 = 4
)

// XCRs reads the extended control registers.
func (c *VCPU) XCRs(x *XCRs) error {
	_, errno := ioctl(c.fd, reqGetXCRs, unsafe.Pointer(x))
	return check("KVM_GET_XCRS", errno)
}

// SetXCRs sets the extended control registers.
func (c *VCPU) SetXCRs(x *XCRs) error {
	_, errno := ioctl(c.fd, reqSetXCRs, unsafe.Pointer(x))
	return check("KVM_SET_XCRS", errno)
}

// DebugRegs reads DR0 to DR3, DR6 and DR7.
func (c *VCPU) DebugRegs(d *DebugRegs) error {
	_, errno := ioctl(c.fd, reqGetDebugRegs, unsafe.Pointer(d))
	return check("KVM_GET_DEBUGREGS", errno)
}

// SetDebugRegs sets DR0 to DR3, DR6 and DR7.
func (c *VCPU) SetDebugRegs(d *DebugRegs) error {
	_, errno := ioctl(c.fd, reqSetDebugRegs, unsafe.Pointer(d))
	return check("KVM_SET_DEBUGREGS", errno)
}

// LAPIC reads the local APIC.
func (c *VCPU) LAPIC(l *LAPIC) error {
	_, errno := ioctl(c.fd, reqGetLAPIC, unsafe.Pointer(l))
	return check("KVM_GET_LAPIC", errno)
}

// SetLAPIC sets the local APIC and restarts its timer.
func (c *VCPU) SetLAPIC(l *LAPIC) error {
	_, errno := ioctl(c.fd, reqSetLAPIC, unsafe.Pointer(l))
	return check("KVM_SET_LAPIC", errno)
}

// Events reads what is pending or being injected.
func (c *VCPU) Events(e *Events) error {
	_, errno := ioctl(c.fd, reqGetVCPUEvents, unsafe.Pointer(e))
	return check("KVM_GET_VCPU_EVENTS", errno)
}

// SetEvents sets what is pending or being injected.
func (c *VCPU) SetEvents(e *Events) error {
	_, errno := ioctl(c.fd, reqSetVCPUEvents, unsafe.Pointer(e))
	return check("KVM_SET_VCPU_EVENTS", errno)
}

// MPState reads whether the vCPU runs, halts or waits. It takes in INIT and SIPI that are pending, and so may change CS and RIP:
// it comes before the other reads.
func (c *VCPU) MPState() (uint32, error) {
	var s uint32
	_, errno := ioctl(c.fd, reqGetMPState, unsafe.Pointer(&s))
	return s, check("KVM_GET_MP_STATE", errno)
}

// SetMPState sets whether the vCPU runs, halts or waits.
func (c *VCPU) SetMPState(s uint32) error {
	_, errno := ioctl(c.fd, reqSetMPState, unsafe.Pointer(&s))
	return check("KVM_SET_MP_STATE", errno)
}

// legacyXsaveSize is sizeof(struct kvm_xsave), all that kernels before 5.17 have.
const legacyXsaveSize = 4096

// XsaveSize returns the length in bytes of the buffers for Xsave2 and SetXsave.
func (c *VCPU) XsaveSize() int { return max(c.xsaveSize, legacyXsaveSize) }

// Xsave2 reads the FPU and vector state in the host's XSAVE layout into buf.
func (c *VCPU) Xsave2(buf []byte) error {
	if len(buf) < c.XsaveSize() {
		return fmt.Errorf("KVM_GET_XSAVE2: buffer of %d bytes, want %d: %w", len(buf), c.XsaveSize(), unix.EINVAL)
	}
	if c.xsaveSize == 0 {
		_, errno := ioctl(c.fd, reqGetXsave, unsafe.Pointer(&buf[0]))
		return check("KVM_GET_XSAVE", errno)
	}
	_, errno := ioctl(c.fd, reqGetXsave2, unsafe.Pointer(&buf[0]))
	return check("KVM_GET_XSAVE2", errno)
}

// SetXsave sets the FPU and vector state.
func (c *VCPU) SetXsave(buf []byte) error {
	if len(buf) < c.XsaveSize() {
		return fmt.Errorf("KVM_SET_XSAVE: buffer of %d bytes, want %d: %w", len(buf), c.XsaveSize(), unix.EINVAL)
	}
	_, errno := ioctl(c.fd, reqSetXsave, unsafe.Pointer(&buf[0]))
	return check("KVM_SET_XSAVE", errno)
}

// KVMClockCtrl tells the guest's soft-lockup watchdog that it was paused. EINVAL means that the guest has no kvmclock, which is fine.
func (c *VCPU) KVMClockCtrl() error {
	_, errno := ioctlValue(c.fd, reqKVMClockCtrl, 0)
	return check("KVM_KVMCLOCK_CTRL", errno)
}
