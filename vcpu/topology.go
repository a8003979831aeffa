package vcpu

import (
	"math/bits"
	"slices"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// Levels of leaves 0xb and 0x1f.
const (
	levelThread = 1 << 8
	levelCore   = 2 << 8
)

// perCPU returns the set as vCPU id of count sees it.
func perCPU(entries []kvm.CPUIDEntry, id, count int) []kvm.CPUIDEntry {
	return topology(slices.Clone(entries), id, count)
}

// topology writes one package of count cores with one thread each into entries, as seen by vCPU id, whose APIC id is the same number. It
// replaces what the host's own topology left in the same fields.
func topology(entries []kvm.CPUIDEntry, id, count int) []kvm.CPUIDEntry {
	shift := uint32(bits.Len(uint(count - 1))) // bits of the APIC id that tell cores apart
	slots := uint32(1) << shift
	extended := slices.ContainsFunc(entries, func(e kvm.CPUIDEntry) bool { return e.Function == 0x1f })
	leafB := slices.ContainsFunc(entries, func(e kvm.CPUIDEntry) bool { return e.Function == 0 && e.EAX >= 0xb && e.EBX == intelEBX }) ||
		slices.ContainsFunc(entries, func(e kvm.CPUIDEntry) bool { return e.Function == 0xb })
	entries = slices.DeleteFunc(entries, func(e kvm.CPUIDEntry) bool { return e.Function == 0xb || e.Function == 0x1f })
	for i := range entries {
		e := &entries[i]
		switch e.Function {
		case 0x1: // EBX: APIC id, APIC ids in the package, CLFLUSH line, brand. EDX bit 28: the second of these is valid
			e.EBX = e.EBX&0xffff | uint32(id)<<24
			e.EDX &^= 1 << 28
			if count > 1 {
				e.EBX |= min(slots, 0xff) << 16
				e.EDX |= 1 << 28
			}
		case 0x4, 0x8000001d: // EAX: threads that share the cache less 1 in bits 25:14; on Intel core slots less 1 in 31:26
			if e.EAX&0x1f == 0 {
				continue // no more caches
			}
			sharing := uint32(0)
			if level := e.EAX >> 5 & 7; level >= 3 {
				sharing = slots - 1
			}
			e.EAX = e.EAX&0x3fff | sharing<<14
			if e.Function == 0x4 {
				e.EAX |= min(slots-1, 0x3f) << 26
			}
		case 0x80000008: // ECX on AMD: cores less 1, bits of the core's part of the APIC id
			e.ECX = 0
			if amd(entries) {
				e.ECX = uint32(count-1)&0xff | shift<<12
			}
		case 0x8000001e: // AMD: APIC id, core, node
			if amd(entries) {
				e.EAX, e.EBX, e.ECX = uint32(id), uint32(id), 0
			}
		}
	}
	add := func(leaf uint32) {
		entries = append(entries,
			kvm.CPUIDEntry{Function: leaf, Index: 0, Flags: kvm.CPUIDSignificantIndex, EAX: 0, EBX: 1, ECX: 0 | levelThread, EDX: uint32(id)},
			kvm.CPUIDEntry{Function: leaf, Index: 1, Flags: kvm.CPUIDSignificantIndex, EAX: shift, EBX: uint32(count), ECX: 1 | levelCore, EDX: uint32(id)},
			kvm.CPUIDEntry{Function: leaf, Index: 2, Flags: kvm.CPUIDSignificantIndex, ECX: 2, EDX: uint32(id)})
	}
	if leafB {
		add(0xb)
	}
	if extended {
		add(0x1f)
	}
	return entries
}

// The first register of the vendor's name in leaf 0.
const (
	intelEBX = 0x756e6547 // "Genu"
	amdEBX   = 0x68747541 // "Auth"
	hygonEBX = 0x6f677948 // "Hygo"
)

func amd(entries []kvm.CPUIDEntry) bool {
	return slices.ContainsFunc(entries, func(e kvm.CPUIDEntry) bool {
		return e.Function == 0 && (e.EBX == amdEBX || e.EBX == hygonEBX)
	})
}
