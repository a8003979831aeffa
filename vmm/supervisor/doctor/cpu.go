package doctor

import (
	"github.com/ferryvmm/ferry/vcpu"
)

// cpu looks at the CPU that guests can have: what asking for it gave.
func cpu(m vcpu.Model, err error) Finding {
	f := Finding{Check: "cpu", Level: OK}
	switch {
	case err != nil:
		f.Level, f.Text, f.Remedy = Bad, "KVM does not say what a guest's CPU can be: "+err.Error(), "look into the kernel's log: dmesg | grep -i kvm"
	case m.Check(m.Baseline()) != nil:
		f.Level, f.Text = Bad, "this CPU lacks what every guest expects: "+m.Check(m.Baseline()).Error()
		f.Remedy = "use another host; under a hypervisor, give this virtual machine the host's own CPU"
	default:
		f.Text = "guests can have this host's CPU (--cpu host), or one that they can take to any host (--cpu baseline)"
	}
	return f
}
