package snoop

import (
	"time"

	"github.com/ferryvmm/ferry/netmig/announce"
	"github.com/ferryvmm/ferry/netmig/frame"
)

// Sent learns from a frame that the guest sends.
func (t *Table) Sent(b []byte) {
	e, payload, ok := frame.ParseEthernet(b)
	if !ok || e.Tags > 1 {
		return
	}
	switch e.Type {
	case frame.TypeARP:
		if a, ok := frame.ParseARP(payload); ok && a.SenderMAC == e.Source {
			t.learn(claim{Address: announce.Address{MAC: e.Source, VLAN: e.VLAN, IP: a.Sender}, life: lifetime})
		}
	case frame.TypeIPv4:
		if p, payload, ok := frame.ParseIPv4(payload); ok && p.Protocol == frame.ProtocolUDP && !p.Fragment {
			t.asked4(e, payload)
		}
	case frame.TypeIPv6:
		p, payload, ok := frame.ParseIPv6(payload)
		switch {
		case !ok || p.Fragment:
		case p.Protocol == frame.ProtocolUDP:
			t.asked6(e, payload)
		default:
			if n, ok := frame.ParseND(p, payload); ok {
				t.discovered(e, p, n)
			}
		}
	}
}

// discovered learns from a message of neighbour discovery by the guest.
func (t *Table) discovered(e frame.Ethernet, p frame.IP, n frame.ND) {
	if n.Differs || n.Link != (announce.Address{}).MAC && n.Link != e.Source {
		return
	}
	c := claim{Address: announce.Address{MAC: e.Source, VLAN: e.VLAN, IP: p.Source, Router: n.Router}, life: lifetime}
	switch n.Type {
	case frame.NeighborSolicitation:
		if p.Source.IsUnspecified() { // it asks whether anybody has the address
			c.IP, c.tentative = n.Target, true
		}
	case frame.NeighborAdvertisement:
		c.IP, c.router = n.Target, true
	case frame.RouterAdvertisement:
		c.router = true
	case frame.RouterSolicitation:
	default:
		return
	}
	t.learn(c)
}

// Received learns from a frame that the guest gets: what DHCP gives it, and
// which address it does not get, because another has it.
func (t *Table) Received(b []byte) {
	e, payload, ok := frame.ParseEthernet(b)
	if !ok || e.Tags > 1 {
		return
	}
	switch e.Type {
	case frame.TypeIPv4:
		if p, payload, ok := frame.ParseIPv4(payload); ok && p.Protocol == frame.ProtocolUDP && !p.Fragment {
			t.answered4(payload)
		}
	case frame.TypeIPv6:
		p, payload, ok := frame.ParseIPv6(payload)
		switch {
		case !ok || p.Fragment:
		case p.Protocol == frame.ProtocolUDP:
			t.answered6(payload)
		default:
			n, ok := frame.ParseND(p, payload)
			if ok && (n.Type == frame.NeighborAdvertisement || n.Type == frame.NeighborSolicitation && p.Source.IsUnspecified()) {
				t.contest(n.Target, e.Source)
			}
		}
	}
}

// leased is how long a lease of so many seconds is believed.
func leased(seconds uint32) time.Duration {
	return min(time.Duration(seconds)*time.Second, maxLease)
}
