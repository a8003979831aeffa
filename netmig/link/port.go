package link

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/netmig"
)

// newName is the pattern of the names of taps that are created on a bridge; the
// kernel chooses the number.
const newName = "ferry%d"

// standardMTU is that of Ethernet, in bytes.
const standardMTU = 1500

// noAddress is IN6_ADDR_GEN_MODE_NONE of linux/if_link.h.
const noAddress = 1

// Port is a network device's connection to this host.
type Port struct {
	Tap    string     // the tap's name
	MTU    int        // bytes, of the guest's device
	Queues []*os.File // one for each pair of queues: non-blocking, with a header of 12 bytes before each packet

	raised netlink.Link // the tap taken over that was down; nil: none
}

// Open connects a device as spec says: it takes over the tap or creates it, in
// the network namespace of the calling thread. With nic.MTU zero the link
// decides on the MTU, else it must carry that. Errors are *netmig.Error; after
// one, nothing is left behind.
func Open(spec netmig.Spec, nic netmig.NIC) (*Port, error) {
	if spec.Bridge != "" {
		return openOnBridge(spec.Bridge, nic)
	}
	link, err := find(spec.Tap)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return create(spec.Tap, nic, nil)
	}
	if err != nil {
		return nil, err
	}
	return takeOver(link, nic)
}

// Close releases the tap: one that was created goes as soon as nobody else has
// a descriptor of it, one that was taken over is as it was before. It may be
// called again.
func (p *Port) Close() error {
	err := closeAll(p.Queues)
	p.Queues = nil
	if p.raised != nil {
		if e := netlink.LinkSetDown(p.raised); e != nil && !errors.Is(e, unix.ENODEV) {
			err = errors.Join(err, failed(p.Tap, "be taken down again", e))
		}
		p.raised = nil
	}
	return err
}

// Leave closes our descriptors of a tap that is another process's from here on:
// it stays as it is. Close then does nothing.
func (p *Port) Leave() {
	p.raised = nil
	_ = p.Close() // what was only ever written to has nothing to say
}

// find looks a link up. An error is a netlink.LinkNotFoundError or an *netmig.Error.
func find(name string) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if err != nil && !errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, failed(name, "be looked at", err)
	}
	return link, err
}

func openOnBridge(name string, nic netmig.NIC) (*Port, error) {
	bridge, err := find(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, &netmig.Error{Code: netmig.CodeAbsent, Message: fmt.Sprintf("there is no bridge %s on this host", name),
			Remedy: fmt.Sprintf("create it (ip link add %s type bridge; ip link set %[1]s up), or name another; `ip link show type bridge` lists them", name)}
	}
	if err != nil {
		return nil, err
	}
	if bridge.Type() != "bridge" {
		return nil, &netmig.Error{Code: netmig.CodeMismatch, Message: fmt.Sprintf("%s is not a bridge but of type %s", name, bridge.Type()),
			Remedy: "name a bridge; `ip link show type bridge` lists them"}
	}
	if err := carries(bridge, nic); err != nil {
		return nil, err
	}
	return create(newName, nic, bridge)
}

// create makes a tap, as a port of a bridge if there is one.
func create(name string, nic netmig.NIC, bridge netlink.Link) (_ *Port, err error) {
	p := &Port{MTU: cmp.Or(nic.MTU, standardMTU)}
	linkMTU := p.MTU
	if bridge != nil {
		linkMTU = bridge.Attrs().MTU // a smaller one would make the bridge's smaller
		p.MTU = cmp.Or(nic.MTU, linkMTU)
	}
	if p.Queues, p.Tap, err = openQueues(name, nic.Queues, nic.Queues > 1, true); err != nil {
		return nil, err
	}
	if err := p.configure(linkMTU, nic, bridge); err != nil {
		p.Close() // and the tap goes
		return nil, err
	}
	return p, nil
}

