package link

import (
	"encoding/binary"
	"net/netip"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/frame"
)

// Sizes in bytes of frames, without vnet header and checksum.
const (
	arpSize  = frame.HeaderSize + 28 // RFC 826
	ip6Size  = frame.HeaderSize + 40 // RFC 8200
	ndFields = ip6Size + 8           // the target of a message of RFC 4861
	ndSize   = ip6Size + 24          // without options
)

// allNodes of a link (RFC 4291, 2.7.1).
var allNodes = netip.MustParseAddr("ff02::1")

// request is a packet of ARP to all, in which the sender says of itself that it has an
// address, or 0.0.0.0 for none.
func request(from netmig.MAC, has, wants netip.Addr) []byte {
	a := frame.ARP{Operation: frame.ARPRequest, SenderMAC: from, Sender: has, Target: wants}
	return a.Append(frame.AppendEthernet(nil, netmig.Broadcast, from, 0, frame.TypeARP))
}

// discovery is a message of neighbour discovery to a group.
func discovery(n frame.ND, from netmig.MAC, source, to netip.Addr) []byte {
	return n.Append(frame.AppendEthernet(nil, group(to), from, 0, frame.TypeIPv6), source, to)
}

// moved tells the neighbours that an address is reached by way of a host.
func moved(host netmig.MAC, a netip.Addr) []byte {
	if a.Is4() {
		return request(host, a, a)
	}
	return discovery(frame.ND{Type: frame.NeighborAdvertisement, Target: a, Link: host}, host, a, allNodes)
}

// wanted asks who has an address, in the name of nobody: RFC 5227 and RFC 4862.
func wanted(from netmig.MAC, a netip.Addr) []byte {
	if a.Is4() {
		return request(from, netip.IPv4Unspecified(), a)
	}
	return discovery(frame.ND{Type: frame.NeighborSolicitation, Target: a}, from, netip.IPv6Unspecified(), solicited(a))
}

// has tells whether a frame says that somebody but from has an address, and who.
func has(b []byte, from netmig.MAC, a netip.Addr) (who netmig.MAC, yes bool) {
	if len(b) < frame.HeaderSize {
		return who, false
	}
	switch kind := binary.BigEndian.Uint16(b[12:]); {
	case a.Is4() && kind == frame.TypeARP && len(b) >= arpSize:
		yes = netip.AddrFrom4([4]byte(b[28:])) == a
		who = netmig.MAC(b[22:])
	case a.Is6() && kind == frame.TypeIPv6 && len(b) >= ndSize && b[20] == frame.ProtocolICMPv6:
		yes = b[ip6Size] == frame.NeighborAdvertisement && netip.AddrFrom16([16]byte(b[ndFields:])) == a
		who = netmig.MAC(b[6:])
	}
	return who, yes && who != from
}

// group is the Ethernet address of a group of IPv6 (RFC 2464, 7).
func group(a netip.Addr) netmig.MAC {
	b := a.As16()
	return netmig.MAC{0x33, 0x33, b[12], b[13], b[14], b[15]}
}

// solicited is the group in which who has an address hears questions for it (RFC 4291, 2.7.1).
func solicited(a netip.Addr) netip.Addr {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0xff, 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]})
}
