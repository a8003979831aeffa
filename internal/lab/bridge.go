package lab

import (
	"errors"
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
	ip := &netlink.Addr{IPNet: &net.IPNet{IP: h.Addr.AsSlice(), Mask: net.CIDRMask(24, 32)}}
	return errors.Join(
		annotate("take the address from eth0", h.nl.AddrDel(h.inside, ip)),
		annotate("put eth0 on the bridge", h.nl.LinkSetMaster(h.inside, bridge)),
		annotate("bring the bridge up", h.nl.LinkSetUp(bridge)),
		annotate("address the bridge", h.nl.AddrAdd(bridge, ip)),
	)
}
