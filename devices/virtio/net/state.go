package net

import "fmt"

// Version is that of State's encoding.
const Version = 1

// State is the device, apart from its queues and its tap.
type State struct {
	MAC         [6]byte
	LinkUp      bool
	Announce    bool   // the driver is asked to announce itself, and has not said that it did
	Pairs       int    // of queues in use
	OffloadsSet bool   // the driver changed its mind about offloads:
	Offloads    uint64 // feature bits of those in use
	// Held are packets, with headers, that were taken from the tap but need more
	// buffers than the driver has made available: by pair, as far as there are any.
	Held [][]byte
}

// check tells whether a device with so many pairs of queues can go on from here.
func (s *State) check(pairs int) error {
	if s.Pairs < 1 || s.Pairs > pairs {
		return fmt.Errorf("network device: %d pairs of queues in use of %d", s.Pairs, pairs)
	}
	if s.Offloads&^guestOffloads != 0 {
		return fmt.Errorf("network device: offloads %#x", s.Offloads)
	}
	if len(s.Held) > pairs {
		return fmt.Errorf("network device: packets held for %d pairs of queues of %d", len(s.Held), pairs)
	}
	for _, p := range s.Held {
		if len(p) != 0 && (len(p) < headerSize || len(p) > maxPacket) {
			return fmt.Errorf("network device: a packet of %d bytes is held", len(p))
		}
	}
	return nil
}

// Save is the state. Precondition: the device is at rest.
func (d *Device) Save() State {
	d.mu.Lock()
	defer d.mu.Unlock()
	mac, bits := d.status.get()
	s := State{
		MAC: mac, LinkUp: bits&linkUp != 0, Announce: bits&announce != 0,
		Pairs: d.inUse, OffloadsSet: d.offloadsSet, Offloads: d.offloads,
	}
	for _, p := range d.pairs {
		s.Held = append(s.Held, append([]byte(nil), p.rx.spill[:p.rx.held]...))
	}
	return s
}
