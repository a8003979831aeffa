package net

import "encoding/binary"

// The configuration space, section 5.1.4, begins with the address and the
// status: eight bytes that change together, kept as one little-endian number.
const (
	statusShift        = 48
	linkUp      uint64 = 1 << statusShift // VIRTIO_NET_S_LINK_UP
	announce    uint64 = 2 << statusShift // VIRTIO_NET_S_ANNOUNCE
	macMask     uint64 = 1<<statusShift - 1
	configSize         = 12
)

func macOf(config uint64) (mac [6]byte) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], config)
	return [6]byte(b[:6])
}

func configOf(mac [6]byte) uint64 {
	var b [8]byte
	copy(b[:], mac[:])
	return binary.LittleEndian.Uint64(b[:])
}

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(offset uint64, p []byte) {
	var c [configSize]byte
	binary.LittleEndian.PutUint64(c[:], d.config.Load())
	binary.LittleEndian.PutUint16(c[8:], uint16(len(d.pairs)))
	binary.LittleEndian.PutUint16(c[10:], uint16(d.mtu))
	clear(p)
	if offset < configSize {
		copy(p, c[offset:])
	}
}

// WriteConfig implements virtio.Device: nothing is writable. The address is set
// through the control queue.
func (*Device) WriteConfig(uint64, []byte) {}

// setMAC gives the device another address.
func (d *Device) setMAC(mac [6]byte) {
	for {
		c := d.config.Load()
		if d.config.CompareAndSwap(c, c&^macMask|configOf(mac)) {
			return
		}
	}
}
