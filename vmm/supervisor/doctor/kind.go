package doctor

import (
	"fmt"
	"time"
)

// interpreted is from when on an instruction takes so long that no CPU runs it: hardware takes about 1 ns, also where virtualization is nested.
const interpreted = 20 * time.Nanosecond

// kind says which kind of KVM this is, by how long an instruction of a guest's kernel takes.
func kind(pace time.Duration, err error) Finding {
	f := Finding{Check: "kind", Level: OK, Text: "KVM uses the CPU's virtualization: guests run at full speed"}
	switch {
	case err != nil:
		f.Level, f.Text, f.Remedy = Bad, "a guest of three instructions does not run: "+err.Error(), "look into the kernel's log: dmesg | grep -i kvm"
	case pace > interpreted:
		f.Level = Note
		f.Text = fmt.Sprintf("KVM is software here: it interprets guest kernels, at %d ns an instruction; only user programs run at full speed", pace.Nanoseconds())
		f.Remedy = "enable nested virtualization in the host of this virtual machine, or use the kernel that make guest builds"
	}
	return f
}
