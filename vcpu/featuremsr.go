package vcpu

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// featureMSR is a register by which a CPU says what it can, and that a [Model] may hold.
type featureMSR struct {
	index   uint32
	name    string
	bits    string    // names of bits from 0 up, as in bank; the empty string: the register is a number that any host can show
	worse   uint64    // bits that admit a weakness: a guest that may meet it anywhere should be told
	cpuid   *cpuidBit // without it in CPUID the register does not exist
	vendors []uint32  // first register of the vendor's name; nil: any
}

type cpuidBit struct {
	leaf uint32
	reg  register
	bit  uint8
}

// featureMSRs are those that KVM has today, but for what belongs to features that guests do not get: performance counters, VMX.
// IA32_MISC_ENABLE is not among them: guests write it, and it travels with their state. KVM offers IA32_ARCH_CAPABILITIES on AMD too,
// which has none, and newer versions do not let it be set there.
var featureMSRs = []featureMSR{
	{index: 0x8b, name: "IA32_BIOS_SIGN_ID"},
	{index: 0xce, name: "MSR_PLATFORM_INFO", bits: strings.Repeat(". ", 31) + "cpuid_fault"},
	{index: 0xcf, name: "IA32_CORE_CAPABILITIES", bits: ". . . . . split_lock_detect", cpuid: &cpuidBit{7, edx, 30}},
	{
		index: 0x10a, name: "IA32_ARCH_CAPABILITIES", cpuid: &cpuidBit{7, edx, 29}, vendors: []uint32{intelEBX}, worse: 1<<2 | 1<<19,
		bits: "rdcl_no ibrs_all rsba skip_l1dfl_vmentry ssb_no mds_no pschange_mc_no tsx_ctrl taa_no . . . . sbdr_ssdp_no fbsdp_no psdp_no " +
			". fb_clear fb_clear_ctrl rrsba bhi_no xapic_disable . . pbrsb_no gds_ctrl gds_no rfds_no rfds_clear",
	},
	{index: 0xc0011029, name: "MSR_AMD64_DE_CFG", bits: ". lfence_serialize", vendors: []uint32{amdEBX, hygonEBX}},
}

func findFeatureMSR(index uint32) (featureMSR, bool) {
	i := slices.IndexFunc(featureMSRs, func(f featureMSR) bool { return f.index == index })
	if i < 0 {
		return featureMSR{}, false
	}
	return featureMSRs[i], true
}

// existsFor says whether a guest with this CPUID has the register.
func (f featureMSR) existsFor(entries []kvm.CPUIDEntry) bool {
	if f.vendors != nil && !slices.Contains(f.vendors, find(entries, 0, 0).EBX) {
		return false
	}
	if f.cpuid == nil {
		return true
	}
	e := find(entries, f.cpuid.leaf, 0)
	return *f.cpuid.reg.of(&e)>>f.cpuid.bit&1 != 0
}

// describe names a bit.
func (f featureMSR) describe(bit int) string {
	where := fmt.Sprintf("MSR %#x %s bit %d", f.index, f.name, bit)
	if names := strings.Fields(f.bits); bit < len(names) && names[bit] != "." {
		return fmt.Sprintf("%s (%s)", names[bit], where)
	}
	return where
}

// hostMSRs reads the registers that KVM offers and a guest with this CPUID has.
func hostMSRs(sys *kvm.System, entries []kvm.CPUIDEntry) ([]kvm.MSREntry, error) {
	indices, err := sys.FeatureMSRIndices()
	if err != nil {
		return nil, err
	}
	var msrs []kvm.MSREntry
	for _, f := range featureMSRs {
		if !slices.Contains(indices, f.index) || !f.existsFor(entries) {
			continue
		}
		one := []kvm.MSREntry{{Index: f.index}}
		n, err := sys.FeatureMSRs(one)
		if err != nil {
			return nil, err
		}
		msrs = append(msrs, one[:n]...)
	}
	return msrs, nil
}

// missingMSRs names what wanted has and host cannot offer.
func missingMSRs(host, wanted []kvm.MSREntry) []string {
	var missing []string
	for _, w := range wanted {
		f, known := findFeatureMSR(w.Index)
		i := slices.IndexFunc(host, func(h kvm.MSREntry) bool { return h.Index == w.Index })
		switch {
		case !known || i < 0:
			missing = append(missing, fmt.Sprintf("MSR %#x %s", w.Index, f.name))
			continue
		case f.bits == "":
			continue
		}
		lack := w.Data &^ f.worse &^ host[i].Data
		for bit := range 64 {
			if lack>>bit&1 != 0 {
				missing = append(missing, f.describe(bit))
			}
		}
	}
	return missing
}

// commonMSRs is what both can offer.
func commonMSRs(a, b []kvm.MSREntry) []kvm.MSREntry {
	var common []kvm.MSREntry
	for _, x := range a {
		f, known := findFeatureMSR(x.Index)
		i := slices.IndexFunc(b, func(y kvm.MSREntry) bool { return y.Index == x.Index })
		if !known || i < 0 {
			continue
		}
		y := b[i].Data
		if f.bits == "" {
			x.Data = min(x.Data, y)
		} else {
			x.Data = x.Data&y | (x.Data|y)&f.worse
		}
		common = append(common, x)
	}
	return common
}
