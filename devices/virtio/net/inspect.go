package net

import "github.com/ferryvmm/ferry/devices/virtio"

// headSize is how many bytes of a frame an Inspector sees: the longest frame of
// Ethernet, with a VLAN tag. What is longer are segments that somebody has yet to cut,
// or jumbo frames; all that is read of them is at their beginning.
const headSize = 1518

// Inspector looks at each frame of one direction and decides whether it passes:
// for rate limits, against forged addresses, and to learn which addresses a guest uses.
type Inspector interface {
	// Inspect gets the first bytes of a frame of size bytes, without the header of
	// virtio: all of it, up to 1518. They are a copy that the guest cannot change any
	// more, which is valid only during the call; a driver that writes to buffers that it has given to be received
	// in may have changed them before, and deceives only itself. It must neither block nor allocate,
	// and is called by several goroutines at once where a device has several pairs of queues.
	Inspect(head []byte, size int) (pass bool)
}

// inspect asks an inspector of a frame that begins in packet, behind the header; size counts that too.
func inspect(i Inspector, packet []byte, size int) (pass bool) {
	return i.Inspect(packet[headerSize:min(len(packet), headerSize+headSize)], size-headerSize)
}

// gather copies the beginning of what buffers hold, and returns how much that is.
func gather(p []byte, buffers []virtio.Buffer) (n int) {
	for _, b := range buffers {
		if n += copy(p[n:], b.Bytes); n == len(p) {
			break
		}
	}
	return n
}
