package netmig

import (
	"fmt"
	"net/netip"
)

// Bounds of the largest packet that a device carries, in bytes without the
// Ethernet header: what IPv4 wants, and what a tap can.
const (
	MinMTU = 68
	MaxMTU = 65521
)

// NIC is a network device of a guest: what is the same on every host that the
// guest comes to. It is part of the plan.
type NIC struct {
	ID      string
	MAC     MAC
	IP      netip.Addr   // of the guest, as it was given; zero: not known
	MoreIPs []netip.Addr `cbor:",omitempty"` // beside IP
	Queues  int          // pairs, 1 to MaxQueues
	MTU     int          // bytes; 0: not known yet, the host's link decides
	Policy
}

// IPs are the addresses that were given for the guest: at most MaxIPs.
func (n NIC) IPs() []netip.Addr {
	if !n.IP.IsValid() {
		return nil
	}
	return append([]netip.Addr{n.IP}, n.MoreIPs...)
}

// Check tells whether a device that a peer or a file describes can be.
func (n NIC) Check() error {
	if err := checkID(n.ID); err != nil {
		return err
	}
	if err := n.MAC.Check(); err != nil {
		return fmt.Errorf("network device %s: MAC %v: %w", n.ID, n.MAC, err)
	}
	if err := checkQueues(n.Queues); err != nil {
		return fmt.Errorf("network device %s: %d queues: %w", n.ID, n.Queues, err)
	}
	if n.MTU != 0 && (n.MTU < MinMTU || n.MTU > MaxMTU) {
		return fmt.Errorf("network device %s: an MTU of %d is not between %d and %d", n.ID, n.MTU, MinMTU, MaxMTU)
	}
	if len(n.MoreIPs) > 0 && !n.IP.IsValid() {
		return fmt.Errorf("network device %s: %d further addresses without a first", n.ID, len(n.MoreIPs))
	}
	if err := checkIPs(n.IPs()); err != nil {
		return fmt.Errorf("network device %s: %w", n.ID, err)
	}
	if err := n.Policy.check(); err != nil {
		return fmt.Errorf("network device %s: %w", n.ID, err)
	}
	return nil
}
