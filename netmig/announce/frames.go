package announce

import (
	"net/netip"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/frame"
)

// size is that of the shortest Ethernet frame, in bytes, without its checksum:
// only advertisements are longer.
const size = 60

// Frames announce a guest that has the device mac: first a RARP request from
// each link address, from which bridges learn, and which no host takes for an
// address of IP; then a gratuitous ARP request and a reply for each address of
// IPv4, since some hosts heed only one of them, and an unsolicited neighbour
// advertisement for each of IPv6. They have no header of virtio.
func Frames(mac netmig.MAC, addresses []Address) [][]byte {
	frames := [][]byte{rarp(Address{MAC: mac})}
	type link struct {
		mac  netmig.MAC
		vlan uint16
	}
	told := map[link]bool{{mac: mac}: true}
	for _, a := range addresses {
		if l := (link{a.MAC, a.VLAN}); !told[l] {
			told[l] = true
			frames = append(frames, rarp(a))
		}
	}
	for _, a := range addresses {
		switch {
		case a.IP.Is4():
			frames = append(frames, gratuitous(a, frame.ARPRequest, netmig.MAC{}), gratuitous(a, frame.ARPReply, a.MAC))
		case a.IP.Is6():
			frames = append(frames, advertisement(a))
		}
	}
	return frames
}

// rarp asks for the address of IP that the guest has, which nobody answers.
func rarp(a Address) []byte {
	none := netip.IPv4Unspecified()
	return padded(a, frame.TypeRARP, frame.ARP{Operation: frame.RARPRequest, SenderMAC: a.MAC, Sender: none, TargetMAC: a.MAC, Target: none})
}

// gratuitous is a message of ARP that says what it asks for.
func gratuitous(a Address, operation uint16, target netmig.MAC) []byte {
	return padded(a, frame.TypeARP, frame.ARP{Operation: operation, SenderMAC: a.MAC, Sender: a.IP, TargetMAC: target, Target: a.IP})
}

// padded is a frame to all, no shorter than may be.
func padded(a Address, kind uint16, p frame.ARP) []byte {
	b := p.Append(frame.AppendEthernet(make([]byte, 0, size), netmig.Broadcast, a.MAC, a.VLAN, kind))
	return append(b, make([]byte, max(0, size-len(b)))...)
}

// allNodes of a link of IPv6, and the Ethernet address of that group (RFC 2464, section 7).
var (
	allNodes    = netip.MustParseAddr("ff02::1")
	allNodesMAC = netmig.MAC{0x33, 0x33, 0, 0, 0, 1}
)

// advertisement is an unsolicited one, to all nodes of the link.
func advertisement(a Address) []byte {
	n := frame.ND{Type: frame.NeighborAdvertisement, Target: a.IP, Router: a.Router, Link: a.MAC}
	return n.Append(frame.AppendEthernet(nil, allNodesMAC, a.MAC, a.VLAN, frame.TypeIPv6), a.IP, allNodes)
}
