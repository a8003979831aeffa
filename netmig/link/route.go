package link

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/netmig"
)

// answerForOthers has the host answer at once for whatever address of IPv4 the
// guest looks for on a tap that we made: it is the guest's only neighbour (proxy_arp
// and proxy_delay of the kernel's ip-sysctl). What no host of IPv6 may do, for lack
// of such a switch, is not needed: the guest's router there is the tap's link-local
// address, which is the same on each host, and is in use without asking first.
func answerForOthers(name string) error {
	type knob struct {
		path, value string
		needed      bool
	}
	for _, k := range []knob{
		{"ipv4/conf/" + name + "/proxy_arp", "1", true},
		{"ipv4/neigh/" + name + "/proxy_delay", "0", true},
		{"ipv6/conf/" + name + "/dad_transmits", "0", false}, // the host may be without IPv6
	} {
		if err := os.WriteFile("/proc/sys/net/"+k.path, []byte(k.value), 0); err != nil && (k.needed || !errors.Is(err, os.ErrNotExist)) {
			return err
		}
	}
	return nil
}

// lead makes the routes to the guest, and answers for it on its uplinks.
func (p *Port) lead() error {
	for _, r := range p.plan.Routes {
		if slices.Contains(p.routed, r) {
			continue
		}
		p.routed = append(p.routed, r) // also what is done in part is undone
		if err := p.leadTo(r); err != nil {
			return failed(p.Tap, fmt.Sprintf("be routed to for %v", r.Addr), err)
		}
	}
	return nil
}

func (p *Port) leadTo(r netmig.Route) error {
	// Known already, so that the first packet does not wait.
	neighbour := &netlink.Neigh{LinkIndex: p.index, IP: r.Addr.AsSlice(), HardwareAddr: net.HardwareAddr(p.plan.Guest[:]), State: netlink.NUD_REACHABLE}
	if err := errors.Join(netlink.NeighSet(neighbour), netlink.RouteReplace(p.route(r.Addr))); err != nil {
		return err
	}
	if r.Uplink == "" {
		return nil
	}
	uplink, err := netlink.LinkByName(r.Uplink)
	if err != nil {
		return err
	}
	if err := netlink.NeighSet(proxy(uplink, r.Addr)); err != nil {
		return err
	}
	return announce(uplink, r.Addr)
}

// unlead undoes lead.
func (p *Port) unlead() error {
	var errs []error
	for _, r := range p.routed {
		if uplink, err := netlink.LinkByName(r.Uplink); r.Uplink != "" && err == nil {
			errs = append(errs, ignoring(netlink.NeighDel(proxy(uplink, r.Addr)), unix.ENOENT, unix.ENODEV))
		}
		if p.index > 0 { // else it has gone with the link
			errs = append(errs, ignoring(netlink.RouteDel(p.route(r.Addr)), unix.ESRCH, unix.ENODEV))
		}
	}
	p.routed = nil
	if err := errors.Join(errs...); err != nil {
		return failed(p.Tap, "be left by the routes to it", err)
	}
	return nil
}

// Routes are those that the plan has.
func (p *Port) Routes() []netmig.Route { return p.plan.Routes }

// Unroute removes what leads to a tap, for a process that was killed. What is not there
// is no error.
func Unroute(tap string, routes []netmig.Route) error {
	p := &Port{Tap: tap, routed: routes}
	link, err := find(tap)
	if err != nil {
		return err
	}
	if link != nil {
		p.index = link.Attrs().Index
	}
	return p.unlead()
}

// route leads to one address of the guest.
func (p *Port) route(a netip.Addr) *netlink.Route {
	r := &netlink.Route{LinkIndex: p.index, Dst: &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(a.BitLen(), a.BitLen())}}
	if a.Is4() {
		r.Scope = netlink.SCOPE_LINK
	}
	return r
}

// proxy has the host answer for an address on a link.
func proxy(uplink netlink.Link, a netip.Addr) *netlink.Neigh {
	return &netlink.Neigh{LinkIndex: uplink.Attrs().Index, Flags: netlink.NTF_PROXY, IP: a.AsSlice(), State: netlink.NUD_PERMANENT}
}

// announce tells the neighbours on a link that this host answers for an address now:
// they know another for it, which forwards nothing any more.
func announce(uplink netlink.Link, a netip.Addr) error {
	host := uplink.Attrs().HardwareAddr
	if len(host) != len(netmig.MAC{}) {
		return nil // no Ethernet: nobody asks there
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0) // it receives nothing
	if err != nil {
		return fmt.Errorf("announcing on %s: %w", uplink.Attrs().Name, err)
	}
	defer unix.Close(fd)
	to := &unix.SockaddrLinklayer{Ifindex: uplink.Attrs().Index}
	if err := unix.Sendto(fd, moved(netmig.MAC(host), a), 0, to); err != nil && !errors.Is(err, unix.ENETDOWN) {
		return fmt.Errorf("announcing on %s: %w", uplink.Attrs().Name, err)
	}
	return nil
}
