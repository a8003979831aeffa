package doctor

import (
	"errors"
	"os"
	"strings"
)

// kvmDevice looks at /dev/kvm: err is what opening it gave, cpuinfo is /proc/cpuinfo.
func kvmDevice(err error, cpuinfo string) Finding {
	f := Finding{Check: "kvm", Level: Bad}
	switch {
	case err == nil:
		f.Level, f.Text = OK, "/dev/kvm can be used by this user"
	case errors.Is(err, os.ErrNotExist):
		f.Text = "this host has no /dev/kvm"
		f.Remedy = "enable virtualization in the firmware, or nested virtualization in the host of this virtual machine"
		if module := kvmModule(cpuinfo); module != "" {
			f.Remedy = "modprobe " + module
		}
	case errors.Is(err, os.ErrPermission):
		f.Text, f.Remedy = "/dev/kvm may not be opened by this user", "usermod -aG kvm $USER, and log in again; or run vmm as root"
	default:
		f.Text, f.Remedy = "/dev/kvm cannot be used: "+err.Error(), "look into the kernel's log: dmesg | grep -i kvm"
	}
	return f
}

// kvmModule is the module that a CPU with these flags needs; empty if it has no virtualization that the system can see.
func kvmModule(cpuinfo string) string {
	for line := range strings.Lines(cpuinfo) {
		key, flags, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) != "flags" {
			continue
		}
		for _, flag := range strings.Fields(flags) {
			switch flag {
			case "vmx":
				return "kvm_intel"
			case "svm":
				return "kvm_amd"
			}
		}
		return ""
	}
	return ""
}
