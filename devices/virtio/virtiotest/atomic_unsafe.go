package virtiotest

import (
	"sync/atomic"
	"unsafe"
)

// load16 loads the 16 bits at an even offset at once, as a guest does.
func load16(ring []byte, offset int) uint16 {
	// SAFETY: both bytes are inside ring.
	return *(*uint16)(unsafe.Pointer(&ring[offset : offset+2][0]))
}

// store16 stores the 16 bits at an even offset at once, as a guest does.
func store16(ring []byte, offset int, v uint16) {
	// SAFETY: both bytes are inside ring.
	*(*uint16)(unsafe.Pointer(&ring[offset : offset+2][0])) = v
}

// barrier is the guest's: what is before it is seen before what is behind it.
func barrier() { atomic.AddUint32(&fence, 1) }

var fence uint32
