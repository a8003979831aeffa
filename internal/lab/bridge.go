package lab

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
)

// BridgeName is the bridge that Bridge makes.
const BridgeName = "br0"

// Bridge puts the host's interface on a bridge inside the host, which takes its
// address over: what else is put on that bridge reaches the other hosts.
func (h *Host) Bridge() error {
	bridge := &netlink.Bridge{LinkAttrs: attrs(BridgeName)}
	if err := h.nl.LinkAdd(bridge); err != nil {
		return annotate("add its bridge", err)
	}
	var taken error
	for _, a := range h.addresses() {
		taken = errors.Join(taken, h.nl.AddrDel(h.inside, a))
	}
	return errors.Join(
		annotate("take the addresses from eth0", taken),
		annotate("put eth0 on the bridge", h.nl.LinkSetMaster(h.inside, bridge)),
		annotate("bring the bridge up", h.nl.LinkSetUp(bridge)),
		annotate("address the bridge", h.address(bridge)),
	)
}

// Tap makes a tap and puts it on the host's bridge. It stays until the host is
// closed, for a process to take over.
// Precondition: Bridge.
func (h *Host) Tap(name string) error {
	bridge, err := h.nl.LinkByName(BridgeName)
	if err != nil {
		return fmt.Errorf("lab: find the bridge of the tap: %w", err)
	}
	tap := &netlink.Tuntap{
		LinkAttrs: attrs(name), Mode: netlink.TUNTAP_MODE_TAP,
		Flags: netlink.TUNTAP_DEFAULTS | netlink.TUNTAP_VNET_HDR,
	}
	tap.MasterIndex = bridge.Attrs().Index
	return h.Do(func() error { // the tap driver looks at the thread's namespace
		return errors.Join(annotate("lab: make the tap", netlink.LinkAdd(tap)), annotate("lab: bring the tap up", h.nl.LinkSetUp(tap)))
	})
}

// BridgeMAC is the address of the host itself on its bridge.
// Precondition: Bridge.
func (h *Host) BridgeMAC() (net.HardwareAddr, error) {
	bridge, err := h.nl.LinkByName(BridgeName)
	if err != nil {
		return nil, fmt.Errorf("lab: find the bridge: %w", err)
	}
	return bridge.Attrs().HardwareAddr, nil
}
