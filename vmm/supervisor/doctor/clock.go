package doctor

import (
	"strings"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// clock looks at what a guest's time depends on: the name of the kernel's clock source, and KVM.
func clock(source string, probe func(kvm.Cap) (kvm.Support, int)) Finding {
	source = strings.TrimSpace(source)
	f := Finding{Check: "clock", Level: OK}
	_, flags := probe(kvm.CapAdjustClock)
	realtime := uint32(flags)&kvm.ClockRealtime != 0
	scaling, _ := probe(kvm.CapTSCControl)
	switch {
	case source != "" && source != "tsc" && source != "kvm-clock" && source != "hyperv_clocksource_tsc_page":
		f.Level, f.Text = Note, "this host keeps time by "+source+", not by the CPU's counter: guests' clocks are slow to read, and a move may shift them"
		f.Remedy = "look why the kernel does not trust its TSC: dmesg | grep -i tsc"
	case !realtime:
		f.Level, f.Text, f.Remedy = Note, "KVM cannot set a guest's clock by real time: a move may shift it by milliseconds", "use Linux 5.16 or later"
	case scaling != kvm.Yes:
		f.Text = "guests' clocks go on by real time through a move; the CPU cannot scale its counter, so hosts of one group should have the same frequency"
	default:
		f.Text = "guests' clocks go on by real time through a move, also to a CPU of another frequency"
	}
	return f
}
