package vmm

import (
	"fmt"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// enoughCPUs refuses a guest with more vCPUs than KVM allows a VM here: KVM_CAP_MAX_VCPUS
// (Documentation/virt/kvm/api.rst, section 4.7), which every kernel since Linux 3.2 tells.
func enoughCPUs(vm *kvm.VM, want int) error {
	support, most := vm.CheckExtension(kvm.CapMaxVCPUs)
	return checkCPUs(want, support == kvm.Yes, most)
}

// checkCPUs compares; known tells whether the host has said how many it allows.
func checkCPUs(want int, known bool, most int) error {
	if !known || want <= most {
		return nil
	}
	return &Failure{
		Code: "cpus", Message: fmt.Sprintf("the guest has %d vCPUs, KVM on this host allows %d", want, most),
		Remedy: fmt.Sprintf("run it with --cpus %d, or on a host that allows more", most),
	}
}
