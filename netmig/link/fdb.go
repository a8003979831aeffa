package link

import (
	"errors"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/netmig"
)

// learn has the bridge send the guest's frames to its port at once, whatever it had
// learnt or been told: a bridge learns from the announcement, but not past an entry
// that does not move, and not at a port that does not learn. Routers of the FDB:
// linux/neighbour.h.
func (p *Port) learn() error {
	if p.bridge == 0 {
		return nil
	}
	err := netlink.NeighSet(p.entry())
	if errors.Is(err, unix.EPERM) && p.plan.Make == netmig.MakeNothing {
		return nil // root made the tap for a user who may not do this: the bridge learns from the announcement
	}
	if err != nil {
		return failed(p.plan.Bridge, "be told where the guest is", err)
	}
	return nil
}

// unlearn takes back what the bridge knows of the guest at this port, however it
// knows it.
func (p *Port) unlearn() error {
	if p.bridge == 0 {
		return nil
	}
	err := ignoring(netlink.NeighDel(p.entry()), unix.ENOENT, unix.ENODEV, unix.EINVAL)
	if errors.Is(err, unix.EPERM) && p.plan.Make == netmig.MakeNothing {
		return nil // likewise
	}
	if err != nil {
		return failed(p.plan.Bridge, "be told that the guest has left", err)
	}
	return nil
}

// entry is the bridge's of the guest's address: one that ages like what is learnt.
func (p *Port) entry() *netlink.Neigh {
	return &netlink.Neigh{
		LinkIndex: p.index, Family: unix.AF_BRIDGE, Flags: netlink.NTF_MASTER, State: netlink.NUD_REACHABLE,
		HardwareAddr: net.HardwareAddr(p.plan.Guest[:]), Vlan: p.plan.VLAN,
	}
}
