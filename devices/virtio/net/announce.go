package net

import (
	"encoding/binary"
	"fmt"
)

// announcementSize is that of the shortest Ethernet frame, without its checksum.
const announcementSize = 60

// MAC is the address that the guest has given the device, if not the one that it was made with.
func (d *Device) MAC() [6]byte {
	mac, _ := d.status.get()
	return mac
}

// Announce tells the network where the guest is now: it asks the driver to do
// so, if that knows how (VIRTIO_NET_F_GUEST_ANNOUNCE), and sends a frame in the
// guest's name from which bridges learn its address, and then further frames. It is for a guest that has
// arrived here and runs.
func (d *Device) Announce(frames [][]byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started && d.driver.Has(featureAnnounce|featureStatus|featureControl) {
		d.status.change(announce, 0, d.driver.Transport.ConfigChanged)
	}
	first := announcement(d.MAC())
	if _, err := vector(nil).add(first[:]).writev(d.pairs[0].tap.fd); err != nil {
		return fmt.Errorf("announce the guest's address: %w", err)
	}
	var header [headerSize]byte
	for _, f := range frames {
		if _, err := vector(nil).add(header[:]).add(f).writev(d.pairs[0].tap.fd); err != nil {
			return fmt.Errorf("announce the guest's addresses: %w", err)
		}
	}
	return nil
}

// announcement is a reverse ARP request (RFC 903) for and from mac, behind a
// header without offloads: one that no host takes for an address of IP.
func announcement(mac [6]byte) (b [headerSize + announcementSize]byte) {
	f := b[headerSize:]
	copy(f, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	copy(f[6:], mac[:])
	binary.BigEndian.PutUint16(f[12:], 0x8035) // RARP
	binary.BigEndian.PutUint16(f[14:], 1)      // of Ethernet
	binary.BigEndian.PutUint16(f[16:], 0x0800) // for IPv4
	f[18], f[19] = 6, 4                        // lengths of addresses
	binary.BigEndian.PutUint16(f[20:], 3)      // request reverse
	copy(f[22:], mac[:])                       // sender; its IP address is zero
	copy(f[32:], mac[:])                       // target; likewise
	return b
}
