package police

import (
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/frame"
)

// Guard lets only frames out of a guest that name the guest's own addresses as
// those of their sender: the device's MAC, and, where addresses were given for
// the guest, those, and the address of the link that IPv6 makes of the MAC (RFC
// 4291, appendix A). All may be called by several goroutines at once.
type Guard struct {
	mac     netmig.MAC
	ips     []netip.Addr // none: any
	refused atomic.Uint64
}

// NewGuard guards a device. It is nil if its policy does not want that; a nil
// Guard lets all pass.
func NewGuard(n netmig.NIC) *Guard {
	if !n.AntiSpoof {
		return nil
	}
	g := &Guard{mac: n.MAC, ips: n.IPs()}
	if g.ips != nil {
		g.ips = append(g.ips, n.MAC.LinkLocal())
	}
	return g
}

// Pass tells whether a frame that the guest sends may pass, and counts it. What
// cannot be read to the end of its headers may not.
func (g *Guard) Pass(b []byte) bool {
	if g == nil || g.passes(b) {
		return true
	}
	g.refused.Add(1)
	return false
}

func (g *Guard) passes(b []byte) bool {
	e, payload, ok := frame.ParseEthernet(b)
	if !ok || e.Source != g.mac {
		return false
	}
	switch e.Type {
	case frame.TypeARP, frame.TypeRARP:
		a, ok := frame.ParseARP(payload)
		return ok && a.SenderMAC == g.mac && (a.Sender.IsUnspecified() || g.Owns(a.Sender))
	case frame.TypeIPv4:
		p, _, ok := frame.ParseIPv4(payload)
		return ok && g.sends(p)
	case frame.TypeIPv6:
		p, payload, ok := frame.ParseIPv6(payload)
		return ok && g.sends(p) && g.discovers(p, payload)
	case frame.TypeRaw: // of no use, but to hide an address
		return false
	}
	return true
}

// Owns tells whether the guest may have an address.
func (g *Guard) Owns(a netip.Addr) bool {
	return g == nil || g.ips == nil || slices.Contains(g.ips, a)
}

// broadcast4 is that of every link of IPv4.
var broadcast4 = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// sends judges who sends a packet: nobody is it that looks for an address.
func (g *Guard) sends(p frame.IP) bool {
	if p.Source.IsUnspecified() {
		return p.Destination.IsMulticast() || p.Destination == broadcast4
	}
	return g.Owns(p.Source)
}

// discovers judges what a packet says of neighbours, if anything: nothing in
// fragments, nor the address of another as its own.
func (g *Guard) discovers(p frame.IP, payload []byte) bool {
	if p.Protocol != frame.ProtocolICMPv6 || p.Later {
		return true
	}
	if !frame.IsND(p, payload) {
		return len(payload) > 0
	}
	n, ok := frame.ParseND(p, payload)
	if !ok || n.Differs || n.Link != (netmig.MAC{}) && n.Link != g.mac {
		return false
	}
	claims := n.Type == frame.NeighborAdvertisement || n.Type == frame.NeighborSolicitation && p.Source.IsUnspecified()
	return !claims || g.Owns(n.Target)
}

// Refused counts the frames that did not pass.
func (g *Guard) Refused() uint64 {
	if g == nil {
		return 0
	}
	return g.refused.Load()
}
