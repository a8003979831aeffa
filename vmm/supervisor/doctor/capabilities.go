package doctor

import (
	"strings"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// needs are the capabilities of KVM that no guest can do without.
var needs = []struct {
	cap  kvm.Cap
	name string
}{
	{kvm.CapIRQChip, "interrupt controllers"}, {kvm.CapUserMemory, "user memory"}, {kvm.CapExtCPUID, "CPUID"}, {kvm.CapSetTSSAddr, "TSS address"},
	{kvm.CapMPState, "MP state"}, {kvm.CapIRQFD, "irqfd"}, {kvm.CapIOEventFD, "ioeventfd"}, {kvm.CapPIT2, "timer"}, {kvm.CapPITState2, "timer state"},
	{kvm.CapVCPUEvents, "vCPU events"}, {kvm.CapDebugRegs, "debug registers"}, {kvm.CapXsave, "extended state"}, {kvm.CapXCRs, "XCRs"},
	{kvm.CapAdjustClock, "clock"}, {kvm.CapImmediateExit, "immediate exit"},
}

// capabilities looks at what KVM can do, and at how it logs what a guest writes.
func capabilities(probe func(kvm.Cap) (kvm.Support, int)) Finding {
	has := func(c kvm.Cap) bool {
		s, _ := probe(c)
		return s == kvm.Yes
	}
	var missing []string
	for _, n := range needs {
		if !has(n.cap) {
			missing = append(missing, n.name)
		}
	}
	f := Finding{Check: "capabilities", Level: OK}
	bitmap, ring := has(kvm.CapManualDirtyProtect2), has(kvm.CapDirtyLogRing) || has(kvm.CapDirtyLogRingAcqRel)
	switch {
	case missing != nil:
		f.Level, f.Text, f.Remedy = Bad, "KVM lacks "+strings.Join(missing, ", "), "use Linux 5.15 or later, with KVM built as distributions do"
	case !bitmap && !ring:
		f.Level, f.Text = Note, "KVM has all that guests need, but only the plain log of what they write: a busy guest moves more slowly"
		f.Remedy = "use Linux 5.15 or later"
	case bitmap && ring:
		f.Text = "KVM has all that guests need, and logs what they write by bitmap or by ring"
	case bitmap:
		f.Text = "KVM has all that guests need, and logs what they write by bitmap"
	default:
		f.Text = "KVM has all that guests need, and logs what they write by ring"
	}
	return f
}
