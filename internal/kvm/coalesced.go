package kvm

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// coalescedZone is struct kvm_coalesced_mmio_zone.
type coalescedZone struct {
	Addr      uint64
	Size, PIO uint32
}

// coalescedEntry is struct kvm_coalesced_mmio.
type coalescedEntry struct {
	Addr     uint64
	Len, PIO uint32
	Data     [8]byte
}

// coalescedRing is the head of struct kvm_coalesced_mmio_ring; entries fill the rest of its page.
type coalescedRing struct{ first, last uint32 }

// Coalesce makes guest writes to [addr, addr+size), of ports if pio, wait in a ring instead of exiting, until DrainCoalesced takes
// them. Good only for registers whose writes have no effect that anyone waits for.
func (v *VM) Coalesce(pio bool, addr uint64, size uint32) error {
	return v.coalesce("KVM_REGISTER_COALESCED_MMIO", reqRegisterCoalescedMMIO, pio, addr, size)
}

// Uncoalesce ends what Coalesce began. Writes already in the ring stay there.
func (v *VM) Uncoalesce(pio bool, addr uint64, size uint32) error {
	return v.coalesce("KVM_UNREGISTER_COALESCED_MMIO", reqUnregisterCoalescedIO, pio, addr, size)
}

func (v *VM) coalesce(name string, req uintptr, pio bool, addr uint64, size uint32) error {
	z := coalescedZone{Addr: addr, Size: size}
	if pio {
		z.PIO = 1
	}
	_, errno := ioctl(v.fd, req, unsafe.Pointer(&z))
	if errno != 0 {
		return fmt.Errorf("%s [%#x, %#x): %w", name, addr, addr+uint64(size), errno)
	}
	return nil
}

// CoalescedPending says whether writes wait in the ring. A write leaves the ring when its delivery by DrainCoalesced is over.
func (c *VCPU) CoalescedPending() bool {
	return c.ring != nil && atomic.LoadUint32(&c.ring.first) != atomic.LoadUint32(&c.ring.last)
}

// DrainCoalesced takes every waiting write, oldest first, and returns how many there were. data is valid during the call. The ring
// belongs to the VM and every vCPU maps it: one caller at a time among all of them.
func (c *VCPU) DrainCoalesced(write func(pio bool, addr uint64, data []byte)) int {
	ring := c.ring
	if ring == nil {
		return 0
	}
	// SAFETY: the ring fills the page it starts, and its entries of 24 bytes follow the 8-byte head.
	entries := unsafe.Slice((*coalescedEntry)(unsafe.Add(unsafe.Pointer(ring), unsafe.Sizeof(*ring))), coalescedMax)
	n := 0
	for first := ring.first; first != atomic.LoadUint32(&ring.last) && first < coalescedMax; n++ {
		e := &entries[first]
		write(e.PIO != 0, e.Addr, e.Data[:min(e.Len, uint32(len(e.Data)))])
		first = (first + 1) % coalescedMax
		atomic.StoreUint32(&ring.first, first)
	}
	return n
}

// coalescedMax is KVM_COALESCED_MMIO_MAX for 4 KiB pages.
const coalescedMax = uint32((4096 - unsafe.Sizeof(coalescedRing{})) / unsafe.Sizeof(coalescedEntry{}))
