package vcpu

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// hidden are features that KVM may offer and that Ferry's guests do not get.
var hidden = []struct {
	name string
	why  string
}{
	{"vmx", "nested guests' state is not saved"},
	{"svm", "nested guests' state is not saved"},
	{"sgx", "enclaves cannot move"},
	{"sgx_lc", "enclaves cannot move"},
	{"intel_pt", "trace state is not saved"},
	{"pdcm", "performance counters are the host's"},
	{"arch_lbr", "branch records are not saved"},
	{"amx_tile", "needs a permission that the process does not ask for"},
	{"amx_bf16", "as amx_tile"},
	{"amx_int8", "as amx_tile"},
	{"invtsc", "with it guests trust the TSC across a move to a host where it runs at another rate; without it they use kvmclock"},
	{"mwait", "would hold the host's CPU while idle, and its wake-up is not saved"},
}

// emptied are leaves that describe what hidden took away.
var emptied = []uint32{
	0x05,       // MONITOR/MWAIT
	0x0a,       // performance monitoring
	0x12,       // SGX
	0x14,       // processor trace
	0x1c,       // last branch records
	0x1d, 0x1e, // AMX
	0x8000000a, // SVM
	0x80000022, // performance monitoring on AMD
}

// CPUID returns the CPUID that a machine of count vCPUs gets by default: all that the host supports and that can be moved, the same on every
// call and whichever CPU answers. NewSet adds what differs between vCPUs.
func CPUID(sys *kvm.System, count int) ([]kvm.CPUIDEntry, error) {
	if count < 1 || count > MaxCount {
		return nil, fmt.Errorf("vcpu: %d vCPUs, want 1 to %d", count, MaxCount)
	}
	entries, err := sys.SupportedCPUID()
	if err != nil {
		return nil, err
	}
	deadline, _ := sys.Probe(kvm.CapTSCDeadlineTimer)
	return offered(entries, count, deadline == kvm.Yes), nil
}

// offered makes the default set from what KVM supports.
func offered(entries []kvm.CPUIDEntry, count int, deadline bool) []kvm.CPUIDEntry {
	entries = slices.Clone(entries)
	for _, h := range hidden {
		clearFeature(entries, h.name)
	}
	for i := range entries {
		if e := &entries[i]; slices.Contains(emptied, e.Function) {
			e.EAX, e.EBX, e.ECX, e.EDX = 0, 0, 0, 0
		} else if e.Function == 1 {
			e.ECX |= leaf1Hypervisor
			if deadline {
				e.ECX |= leaf1TSCDeadline // older kernels leave it to us, knowing that the LAPIC is in the kernel
			}
			e.ECX &^= leaf1OSXSAVE // follows the guest's CR4
		}
	}
	return tidy(topology(entries, 0, count))
}

// tidy sorts entries and drops empty ones: absent leaves within the range read as zero anyway, and the state that travels is smaller.
func tidy(entries []kvm.CPUIDEntry) []kvm.CPUIDEntry {
	entries = slices.DeleteFunc(entries, func(e kvm.CPUIDEntry) bool { return e.EAX|e.EBX|e.ECX|e.EDX == 0 })
	slices.SortStableFunc(entries, func(a, b kvm.CPUIDEntry) int {
		return cmp.Or(cmp.Compare(a.Function, b.Function), cmp.Compare(a.Index, b.Index))
	})
	return entries
}

const (
	leaf1TSCDeadline = 1 << 24 // ECX
	leaf1OSXSAVE     = 1 << 27 // ECX
	leaf1Hypervisor  = 1 << 31 // ECX
)

// Without returns entries less the named features, so that a person can ask for a smaller CPU. Names are those of [FeatureNames].
func Without(entries []kvm.CPUIDEntry, names ...string) ([]kvm.CPUIDEntry, error) {
	entries = slices.Clone(entries)
	for _, name := range names {
		if !clearFeature(entries, name) {
			return nil, fmt.Errorf("vcpu: unknown CPU feature %q", name)
		}
	}
	return entries, nil
}

// clearFeature clears a feature's bit where its leaf is present. It is false if there is no such feature.
func clearFeature(entries []kvm.CPUIDEntry, name string) bool {
	i := slices.IndexFunc(features, func(f feature) bool { return f.name == name })
	if i < 0 {
		return false
	}
	f := features[i]
	for j := range entries {
		if entries[j].Function == f.leaf && entries[j].Index == f.subleaf {
			*f.reg.of(&entries[j]) &^= 1 << f.bit
		}
	}
	return true
}
