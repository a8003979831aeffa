package vcpu

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// ErrCPU means that a guest's CPU has features that a host lacks. The move must be refused, or the guest started anew with a smaller CPU.
var ErrCPU = errors.New("vcpu: the host's CPU lacks features of the guest's")

func flatten(banks []bank) []feature {
	var out []feature
	for _, b := range banks {
		for bit, name := range strings.Fields(b.names) {
			if name != "." {
				out = append(out, feature{name, b.leaf, b.subleaf, b.reg, uint8(bit)})
			}
		}
	}
	return out
}

// FeatureNames returns the names that [Without] takes.
func FeatureNames() []string {
	names := make([]string, len(features))
	for i, f := range features {
		names[i] = f.name
	}
	return names
}

// MissingError lists what [CheckCPUID] found missing. It is an [ErrCPU].
type MissingError struct {
	Features []string // "name (CPUID 0x7.0 EBX bit 5)", in the order of leaves
}

// Error implements error.
func (e *MissingError) Error() string {
	const most = 8
	list := e.Features
	more := ""
	if len(list) > most {
		more = fmt.Sprintf(" and %d more", len(list)-most)
		list = list[:most]
	}
	return fmt.Sprintf("%v: %s%s", ErrCPU, strings.Join(list, ", "), more)
}

// Is makes every MissingError an ErrCPU.
func (e *MissingError) Is(target error) bool { return target == ErrCPU }

// compared are the registers whose every bit is a feature that the guest may use, in the order in which they are reported, and the
// bits in them that depend on other things than the host.
var compared = []struct {
	leaf, subleaf uint32
	reg           register
	ignore        uint32
}{
	{1, 0, ecx, leaf1OSXSAVE | leaf1Hypervisor | leaf1TSCDeadline},
	{1, 0, edx, 1 << 28}, // more than one vCPU
	{6, 0, eax, 0},
	{7, 0, ebx, 0},
	{7, 0, ecx, 1 << 4}, // OSPKE follows CR4
	{7, 0, edx, 0},
	{7, 1, eax, 0},
	{7, 1, ebx, 0},
	{7, 1, ecx, 0},
	{7, 1, edx, 0},
	{7, 2, edx, 0},
	{0xd, 0, eax, 0},
	{0xd, 0, edx, 0},
	{0xd, 1, eax, 0},
	{0xd, 1, ecx, 0},
	{0xd, 1, edx, 0},
	{0x80000001, 0, ecx, 1 << 1}, // CmpLegacy: more than one vCPU
	{0x80000001, 0, edx, 0},
	{0x80000007, 0, edx, 0},
	{0x80000008, 0, ebx, 0},
	{0x80000021, 0, eax, 0},
	{0x40000001, 0, eax, 0},
}

// CheckCPUID says whether a host, whose own set is host, can run a guest that was given wanted. The error is a [MissingError].
// A host that cannot keep a vendor's guest (Intel on AMD) lacks the vendor.
func CheckCPUID(host, wanted []kvm.CPUIDEntry) error {
	var missing []string
	have, want := find(host, 0, 0), find(wanted, 0, 0)
	if have.EBX != want.EBX || have.ECX != want.ECX || have.EDX != want.EDX {
		missing = append(missing, fmt.Sprintf("vendor %s", vendor(want)))
	}
	for _, r := range compared {
		have, want := find(host, r.leaf, r.subleaf), find(wanted, r.leaf, r.subleaf)
		lack := *r.reg.of(&want) &^ *r.reg.of(&have) &^ r.ignore
		for bit := range uint8(32) {
			if lack>>bit&1 != 0 {
				missing = append(missing, describe(r.leaf, r.subleaf, r.reg, bit))
			}
		}
	}
	const addressBits = 0x80000008 // EAX: physical, linear
	have, want = find(host, addressBits, 0), find(wanted, addressBits, 0)
	for i, name := range []string{"physical", "linear"} {
		if h, w := have.EAX>>(8*i)&0xff, want.EAX>>(8*i)&0xff; w > h {
			missing = append(missing, fmt.Sprintf("%d %s address bits (have %d)", w, name, h))
		}
	}
	if missing == nil {
		return nil
	}
	return &MissingError{Features: missing}
}

// find returns a leaf, zero if absent.
func find(entries []kvm.CPUIDEntry, leaf, subleaf uint32) kvm.CPUIDEntry {
	for _, e := range entries {
		if e.Function == leaf && e.Index == subleaf {
			return e
		}
	}
	return kvm.CPUIDEntry{}
}

// vendor reads the vendor's name from leaf 0.
func vendor(e kvm.CPUIDEntry) string {
	var b []byte
	for _, r := range []uint32{e.EBX, e.EDX, e.ECX} {
		b = append(b, byte(r), byte(r>>8), byte(r>>16), byte(r>>24))
	}
	return fmt.Sprintf("%q", b)
}

// describe names a bit.
func describe(leaf, subleaf uint32, reg register, bit uint8) string {
	where := fmt.Sprintf("CPUID %#x.%d %v bit %d", leaf, subleaf, reg, bit)
	i := slices.IndexFunc(features, func(f feature) bool {
		return f.leaf == leaf && f.subleaf == subleaf && f.reg == reg && f.bit == bit
	})
	if i < 0 {
		return where
	}
	return fmt.Sprintf("%s (%s)", features[i].name, where)
}
