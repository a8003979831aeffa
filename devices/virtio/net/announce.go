package net

import "fmt"

// MAC is the address that the driver has given the device, if not the one that it was made with.
func (d *Device) MAC() [6]byte {
	mac, _ := d.status.get()
	return mac
}

// Announce tells the network where the guest is now: it asks the driver to do
// so, if that knows how (VIRTIO_NET_F_GUEST_ANNOUNCE), and sends these frames in the
// guest's name. It is for a guest that has arrived here.
func (d *Device) Announce(frames [][]byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started && d.driver.Has(featureAnnounce|featureStatus|featureControl) {
		d.status.change(announce, 0, d.driver.Transport.ConfigChanged)
	}
	var header [headerSize]byte // without offloads
	for _, f := range frames {
		if _, err := vector(nil).add(header[:]).add(f).writev(d.pairs[0].tap.fd); err != nil {
			return fmt.Errorf("announce the guest's addresses: %w", err)
		}
	}
	return nil
}
