package link

import (
	"errors"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/netmig"
)

// Port is a network device's connection to this host. Its methods are for one
// goroutine at a time.
type Port struct {
	Tap    string     // the name of the tap, or of the macvtap
	MTU    int        // bytes, of the guest's device
	Queues []*os.File // one for each pair of queues, with a header of 12 bytes before each packet

	plan   netmig.Plan
	index  int             // of the link
	bridge int             // index of the bridge; 0: none
	inside *netlink.Handle // where the link is, if that is no namespace of ours; nil: here
	raised bool            // it is down without us
	routed []netmig.Route  // that lead to it
	marked bool
}

// Adopt is the port of a link that another process opened, and has handed over:
// what that has done here is ours to undo.
func Adopt(a netmig.Attachment, nic netmig.NIC, name string) (*Port, error) {
	p := &Port{Tap: name, MTU: nic.MTU, plan: netmig.Plan{Name: name, Guest: nic.MAC, VLAN: a.VLAN, Bridge: a.Bridge}}
	if a.Parent != "" || name == "" { // a macvtap is where nobody finds it, and older versions say no name
		return p, nil
	}
	link, err := find(name)
	if err != nil || link == nil {
		return p, err
	}
	p.index = link.Attrs().Index
	if a.Tap == "" {
		p.plan.Make = netmig.MakeTap
	} else if master, err := masterOf(link); err != nil {
		return p, err
	} else if master != nil {
		p.plan.Bridge = master.Attrs().Name
	}
	if a.Routed {
		facts, err := Look(a, nic)
		if err != nil {
			return p, err
		}
		for _, w := range facts.Ways {
			p.plan.Routes = append(p.plan.Routes, netmig.Route{Addr: w.Addr, Uplink: w.Uplink})
		}
	}
	return p, p.findBridge()
}

// Bridged tells whether it is a port of a bridge.
func (p *Port) Bridged() bool { return p.bridge != 0 }

func (p *Port) findBridge() error {
	if p.plan.Bridge == "" {
		return nil
	}
	bridge, err := netlink.LinkByName(p.plan.Bridge)
	if err != nil {
		return failed(p.plan.Bridge, "be found", err)
	}
	p.bridge = bridge.Attrs().Index
	return nil
}

// Activate leads what is sent to the guest to it. It is called when the guest
// runs here, and may be called again.
func (p *Port) Activate() error {
	return errors.Join(p.learn(), p.lead())
}

// Retire leads nothing to the guest any more: it has left, and what was on its way
// has been forwarded. It may be called again.
func (p *Port) Retire() error {
	err := errors.Join(p.unlead(), p.unlearn())
	if p.plan.Make == netmig.MakeNothing || p.index == 0 {
		return err // a person's tap stays as it is
	}
	return errors.Join(err, ignoring(p.handle().LinkSetDown(p.link()), unix.ENODEV))
}

// Mark lets the guest's own target tell its tap from another's, if that should be on
// the same bridge; an empty move takes the mark away. A person's tap bears none.
func (p *Port) Mark(move string) error {
	if p.plan.Make != netmig.MakeTap || p.index == 0 || move == "" && !p.marked {
		return nil
	}
	alias := ""
	if p.marked = move != ""; p.marked {
		alias = netmig.Mark(move)
	}
	return ignoring(netlink.LinkSetAlias(p.link(), alias), unix.ENODEV)
}

// Close releases the link: one that was created goes as soon as nobody else has
// a descriptor of it, one that was taken over is as it was before. It may be
// called again.
func (p *Port) Close() error {
	err := errors.Join(closeAll(p.Queues), p.unlead())
	p.Queues = nil
	if p.raised {
		if e := ignoring(netlink.LinkSetDown(p.link()), unix.ENODEV); e != nil {
			err = errors.Join(err, failed(p.Tap, "be taken down again", e))
		}
		p.raised = false
	}
	if p.inside != nil {
		p.inside.Close()
		p.inside = nil
	}
	return err
}

// Leave closes our descriptors of a link that is another process's from here on:
// it stays as it is. Close then does nothing.
func (p *Port) Leave() {
	p.raised, p.routed = false, nil
	_ = p.Close() // what was only ever written to has nothing to say
}

// handle is netlink where the link is.
func (p *Port) handle() *netlink.Handle {
	if p.inside != nil {
		return p.inside
	}
	return &netlink.Handle{}
}

// link names the link to netlink.
func (p *Port) link() netlink.Link {
	return &netlink.GenericLink{LinkAttrs: netlink.LinkAttrs{Name: p.Tap, Index: p.index}}
}

// ignoring is err, unless it is of a kind that means nothing here.
func ignoring(err error, kinds ...error) error {
	for _, k := range kinds {
		if errors.Is(err, k) {
			return nil
		}
	}
	return err
}
