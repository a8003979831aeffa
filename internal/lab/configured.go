package lab

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// passing are the states of neighbours and of bridges' entries that the kernel
// has learnt and will forget by itself.
const passing = unix.NUD_INCOMPLETE | unix.NUD_REACHABLE | unix.NUD_STALE | unix.NUD_DELAY | unix.NUD_PROBE | unix.NUD_FAILED

// nobody is the address of loopback's neighbours.
var nobody [6]byte

// families that neighbours are of; bridges' entries are the first's.
var families = []int{unix.AF_BRIDGE, unix.AF_INET, unix.AF_INET6}

// Configured lists, in order, what is set up in the host's network: links,
// routes, neighbours, rules, queueing disciplines and filters. What the kernel
// learns or makes by itself is not among it.
func (h *Host) Configured() (all []string, err error) {
	links, err := h.nl.LinkList()
	if err != nil {
		return nil, fmt.Errorf("lab: list links: %w", err)
	}
	for _, l := range links {
		all = append(all, fmt.Sprintf("link %s (%s) up=%v", l.Attrs().Name, l.Type(), l.Attrs().Flags&unix.IFF_UP != 0))
		more, err := h.filters(l)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	routes, err := h.nl.RouteListFiltered(netlink.FAMILY_ALL, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		return nil, fmt.Errorf("lab: list routes: %w", err)
	}
	for _, r := range routes {
		if r.Protocol == unix.RTPROT_KERNEL || r.Protocol == unix.RTPROT_RA {
			continue // an address's, and not there at once
		}
		all = append(all, "route "+r.String())
	}
	for _, family := range families {
		neighbours, err := h.neighbours(family)
		if err != nil {
			return nil, err
		}
		all = append(all, neighbours...)
	}
	rules, err := h.nl.RuleList(netlink.FAMILY_ALL)
	if err != nil {
		return nil, fmt.Errorf("lab: list rules: %w", err)
	}
	for _, r := range rules {
		all = append(all, "rule "+r.String())
	}
	slices.Sort(all)
	return all, nil
}

// filters lists the queueing disciplines of a link, and the filters on them.
func (h *Host) filters(l netlink.Link) (all []string, err error) {
	disciplines, err := h.nl.QdiscList(l)
	if err != nil {
		return nil, fmt.Errorf("lab: list the queueing disciplines of %s: %w", l.Attrs().Name, err)
	}
	for _, q := range disciplines {
		all = append(all, fmt.Sprintf("qdisc %s on %s", q.Type(), l.Attrs().Name))
		filters, err := h.nl.FilterList(l, q.Attrs().Handle)
		if err != nil {
			return nil, fmt.Errorf("lab: list the filters on %s: %w", l.Attrs().Name, err)
		}
		for _, f := range filters {
			all = append(all, fmt.Sprintf("filter %s on %s", f.Type(), l.Attrs().Name))
		}
	}
	return all, nil
}

// neighbours lists those of a family that somebody has set up, and the proxies.
func (h *Host) neighbours(family int) (all []string, err error) {
	known, err := h.nl.NeighList(0, family)
	if err != nil {
		return nil, fmt.Errorf("lab: list neighbours: %w", err)
	}
	for _, n := range known {
		learnt := n.State&passing != 0 && n.Flags&unix.NTF_EXT_LEARNED == 0
		if learnt || n.IP.IsMulticast() || len(n.HardwareAddr) == 0 || n.HardwareAddr[0]&1 != 0 || bytes.Equal(n.HardwareAddr, nobody[:]) {
			continue // the last two: groups that links have joined, and loopback
		}
		all = append(all, fmt.Sprintf("neighbour %v %v on link %d, state %#x", n.IP, n.HardwareAddr, n.LinkIndex, n.State))
	}
	if family == unix.AF_BRIDGE {
		return all, nil
	}
	proxies, err := h.nl.NeighProxyList(0, family)
	if err != nil {
		return nil, fmt.Errorf("lab: list proxies: %w", err)
	}
	for _, n := range proxies {
		all = append(all, fmt.Sprintf("proxy for %v on link %d", n.IP, n.LinkIndex))
	}
	return all, nil
}
