package vcpu

import (
	"time"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// State is all that a machine's vCPUs and in-kernel devices are, apart from guest memory. It is plain data in no process's terms;
// its encoding and version are the caller's.
type State struct {
	VCPUs []CPUState
	Chips PlatformState
}

// CPUState is one vCPU.
type CPUState struct {
	MPState     uint32 // kvm.MP…: running, halted, waiting for INIT or SIPI
	Events      kvm.Events
	Regs        kvm.Regs
	Sregs       kvm.Sregs2
	Xsave       []byte // in the layout of CPUID leaf 0xD
	XCRs        kvm.XCRs
	Debug       kvm.DebugRegs
	MSRs        []kvm.MSREntry // in the order in which they are set again
	TSCDeadline uint64         // IA32_TSC_DEADLINE, in guest ticks; 0 is off
	LAPIC       kvm.LAPIC
	TSCKHz      uint32
}

// PlatformState is what the vCPUs share.
type PlatformState struct {
	HasIRQChip bool
	IRQChips   [kvm.IRQChips]kvm.IRQChip // by id
	HasPIT     bool
	PIT        kvm.PIT
	Clock      kvm.Clock
	TSC        uint64 // guest TSC of vCPU 0 at the instant of Clock, within microseconds
	HostTime   int64  // host CLOCK_REALTIME at that instant, in nanoseconds
}

// ClockMode says what becomes of the guest's time between Save and Restore.
type ClockMode uint8

// The clock modes.
const (
	Advance ClockMode = iota // by the host's CLOCK_REALTIME: the guest's wall clock is right
	Freeze                   // not at all: the guest sees no jump
)

// TSCOutcome says what became of the guest's TSC. It is judged by effect: some hosts accept an offset and ignore it.
type TSCOutcome uint8

// The outcomes for the TSC.
const (
	Kept    TSCOutcome = iota + 1 // it goes on from where it was
	Ignored                       // it is the host's; the guest sees it jump
)

// RestoreOptions are the choices of a Restore.
type RestoreOptions struct {
	Clock ClockMode
}

// Report says how a Restore went.
type Report struct {
	TSC          TSCOutcome
	TSCDrift     float64       // guest's frequency here less that at the source, in parts per million of the latter; 0 with scaling
	Elapsed      time.Duration // by how much the guest's clock was advanced
	Time         time.Duration // what the call took
	VCPUTime     time.Duration // of it, vCPUs in parallel
	PlatformTime time.Duration // of it, controllers, timer and clock
}
