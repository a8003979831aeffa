package kvm

import (
	"fmt"

	gokvm "github.com/bobuhiro11/gokvm/kvm"
)

// Cap is a KVM capability number (KVM_CAP_*).
type Cap uint32

// The capabilities that Ferry needs, uses when present, or reports in `vmm doctor`.
const (
	CapIRQChip             = Cap(gokvm.CapIRQChip)
	CapUserMemory          = Cap(gokvm.CapUserMemory)
	CapSetTSSAddr          = Cap(gokvm.CapSetTSSAddr)
	CapExtCPUID            = Cap(gokvm.CapEXTCPUID)
	CapVCPUs               = Cap(gokvm.CapNRVCPUS)    // value: recommended maximum
	CapMemSlots            = Cap(gokvm.CapNRMemSlots) // value: maximum
	CapMPState             = Cap(gokvm.CapMPState)
	CapCoalescedMMIO       = Cap(gokvm.CapCoalescedMMIO) // value: page offset of the ring in the vCPU mapping
	CapIRQFD               = Cap(gokvm.CapIRQFD)
	CapPIT2                = Cap(gokvm.CapPIT2)
	CapPITState2           = Cap(gokvm.CapPITState2)
	CapIOEventFD           = Cap(gokvm.CapIOEventFD)
	CapAdjustClock         = Cap(gokvm.CapAdjustClock) // value: flags that SET_CLOCK takes
	CapVCPUEvents          = Cap(gokvm.CapVCPUEvents)
	CapDebugRegs           = Cap(gokvm.CapDebugRegs)
	CapXsave               = Cap(gokvm.CapXSave)
	CapXCRs                = Cap(gokvm.CapXCRS)
	CapTSCControl          = Cap(60)
	CapGetTSCKHz           = Cap(61)
	CapMaxVCPUs            = Cap(66)
	CapSignalMSI           = Cap(77)
	CapKVMClockCtrl        = Cap(76)
	CapReadonlyMem         = Cap(81)
	CapTSCDeadlineTimer    = Cap(72)
	CapSplitIRQChip        = Cap(121)
	CapImmediateExit       = Cap(136)
	CapCoalescedPIO        = Cap(162)
	CapNestedState         = Cap(157)
	CapManualDirtyProtect2 = Cap(168) // value: flags that it takes
	CapDirtyLogRing        = Cap(192) // value: largest ring in bytes
	CapSregs2              = Cap(200)
	CapXsave2              = Cap(208) // value on a VM: bytes of xsave state
	CapVMTSCControl        = Cap(214)
	CapDirtyLogRingAcqRel  = Cap(223)
	CapPreFaultMemory      = Cap(236)
)

// String gives the capability's name where gokvm knows it, else its number.
func (c Cap) String() string {
	if c > 0xff {
		return fmt.Sprintf("KVM capability %d", uint32(c))
	}
	return gokvm.Capability(c).String()
}

// Support says whether the running kernel has a capability.
type Support uint8

//go:generate go tool stringer -type=Support,ExitReason -output=string.go

// The three outcomes of a probe.
const (
	Unknown Support = iota // the question could not be asked
	No
	Yes
)

// probe asks one file descriptor (system or VM; they may differ) for a capability.
func probe(fd int, c Cap) (Support, int) {
	r, errno := ioctlValue(fd, reqCheckExtension, uintptr(c))
	switch {
	case errno != 0:
		return Unknown, 0
	case r == 0:
		return No, 0
	}
	return Yes, int(r)
}
