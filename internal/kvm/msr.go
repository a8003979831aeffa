package kvm

import (
	"unsafe"
)

// MSREntry is struct kvm_msr_entry.
type MSREntry struct {
	Index, Reserved uint32
	Data            uint64
}

const msrEntrySize = int(unsafe.Sizeof(MSREntry{}))

// maxMSRs is the most that one KVM_GET_MSRS or KVM_SET_MSRS takes (the kernel refuses 256).
const maxMSRs = 255

// MSRs reads the registers named by the entries' indices into their data. n < len(entries) with a nil error means
// that the kernel refused entries[n] and did not look at those behind it.
func (c *VCPU) MSRs(entries []MSREntry) (n int, err error) {
	return c.msrCall("KVM_GET_MSRS", reqGetMSRs, entries)
}

// SetMSRs writes the registers in order. n < len(entries) with a nil error means that the kernel refused entries[n]; those
// before it are set.
func (c *VCPU) SetMSRs(entries []MSREntry) (n int, err error) {
	return c.msrCall("KVM_SET_MSRS", reqSetMSRs, entries)
}

func (c *VCPU) msrCall(name string, req uintptr, entries []MSREntry) (done int, err error) {
	if c.msrs == nil && len(entries) > 0 {
		c.msrs = newMSRList()
	}
	return msrCall(c.fd, name, req, c.msrs, entries)
}

// FeatureMSRs reads what the host can offer of the registers of [System.FeatureMSRIndices]. n is as for [VCPU.MSRs].
func (s *System) FeatureMSRs(entries []MSREntry) (n int, err error) {
	return msrCall(s.fd(), "KVM_GET_MSRS", reqGetMSRs, newMSRList(), entries)
}

// newMSRList makes struct kvm_msrs: count, padding, entries.
func newMSRList() []uint64 { return make([]uint64, 1+maxMSRs*msrEntrySize/8) }

// msrCall is one request for any number of registers. Precondition: list is from newMSRList, unless there are no entries.
func msrCall(fd int, name string, req uintptr, list []uint64, entries []MSREntry) (done int, err error) {
	for done < len(entries) {
		part := entries[done:min(done+maxMSRs, len(entries))]
		// SAFETY: the list has room for maxMSRs entries behind its first word, which is aligned to 8 bytes.
		room := unsafe.Slice((*MSREntry)(unsafe.Pointer(&list[1])), maxMSRs)
		list[0] = uint64(len(part))
		copy(room, part)
		r, errno := ioctl(fd, req, unsafe.Pointer(&list[0]))
		if errno != 0 {
			return done, check(name, errno)
		}
		if req == reqGetMSRs {
			copy(part[:min(int(r), len(part))], room)
		}
		done += int(r)
		if int(r) < len(part) {
			return done, nil
		}
	}
	return done, nil
}
