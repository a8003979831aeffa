package net

import (
	"encoding/binary"
	"sync"
)

// Bits of the status, section 5.1.4.
const (
	linkUp   = 1
	announce = 2
)

// configSize is that of the configuration space, in bytes: address, status,
// pairs of queues, MTU.
const configSize = 12

// status is what of the configuration may change.
type status struct {
	mu   sync.Mutex // guards what follows; held by readers too, so that a change is told of before it is seen
	mac  [6]byte
	bits uint16
}

// get returns both.
func (s *status) get() (mac [6]byte, bits uint16) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mac, s.bits
}

// setMAC sets the address. Whoever may do that knows it: nobody is told.
func (s *status) setMAC(mac [6]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mac = mac
}

// change sets and clears bits, and tells if that changes any, if anybody is to
// be told.
func (s *status) change(set, clear uint16, tell func()) (changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	bits := s.bits&^clear | set
	changed = bits != s.bits
	if changed && tell != nil {
		tell()
	}
	s.bits = bits
	return changed
}

// ReadConfig implements virtio.Device.
func (d *Device) ReadConfig(offset uint64, p []byte) {
	var c [configSize]byte
	mac, bits := d.status.get()
	copy(c[:], mac[:])
	binary.LittleEndian.PutUint16(c[6:], bits)
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
