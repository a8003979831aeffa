package net

import "fmt"

// MAC is the address that the driver has given the device, if not the one that it was made with.
func (d *Device) MAC() [6]byte {
	mac, _ := d.status.get()
	return mac
}

// Arrived asks the driver to announce the guest, if it knows how (VIRTIO_NET_F_GUEST_ANNOUNCE): it has come to
// another host. It stays asked until it says that it did, also if it moves on before.
func (d *Device) Arrived() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started && d.driver.Has(featureAnnounce|featureStatus|featureControl) {
		d.status.change(announce, 0, d.driver.Transport.ConfigChanged)
	}
}

// Announce tells the network where the guest is now, by frames in its name. It may be called again and again.
func (d *Device) Announce(frames [][]byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var header [headerSize]byte // without offloads
	for _, f := range frames {
		if _, err := vector(nil).add(header[:]).add(f).writev(d.pairs[0].tap.fd); err != nil {
			return fmt.Errorf("announce the guest's addresses: %w", err)
		}
	}
	return nil
}
