package link

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/netmig"
)

// Look gathers what the host says of an attachment, in the network namespace of
// the calling thread. It changes nothing. Errors are *netmig.Error.
func Look(a netmig.Attachment, nic netmig.NIC) (f netmig.Facts, err error) {
	link, err := find(a.Tap + a.Bridge + a.Parent) // one of them is named
	if err != nil {
		return f, err
	}
	bridge := link
	if link != nil {
		f.Link = describe(link)
		if f.Link.Kind != netmig.KindBridge {
			if bridge, err = masterOf(link); err != nil {
				return f, err
			}
		}
	}
	if b, ok := bridge.(*netlink.Bridge); ok {
		f.Bridge = describe(b)
		f.Filters = b.VlanFiltering != nil && *b.VlanFiltering
		if f.Stations, err = stations(b, link, nic.MAC); err != nil {
			return f, err
		}
	}
	if a.Routed {
		for _, addr := range nic.IPs() {
			w, err := way(addr)
			if err != nil {
				return f, err
			}
			f.Ways = append(f.Ways, w)
		}
	}
	return f, nil
}

// find looks a link up; nil if there is none of that name.
func find(name string) (netlink.Link, error) {
	link, err := netlink.LinkByName(name)
	if errors.As(err, new(netlink.LinkNotFoundError)) {
		return nil, nil
	}
	if err != nil {
		return nil, failed(name, "be looked at", err)
	}
	return link, nil
}

// masterOf is the link whose port another is; nil if it is nobody's.
func masterOf(link netlink.Link) (netlink.Link, error) {
	index := link.Attrs().MasterIndex
	if index == 0 {
		return nil, nil
	}
	master, err := netlink.LinkByIndex(index)
	if err != nil {
		return nil, failed(link.Attrs().Name, "be looked at with what it is a port of", err)
	}
	return master, nil
}

func describe(link netlink.Link) *netmig.Link {
	a := link.Attrs()
	l := &netmig.Link{Name: a.Name, Kind: netmig.LinkKind(link.Type()), MTU: a.MTU, Up: a.Flags&net.FlagUp != 0}
	copy(l.MAC[:], a.HardwareAddr)
	if tap, ok := asTap(link); ok {
		l.Kind, l.MultiQueue, l.Taken = netmig.KindTap, tap.Flags&netlink.TUNTAP_MULTI_QUEUE != 0, tap.Queues+tap.DisabledQueues > 0
	}
	return l
}

func asTap(link netlink.Link) (*netlink.Tuntap, bool) {
	tap, ok := link.(*netlink.Tuntap)
	return tap, ok && tap.Mode == netlink.TUNTAP_MODE_TAP
}

// stations tells where a bridge has an address, but for one link.
func stations(bridge *netlink.Bridge, except netlink.Link, mac netmig.MAC) ([]netmig.Station, error) {
	entries, err := netlink.NeighList(0, unix.AF_BRIDGE)
	if err != nil {
		return nil, failed(bridge.Name, "be asked for what it has learnt", err)
	}
	var found []netmig.Station
	for _, e := range entries {
		own := except.Attrs().Index == e.LinkIndex && e.State&netlink.NUD_PERMANENT == 0
		if !bytes.Equal(e.HardwareAddr, mac[:]) || e.MasterIndex != bridge.Index || own {
			continue
		}
		port, err := netlink.LinkByIndex(e.LinkIndex)
		if err != nil {
			continue // it has gone meanwhile
		}
		_, tap := asTap(port)
		found = append(found, netmig.Station{Port: port.Attrs().Name, Tap: tap, Host: e.State&netlink.NUD_PERMANENT != 0, Alias: port.Attrs().Alias})
	}
	return found, nil
}

// way tells how the host reaches an address.
func way(addr netip.Addr) (netmig.Way, error) {
	w := netmig.Way{Addr: addr}
	forwards := "/proc/sys/net/ipv4/ip_forward"
	if addr.Is6() {
		forwards = "/proc/sys/net/ipv6/conf/all/forwarding"
	}
	var err error
	if w.Forwards, err = enabled(forwards); err != nil {
		return w, err
	}
	routes, err := netlink.RouteGet(addr.AsSlice())
	if errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH) {
		return w, nil
	}
	if err != nil {
		return w, failed(addr.String(), "be looked up in the routes", err)
	}
	for _, r := range routes {
		if w.Local = r.Type == unix.RTN_LOCAL; w.Local {
			return w, nil
		}
		out, err := netlink.LinkByIndex(r.LinkIndex)
		if err != nil || r.Gw != nil || r.Via != nil {
			continue
		}
		if _, tap := asTap(out); tap { // it is routed to a guest already
			continue
		}
		w.Uplink = out.Attrs().Name
		if addr.Is6() {
			w.Proxies, err = enabled("/proc/sys/net/ipv6/conf/" + w.Uplink + "/proxy_ndp")
		}
		return w, err
	}
	return w, nil
}

// enabled reads a switch of the kernel; one that is not there is off.
func enabled(path string) (bool, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, &netmig.Error{Code: netmig.CodeHost, Message: fmt.Sprintf("%s cannot be read", path), Remedy: "mount /proc", Err: err}
	}
	return strings.TrimSpace(string(b)) != "0", nil
}

// failed says what a link cannot do, and what to do about it.
func failed(name, what string, err error) error {
	e := &netmig.Error{Code: netmig.CodeHost, Message: fmt.Sprintf("%s cannot %s", name, what), Remedy: "look into the kernel's log", Err: err}
	if errors.Is(err, unix.EPERM) {
		e.Code, e.Remedy = netmig.CodePermission, "run vmm with the capability CAP_NET_ADMIN, or let root prepare a tap that is up, and give tap=NAME"
	}
	return e
}
