package virtio

import (
	"sync/atomic"
	"unsafe"
)

// The guest reads and writes the rings while we do. Their 16-bit fields are
// loaded as part of an aligned 32-bit word, which Go can do atomically: that
// word may reach two bytes beyond the ring, never beyond its page.

// load16 loads the field at an even offset.
func load16(ring []byte, offset int) uint16 {
	// SAFETY: offset is inside ring; rounding down to 4 bytes stays in the same page of the mapping, which is aligned.
	p := unsafe.Pointer(&ring[offset])
	shift := uintptr(p) & 3
	word := atomic.LoadUint32((*uint32)(unsafe.Add(p, -int(shift))))
	return uint16(word >> (8 * shift))
}

// store16 stores the field at an even offset. What is beside it may be the guest's.
func store16(ring []byte, offset int, v uint16) {
	// SAFETY: the two bytes at offset are inside ring and, at an even address, stored at once.
	*(*uint16)(unsafe.Pointer(&ring[offset : offset+2][0])) = v
}

// store32 stores the word at an aligned offset, behind all stores before it.
func store32(ring []byte, offset int, v uint32) {
	// SAFETY: the four bytes at offset are inside ring; rings of used requests are aligned to 4 bytes.
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&ring[offset : offset+4][0])), v)
}
