// Package virtio is what all virtio devices share: queues, the chains of buffers
// on them, the workers that serve them, and the small interfaces between a
// device, its transport and guest memory.
//
// Everything that a driver controls is hostile. A driver that breaks the rules
// of a queue gets a device that needs a reset; it never reaches beyond its own
// memory.
//
// Source: Virtual I/O Device (VIRTIO) 1.2, sections 2 and 5.
package virtio
