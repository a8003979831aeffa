package link

import (
	"errors"
	"fmt"
	"net"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/netmig"
)

// noAddress is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const noAddress = 1

// Open connects a device as a says, in the network namespace of the calling
// thread: it looks, plans, and applies. move is the move that the guest comes by,
// empty if it comes by none. Errors are *netmig.Error; after one, nothing is left
// behind.
func Open(a netmig.Attachment, nic netmig.NIC, move string) (*Port, error) {
	facts, err := Look(a, nic)
	if err != nil {
		return nil, err
	}
	plan, err := netmig.NewPlan(a, nic, move, facts)
	if err != nil {
		return nil, err
	}
	return Apply(plan)
}

// Apply carries a plan out, up to what is done when the guest runs. Errors are
// *netmig.Error; after one, nothing is left behind.
func Apply(plan netmig.Plan) (_ *Port, err error) {
	p := &Port{plan: plan, MTU: plan.MTU}
	defer func() {
		if err != nil {
			p.Close() // and what was made goes
		}
	}()
	switch plan.Make {
	case netmig.MakeMacvtap:
		err = p.makeMacvtap()
	case netmig.MakeTap:
		if p.Queues, p.Tap, err = openQueues(plan.Name, plan.Queues, plan.Multi, true); err != nil {
			return nil, err
		}
		err = p.setUp()
	default:
		if p.Queues, p.Tap, err = openQueues(plan.Name, plan.Queues, plan.Multi, false); err != nil {
			return nil, err
		}
		err = p.raise()
	}
	if err != nil {
		return nil, err
	}
	return p, p.findBridge()
}

// setUp gives a tap that was made what the plan says, and brings it up.
func (p *Port) setUp() error {
	tap, err := p.lookUp()
	if err != nil {
		return err
	}
	c := p.plan.Created
	type step struct {
		what string
		do   func() error
	}
	steps := []step{
		{"get its address", func() error { return netlink.LinkSetHardwareAddr(tap, net.HardwareAddr(c.Address[:])) }},
		{fmt.Sprintf("get an MTU of %d", c.LinkMTU), func() error { return netlink.LinkSetMTU(tap, c.LinkMTU) }},
		{fmt.Sprintf("get a queue of %d packets", c.QueueLength), func() error { return netlink.LinkSetTxQLen(tap, c.QueueLength) }},
	}
	if c.Quiet {
		steps = append(steps, step{"be kept without an IPv6 address", func() error {
			if err := netlink.LinkSetIP6AddrGenMode(tap, noAddress); !errors.Is(err, unix.EAFNOSUPPORT) {
				return err
			}
			return nil
		}})
	}
	if p.plan.Bridge != "" {
		steps = append(steps, step{"become a port of " + p.plan.Bridge, func() error { return p.join(tap) }})
	}
	if p.plan.VLAN != 0 {
		steps = append(steps, step{fmt.Sprintf("be in VLAN %d", p.plan.VLAN), func() error { return confine(tap, uint16(p.plan.VLAN)) }})
	}
	if p.plan.Routes != nil {
		steps = append(steps, step{"answer for others", func() error { return answerForOthers(p.Tap) }})
	}
	steps = append(steps, step{"be brought up", func() error { return netlink.LinkSetUp(tap) }})
	for _, s := range steps {
		if err := s.do(); err != nil {
			return failed(p.Tap, s.what, err)
		}
	}
	return nil
}

// lookUp finds the link after it was opened.
func (p *Port) lookUp() (netlink.Link, error) {
	tap, err := netlink.LinkByName(p.Tap)
	if err != nil {
		return nil, failed(p.Tap, "be found after it was opened", err)
	}
	p.index = tap.Attrs().Index
	return tap, nil
}

func (p *Port) join(tap netlink.Link) error {
	bridge, err := netlink.LinkByName(p.plan.Bridge)
	if err != nil {
		return err
	}
	return netlink.LinkSetMaster(tap, bridge)
}

// confine has a port take and give the frames of one VLAN only, without tags.
func confine(port netlink.Link, vlan uint16) error {
	if err := netlink.BridgeVlanAdd(port, vlan, true, true, false, false); err != nil {
		return err
	}
	all, err := netlink.BridgeVlanList()
	if err != nil {
		return err
	}
	for _, v := range all[int32(port.Attrs().Index)] {
		if v.Vid == vlan {
			continue
		}
		if err := netlink.BridgeVlanDel(port, v.Vid, false, false, false, false); err != nil {
			return err
		}
	}
	return nil
}

// raise brings up a tap that was there.
func (p *Port) raise() error {
	tap, err := p.lookUp()
	if err != nil || !p.plan.Raise {
		return err
	}
	if err := netlink.LinkSetUp(tap); err != nil {
		return failed(p.Tap, "be brought up", err)
	}
	p.raised = true
	return nil
}
