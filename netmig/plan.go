package netmig

import (
	"cmp"
	"fmt"
	"net/netip"
	"strings"
)

// Make is what a plan does to have a link.
type Make string

// What a plan does.
const (
	MakeNothing Make = ""        // the tap is there
	MakeTap     Make = "tap"     // that goes with its last descriptor
	MakeMacvtap Make = "macvtap" // likewise
)

// NewName is the pattern of the names of taps that are created on a bridge; the
// kernel chooses the number.
const NewName = "ferry%d"

// QueueLength is how many packets a tap that is created keeps for a guest that
// does not read, as during the switch of a move.
const QueueLength = 4096

// standardMTU is that of Ethernet, in bytes.
const standardMTU = 1500

// Plan is what a host does to connect a device. It is data: NewPlan makes it,
// link.Apply carries it out.
type Plan struct {
	Make    Make
	Name    string // of the link that is opened; NewName where the kernel chooses
	Queues  int
	Multi   bool // open the link as one of several queues
	MTU     int  // bytes, of the guest's device
	Guest   MAC
	Raise   bool   // bring up the tap that is there, and down again in the end
	Bridge  string // the bridge that sends the guest its frames; empty: none
	VLAN    int    // of the port, untagged; 0: as the bridge has it
	Routes  []Route
	Created // of a link that is made
}

// Created is how a link that is made is set up.
type Created struct {
	LinkMTU     int    // bytes
	Address     MAC    // of the link itself
	QueueLength int    // packets
	Parent      string // of a macvtap
	Mode        string // of a macvtap
	Quiet       bool   // the host has nothing to say on it: no address of IPv6
}

// Route leads to an address of the guest from its activation on.
type Route struct {
	Addr   netip.Addr `json:"addr"`
	Uplink string     `json:"uplink,omitempty"` // the link where the host answers for it; empty: none
}

// Mark is the alias of a guest's taps during a move from this host, by which a
// target on the same bridge tells them from somebody else's.
func Mark(move string) string { return "ferry move " + move }

// NewPlan says how to connect a device to a host of which facts are known. move is
// the move that the guest comes by, empty if it comes by none. Errors are *Error:
// what cannot be is refused here, before anything is done.
func NewPlan(a Attachment, n NIC, move string, f Facts) (Plan, error) {
	p := Plan{Queues: n.Queues, Multi: n.Queues > 1, MTU: n.MTU, Guest: n.MAC, VLAN: a.VLAN}
	if err := alone(n, move, f.Stations); err != nil {
		return Plan{}, err
	}
	var err error
	switch {
	case a.Bridge != "":
		err = p.onBridge(a, n, f)
	case a.Parent != "":
		err = p.onParent(a, n, f)
	case f.Link == nil:
		p.Make, p.Name, p.MTU = MakeTap, a.Tap, cmp.Or(n.MTU, standardMTU)
		p.Created = Created{LinkMTU: p.MTU, Address: TapAddress(n.MAC), QueueLength: QueueLength}
	default:
		err = p.takeOver(n, f)
	}
	if err == nil && a.Routed {
		err = p.route(f)
	}
	if err != nil {
		return Plan{}, err
	}
	return p, nil
}

// alone refuses a guest whose address somebody else on this host has.
func alone(n NIC, move string, stations []Station) error {
	for _, s := range stations {
		switch {
		case s.Host:
			return &Error{Code: CodeTaken, Message: fmt.Sprintf("the guest's address %v is that of link %s", n.MAC, s.Port),
				Remedy: fmt.Sprintf("give the link another (ip link set %s address …), or the guest another mac=", s.Port)}
		case s.Tap && (move == "" || s.Alias != Mark(move)):
			return &Error{Code: CodeTaken, Message: fmt.Sprintf("the guest's address %v is in use at tap %s of this host", n.MAC, s.Port),
				Remedy: "end the guest that has it; a copy of a guest needs a mac= of its own"}
		}
	}
	return nil
}

func (p *Plan) onBridge(a Attachment, n NIC, f Facts) error {
	switch {
	case f.Link == nil:
		return &Error{Code: CodeAbsent, Message: fmt.Sprintf("there is no bridge %s on this host", a.Bridge),
			Remedy: fmt.Sprintf("create it (ip link add %s type bridge; ip link set %[1]s up), or name another; `ip link show type bridge` lists them", a.Bridge)}
	case f.Link.Kind != KindBridge:
		return &Error{Code: CodeMismatch, Message: fmt.Sprintf("%s is not a bridge but of type %s", a.Bridge, f.Link.Kind),
			Remedy: "name a bridge; `ip link show type bridge` lists them"}
	case a.VLAN != 0 && !f.Filters:
		return &Error{Code: CodeMismatch, Message: fmt.Sprintf("bridge %s does not filter VLANs, so its port cannot be in VLAN %d", a.Bridge, a.VLAN),
			Remedy: fmt.Sprintf("let it (ip link set %s type bridge vlan_filtering 1), or leave vlan= out", a.Bridge)}
	}
	if err := f.Link.carries(n); err != nil {
		return err
	}
	p.Make, p.Name, p.Bridge, p.MTU = MakeTap, NewName, a.Bridge, cmp.Or(n.MTU, f.Link.MTU)
	// A smaller MTU would make the bridge's smaller.
	p.Created = Created{LinkMTU: f.Link.MTU, Address: TapAddress(n.MAC), QueueLength: QueueLength, Quiet: true}
	return nil
}