func (p *Port) configure(linkMTU int, nic netmig.NIC, bridge netlink.Link) error {
	tap, err := netlink.LinkByName(p.Tap)
	if err != nil {
		return failed(p.Tap, "be found after it was created", err)
	}
	if err := netlink.LinkSetHardwareAddr(tap, net.HardwareAddr(address(nic.MAC))); err != nil {
		return failed(p.Tap, "get its address", err)
	}
	if err := netlink.LinkSetMTU(tap, linkMTU); err != nil {
		return failed(p.Tap, fmt.Sprintf("get an MTU of %d", linkMTU), err)
	}
	if bridge != nil {
		// The host itself has nothing to say on this port.
		err := netlink.LinkSetIP6AddrGenMode(tap, noAddress)
		if err != nil && !errors.Is(err, unix.EAFNOSUPPORT) {
			return failed(p.Tap, "be kept without an IPv6 address", err)
		}
		if err := netlink.LinkSetMaster(tap, bridge); err != nil {
			return failed(p.Tap, "become a port of "+bridge.Attrs().Name, err)
		}
	}
	if err := netlink.LinkSetUp(tap); err != nil {
		return failed(p.Tap, "be brought up", err)
	}
	return nil
}

// address is the tap's own, which must not be the guest's: high, since a bridge
// takes the lowest address of its ports for itself.
func address(guest netmig.MAC) []byte {
	if guest[0] == 0xfe {
		guest[5] ^= 1
	}
	guest[0] = 0xfe
	return guest[:]
}

// takeOver opens a tap that exists.
func takeOver(link netlink.Link, nic netmig.NIC) (_ *Port, err error) {
	name := link.Attrs().Name
	tap, ok := link.(*netlink.Tuntap)
	if !ok || tap.Mode != netlink.TUNTAP_MODE_TAP {
		return nil, &netmig.Error{Code: netmig.CodeMismatch, Message: fmt.Sprintf("%s is not a tap", name),
			Remedy: "name a tap, or a name that nothing has yet"}
	}
	multi := tap.Flags&netlink.TUNTAP_MULTI_QUEUE != 0
	if nic.Queues > 1 && !multi {
		return nil, &netmig.Error{Code: netmig.CodeMismatch, Message: fmt.Sprintf("tap %s has one queue; %d are wanted", name, nic.Queues),
			Remedy: fmt.Sprintf("use queues=1, or make the tap with more (ip tuntap add dev %s mode tap multi_queue)", name)}
	}
	if tap.Queues+tap.DisabledQueues > 0 { // of several queues the kernel would give some to each
		return nil, explain(name, unix.EBUSY)
	}
	if err := carries(tap, nic); err != nil {
		return nil, err
	}
	p := &Port{MTU: cmp.Or(nic.MTU, tap.MTU)}
	if p.Queues, p.Tap, err = openQueues(name, nic.Queues, multi, false); err != nil {
		return nil, err
	}
	if tap.Attrs().Flags&net.FlagUp == 0 {
		if err := netlink.LinkSetUp(tap); err != nil {
			p.Close()
			return nil, failed(name, "be brought up", err)
		}
		p.raised = tap
	}
	return p, nil
}

// carries tells whether a link that exists takes the packets of a guest that
// exists.
func carries(link netlink.Link, nic netmig.NIC) error {
	if a := link.Attrs(); nic.MTU > a.MTU {
		return &netmig.Error{Code: netmig.CodeMismatch, Message: fmt.Sprintf("%s has an MTU of %d; the guest's %s has one of %d", a.Name, a.MTU, nic.ID, nic.MTU),
			Remedy: fmt.Sprintf("ip link set %s mtu %d", a.Name, nic.MTU)}
	}
	return nil
}

// failed says what a link cannot do, and what to do about it.
func failed(name, what string, err error) error {
	e := &netmig.Error{Code: netmig.CodeHost, Message: fmt.Sprintf("%s cannot %s", name, what), Remedy: "look into the kernel's log", Err: err}
	if errors.Is(err, unix.EPERM) {
		e.Code, e.Remedy = netmig.CodePermission, "run vmm with the capability CAP_NET_ADMIN, or let root prepare a tap that is up, and give tap=NAME"
	}
	return e
}
