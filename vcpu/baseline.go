package vcpu

import (
	"slices"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// baselineFeatures are what every x86-64 CPU has had from the first, and what every KVM adds. Neither AVX, XSAVE, CMPXCHG16B nor
// POPCNT are among them: where KVM is software, a kernel must not use them. Nor must it work around old AMD CPUs' FXSAVE, for which
// xsaveerptr, that those since Zen have, is here.
var baselineFeatures = []string{
	"fpu", "de", "pse", "tsc", "msr", "pae", "mce", "cx8", "apic", "sep", "mtrr", "pge", "mca", "cmov", "pat", "pse36", "clflush",
	"mmx", "fxsr", "sse", "sse2", "ht", "sse3", "x2apic", "hypervisor", "arat",
	"syscall", "nx", "lm", "lahf_lm", "cmp_legacy", "xsaveerptr",
	"kvmclock_old", "kvm_nopiodelay", "kvmclock", "kvm_steal_time", "kvm_pv_eoi", "kvmclock_stable",
}

// Limits of the baseline.
const (
	baselineLeaf     = 0xb // topology, which x2APIC wants
	baselineExtended = 0x80000008
	baselinePhysical = 39 // address bits
	baselineLinear   = 48 // address bits

	// A guest that may meet any CPU assumes the weaknesses of an old one.
	baselineAMD   = 0x00060fb1 // family 15
	baselineIntel = 0x000006fb // family 6, model 15

	leaf1Line      = 0xff00     // EBX: what CLFLUSH flushes
	commonWithAMD  = 0x0183f3ff // EDX of leaf 0x80000001: there AMD repeats leaf 1
	addressBits    = 0xff       // EAX of leaf 0x80000008
	addressBitsLog = 8          // and where the linear ones are
)

// Baseline returns the CPU that every host of the same vendor can offer, less what this one lacks.
func (host Model) Baseline() Model {
	var m Model
	for _, e := range host.CPUID {
		named := func(r register) uint32 { return *r.of(&e) & baselineBits(e, r) }
		switch e.Function {
		case 0:
			e.EAX = min(e.EAX, baselineLeaf)
		case 1:
			e.EAX, e.EBX, e.ECX, e.EDX = baselineSignature(host.CPUID, e.EAX), e.EBX&leaf1Line, named(ecx), named(edx)
		case 6, 0x40000001:
			e.EAX, e.EBX, e.ECX, e.EDX = named(eax), 0, 0, 0
		case 0x80000000:
			e.EAX = min(e.EAX, baselineExtended)
		case 0x80000001:
			again := e.EDX & find(m.CPUID, 1, 0).EDX & commonWithAMD
			e.EAX, e.EBX, e.ECX, e.EDX = 0, 0, named(ecx), named(edx)|again
		case 0x80000008:
			physical, linear := e.EAX&addressBits, e.EAX>>addressBitsLog&addressBits
			e.EAX, e.EBX, e.ECX, e.EDX = min(physical, baselinePhysical)|min(linear, baselineLinear)<<addressBitsLog, named(ebx), 0, 0
		case 2, 4, 0xb, 0x40000000, 0x80000005, 0x80000006:
			// The host's own: what KVM is, and the caches, by whose sizes C libraries choose how to copy. They promise nothing that
			// another host could fail to keep.
		default:
			continue
		}
		m.CPUID = append(m.CPUID, e)
	}
	return m
}

// baselineBits are the bits of an entry's register that the baseline may have.
func baselineBits(e kvm.CPUIDEntry, r register) uint32 {
	var mask uint32
	for _, f := range features {
		if f.leaf == e.Function && f.subleaf == e.Index && f.reg == r && slices.Contains(baselineFeatures, f.name) {
			mask |= 1 << f.bit
		}
	}
	return mask
}

// baselineSignature is the family, model and stepping that a guest sees.
func baselineSignature(entries []kvm.CPUIDEntry, own uint32) uint32 {
	switch {
	case amd(entries):
		return baselineAMD
	case find(entries, 0, 0).EBX == intelEBX:
		return baselineIntel
	}
	return own
}