func (p *Plan) onParent(a Attachment, n NIC, f Facts) error {
	if f.Link == nil {
		return &Error{Code: CodeAbsent, Message: fmt.Sprintf("there is no link %s on this host", a.Parent), Remedy: "name another; `ip link` lists them"}
	}
	if err := f.Link.carries(n); err != nil {
		return err
	}
	if f.Link.MAC == n.MAC && a.Mode != "passthru" {
		return alone(n, "", []Station{{Port: a.Parent, Host: true}})
	}
	p.Make, p.Name, p.MTU, p.Multi = MakeMacvtap, NewName, cmp.Or(n.MTU, f.Link.MTU), true
	p.Created = Created{LinkMTU: f.Link.MTU, Address: n.MAC, QueueLength: QueueLength, Parent: a.Parent, Mode: a.Mode, Quiet: true}
	return nil
}

func (p *Plan) takeOver(n NIC, f Facts) error {
	l := f.Link
	switch {
	case l.Kind != KindTap:
		return &Error{Code: CodeMismatch, Message: fmt.Sprintf("%s is not a tap", l.Name), Remedy: "name a tap, or a name that nothing has yet"}
	case n.Queues > 1 && !l.MultiQueue:
		return &Error{Code: CodeMismatch, Message: fmt.Sprintf("tap %s has one queue; %d are wanted", l.Name, n.Queues),
			Remedy: fmt.Sprintf("use queues=1, or make the tap with more (ip tuntap add dev %s mode tap multi_queue)", l.Name)}
	case l.Taken: // of several queues the kernel would give some to each
		return &Error{Code: CodeBusy, Message: fmt.Sprintf("tap %s is in use", l.Name), Remedy: "end the process that has it, or use another tap"}
	}
	if err := l.carries(n); err != nil {
		return err
	}
	p.Name, p.Multi, p.MTU, p.Raise = l.Name, l.MultiQueue, cmp.Or(n.MTU, l.MTU), !l.Up
	if f.Bridge != nil {
		p.Bridge = f.Bridge.Name
	}
	return nil
}

// route plans the routes to the guest's addresses.
func (p *Plan) route(f Facts) error {
	if p.Bridge != "" {
		return &Error{Code: CodeMismatch, Message: fmt.Sprintf("tap %s is a port of bridge %s, so the host cannot route to it", p.Name, p.Bridge), Remedy: "take it off the bridge, or leave route out"}
	}
	if len(f.Ways) == 0 {
		return usage("give ip=, the guest's address", "route needs to know where to")
	}
	for _, w := range f.Ways {
		switch {
		case w.Local:
			return &Error{Code: CodeTaken, Message: fmt.Sprintf("the guest's address %v is this host's own", w.Addr), Remedy: "give the guest another ip="}
		case !w.Forwards:
			knob := "net.ipv4.ip_forward=1"
			if w.Addr.Is6() {
				knob = "net.ipv6.conf.all.forwarding=1"
			}
			return &Error{Code: CodeMismatch, Message: fmt.Sprintf("this host does not forward packets to %v", w.Addr), Remedy: "sysctl -w " + knob}
		case w.Uplink != "" && w.Addr.Is6() && !w.Proxies:
			return &Error{Code: CodeMismatch, Message: fmt.Sprintf("this host does not answer for %v on %s", w.Addr, w.Uplink),
				Remedy: "sysctl -w net.ipv6.conf." + strings.ReplaceAll(w.Uplink, ".", "/") + ".proxy_ndp=1"}
		}
		p.Routes = append(p.Routes, Route{Addr: w.Addr, Uplink: w.Uplink})
	}
	return nil
}

// carries tells whether a link takes the packets of a guest that exists.
func (l *Link) carries(n NIC) error {
	if n.MTU > l.MTU {
		return &Error{Code: CodeMismatch, Message: fmt.Sprintf("%s has an MTU of %d; the guest's %s has one of %d", l.Name, l.MTU, n.ID, n.MTU),
			Remedy: fmt.Sprintf("ip link set %s mtu %d", l.Name, n.MTU)}
	}
	return nil
}

// TapAddress is the address of a tap that is made for a guest's device: not the guest's, and the same on
// each host. It is the highest that can be, since a bridge takes the lowest address of its ports for itself: one that
// changes is not found by its neighbours for seconds, and one of 64 random addresses of other ports begins with 0xfe, too.
func TapAddress(guest MAC) MAC {
	own := MAC{0xfe, 0xff, guest[1] ^ guest[2], guest[3], guest[4], guest[5]}
	if own == guest {
		own[5] ^= 1
	}
	return own
}
