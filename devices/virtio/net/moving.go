package net

import "bytes"

// Capture begins to read the tap in place of the driver, whose guest is about to be
// moved. Whenever there is more, or the barrier has come, more gets an element, if it has room.
// Recover and Resume end the capture. Precondition: the device is at rest, and nothing else captures.
func (d *Device) Capture(more chan<- struct{}) *Capture {
	d.mu.Lock()
	defer d.mu.Unlock()
	var sockets []*socket
	for _, p := range d.pairs[:d.inUse] {
		sockets = append(sockets, p.tap)
	}
	mac, _ := d.status.get()
	d.capture = newCapture(sockets, mac, d.started && !d.stale, more)
	for q, packets := range d.backlog.drain() { // which the driver had no room for yet
		for _, p := range packets {
			d.capture.adopt(q, p)
		}
	}
	d.capture.worker.Resume()
	return d.capture
}

// Recover ends a capture: the guest stays here. What was captured the driver gets when the device
// works again, before anything else. Precondition: the device is at rest.
func (d *Device) Recover() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.recover()
}

// Precondition: d.mu is held, and the pairs are at rest.
func (d *Device) recover() {
	if d.capture == nil {
		return
	}
	d.capture.worker.Stop()
	for _, f := range d.capture.Since(0).Frames {
		d.backlog.put(f.Queue, f.Packet) // whose bounds are those of a capture
	}
	d.capture.End()
	d.capture = nil
}

// Hold is for a guest that has come from another host and is about to go on here: what the
// tap has queued by now is thrown away, for it came there too, and what comes from here on waits until
// Release, behind what Deliver brings. Precondition: the device is at rest.
func (d *Device) Hold() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.started {
		d.discard()
		d.backlog.hold(true)
	}
}

// discard throws away what the tap has queued, if it is not for this driver.
// Precondition: d.mu is held, and the pairs are at rest.
func (d *Device) discard() {
	if d.stale {
		for _, p := range d.pairs[:d.inUse] {
			p.rx.discard()
		}
	}
	d.stale = false
}

// Release ends what Hold began. It may be called again.
func (d *Device) Release() {
	d.backlog.hold(false)
	for _, p := range d.pairs {
		p.tap.wake()
	}
}

// Deliver gives the driver a packet, header first, that came to a queue of the tap at the
// host where the guest was. The driver gets it before what is in this host's tap. A copy waits until the driver has
// room: up to 4096 of them, or 4 MiB. It is false if that is too many, if it is no packet, or if there is no driver.
func (d *Device) Deliver(queue int, packet []byte) bool {
	if len(packet) < headerSize+ethernetSize || len(packet) > maxPacket || !d.backlog.put(queue, bytes.Clone(packet)) {
		return false
	}
	for _, p := range d.pairs {
		p.tap.wake() // whose the packet is may just have changed
	}
	return true
}
