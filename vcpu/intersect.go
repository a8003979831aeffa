package vcpu

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// Intersect returns the CPU that all hosts can offer whose own these are: every feature is in each. What only describes, such as caches,
// is the first's. The error is ErrModel if no guest could move among them: another vendor, or another layout of XSAVE.
func Intersect(models ...Model) (Model, error) {
	if len(models) == 0 {
		return Model{}, fmt.Errorf("%w: nothing to intersect", ErrModel)
	}
	m := models[0]
	for _, other := range models[1:] {
		var err error
		if m.CPUID, err = commonCPUID(m.CPUID, other.CPUID); err != nil {
			return Model{}, err
		}
		m.MSRs = commonMSRs(m.MSRs, other.MSRs)
	}
	m.MSRs = slices.DeleteFunc(slices.Clone(m.MSRs), func(e kvm.MSREntry) bool {
		f, known := findFeatureMSR(e.Index)
		return !known || !f.existsFor(m.CPUID)
	})
	return m, nil
}

// limits are registers with a largest leaf or subleaf, or numbers of address bits: bytes or words of which the smaller holds.
var limits = []struct {
	leaf   uint32
	fields []uint32 // masks in EAX
}{
	{0, []uint32{0xffffffff}},
	{1, []uint32{0xffffffff}}, // the signature, so that the order of files does not matter
	{7, []uint32{0xffffffff}},
	{0x40000000, []uint32{0xffffffff}},
	{0x80000000, []uint32{0xffffffff}},
	{0x80000001, []uint32{0xffffffff}}, // the signature again
	{0x80000008, []uint32{0xff, 0xff00, 0xff0000}},
}

const (
	leafXSAVE      = 0xd
	xsaveLegacy    = 576 // bytes of the legacy region and the header
	firstComponent = 2
)

// errXSAVE: the hosts keep a component of the extended state in different places.
var errXSAVE = errors.New("the layout of the XSAVE area differs")

func commonCPUID(a, b []kvm.CPUIDEntry) ([]kvm.CPUIDEntry, error) {
	if va, vb := find(a, 0, 0), find(b, 0, 0); vendor(va) != vendor(vb) {
		return nil, fmt.Errorf("%w: vendors %s and %s: a guest cannot move from one to the other", ErrModel, vendor(va), vendor(vb))
	}
	var common []kvm.CPUIDEntry
	for _, e := range a {
		if !slices.ContainsFunc(b, func(o kvm.CPUIDEntry) bool { return o.Function == e.Function && o.Index == e.Index }) {
			continue
		}
		o := find(b, e.Function, e.Index)
		for _, r := range compared {
			if r.leaf == e.Function && r.subleaf == e.Index {
				*r.reg.of(&e) &= *r.reg.of(&o)
			}
		}
		for _, l := range limits {
			if l.leaf == e.Function && e.Index == 0 {
				e.EAX = smaller(e.EAX, o.EAX, l.fields)
			}
		}
		if e.Function == leafXSAVE && e.Index >= firstComponent && (e.EAX != o.EAX || e.EBX != o.EBX || e.ECX != o.ECX) {
			return nil, fmt.Errorf("%w: %w, in component %d", ErrModel, errXSAVE, e.Index)
		}
		common = append(common, e)
	}
	return fitXSAVE(common), nil
}

// smaller takes of each field the smaller, and drops what is in none.
func smaller(a, b uint32, fields []uint32) uint32 {
	var v uint32
	for _, f := range fields {
		v |= min(a&f, b&f)
	}
	return v
}

// fitXSAVE drops the components that are no longer offered, and makes the sizes those of what is.
func fitXSAVE(entries []kvm.CPUIDEntry) []kvm.CPUIDEntry {
	user, system := find(entries, leafXSAVE, 0), find(entries, leafXSAVE, 1)
	offered := uint64(user.EAX|system.ECX) | uint64(user.EDX|system.EDX)<<32
	size := uint32(xsaveLegacy)
	entries = slices.DeleteFunc(entries, func(e kvm.CPUIDEntry) bool {
		if e.Function != leafXSAVE || e.Index < firstComponent {
			return false
		}
		const inSystem = 1 << 0 // of ECX: not in the area of user state
		if e.Index >= 64 || offered>>e.Index&1 == 0 {
			return true
		}
		if e.ECX&inSystem == 0 {
			size = max(size, e.EAX+e.EBX)
		}
		return false
	})
	for i := range entries {
		if e := &entries[i]; e.Function == leafXSAVE && e.Index == 0 {
			e.EBX, e.ECX = size, size
		}
	}
	return entries
}
