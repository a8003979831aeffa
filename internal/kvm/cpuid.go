package kvm

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// CPUIDEntry is one CPUID leaf or subleaf (struct kvm_cpuid_entry2).
type CPUIDEntry struct {
	Function, Index, Flags uint32
	EAX, EBX, ECX, EDX     uint32
	Reserved               [3]uint32
}

// CPUIDSignificantIndex in [CPUIDEntry].Flags says that the leaf depends on ECX.
const CPUIDSignificantIndex = 1

// maxCPUIDEntries bounds both what is asked of the kernel and what is given to it (KVM_MAX_CPUID_ENTRIES is 256).
const maxCPUIDEntries = 1024

// cpuidList is struct kvm_cpuid2: element 0 holds the count in its first word, the entries follow at 8 bytes.
type cpuidList []uint64

func newCPUIDList(n int) cpuidList {
	l := make(cpuidList, 1+n*cpuidEntrySize/8)
	l[0] = uint64(uint32(n))
	return l
}

const cpuidEntrySize = int(unsafe.Sizeof(CPUIDEntry{}))

// entries copies out the entries that the list's count covers.
func (l cpuidList) entries() []CPUIDEntry {
	n := min(int(uint32(l[0])), (len(l)-1)*8/cpuidEntrySize)
	out := make([]CPUIDEntry, n)
	copy(out, l.raw())
	return out
}

// raw is the room for entries, in place.
func (l cpuidList) raw() []CPUIDEntry {
	if len(l) == 1 {
		return nil
	}
	// SAFETY: the list was made with room for a whole number of entries behind its first word; a CPUIDEntry needs
	// 4-byte alignment and the list has 8.
	return unsafe.Slice((*CPUIDEntry)(unsafe.Pointer(&l[1])), (len(l)-1)*8/cpuidEntrySize)
}

// SetCPUID2 gives the vCPU its CPUID. It must come before the state of a saved vCPU is set, and before the first Run.
func (c *VCPU) SetCPUID2(entries []CPUIDEntry) error {
	if len(entries) > maxCPUIDEntries {
		return fmt.Errorf("KVM_SET_CPUID2: %d entries: %w", len(entries), unix.E2BIG)
	}
	l := newCPUIDList(len(entries))
	copy(l.raw(), entries)
	_, errno := ioctl(c.fd, reqSetCPUID2, unsafe.Pointer(&l[0]))
	return check("KVM_SET_CPUID2", errno)
}
