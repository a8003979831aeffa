// Package net is the virtio network device: queues of packets between a driver
// and a tap, and a control queue.
//
// Packets go straight between the tap and the driver's buffers: the tap writes
// and reads the same header as the driver, so that checksums and segmentation
// are left to whoever can do them best. What the driver cannot take yet stays
// in the tap, which drops what is too much.
//
// Source: Virtual I/O Device (VIRTIO) 1.2, section 5.1; Linux, tun.c.
package net
