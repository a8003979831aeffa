package link

import (
	"encoding/binary"
	"net/netip"

	"github.com/ferryvmm/ferry/netmig"
)

// Sizes in bytes of frames, without vnet header and checksum.
const (
	etherSize = 14
	arpSize   = etherSize + 28   // RFC 826
	ip6Size   = etherSize + 40   // RFC 8200
	ndSize    = ip6Size + 24 + 8 // a message of RFC 4861 with one option
	ndFields  = ip6Size + 8      // its target
	ndOption  = ip6Size + 24     // a link-layer address
	allNodes  = "ff02::1"        // RFC 4291, 2.7.1
	typeARP   = 0x0806
	typeIPv6  = 0x86dd
	solicit   = 135     // neighbour solicitation
	advertise = 136     // neighbour advertisement
	override  = 1 << 29 // flag of an advertisement: what was known is wrong
	opRequest = 1
	opReply   = 2
)

var broadcast = netmig.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

func ether(size int, to, from netmig.MAC, kind uint16) []byte {
	b := make([]byte, size)
	copy(b, to[:])
	copy(b[6:], from[:])
	binary.BigEndian.PutUint16(b[12:], kind)
	return b
}

// arp is an ARP packet to all, in which the sender says of itself that it has an
// address, or 0.0.0.0 for none.
func arp(op uint16, from netmig.MAC, has, wants netip.Addr) []byte {
	b := ether(arpSize, broadcast, from, typeARP)
	copy(b[etherSize:], []byte{0, 1, 8, 0, 6, 4}) // Ethernet, IPv4, and the lengths of their addresses
	binary.BigEndian.PutUint16(b[20:], op)
	copy(b[22:], from[:])
	copy(b[28:], has.AsSlice())
	copy(b[38:], wants.AsSlice())
	return b
}

// discovery is a message of neighbour discovery about a target; mac is the
// link-layer address that its option gives.
func discovery(kind byte, flags uint32, to netmig.MAC, from netmig.MAC, dst, src, target netip.Addr, option byte) []byte {
	size := ndSize
	if option == 0 {
		size = ndOption
	}
	b := ether(size, to, from, typeIPv6)
	b[etherSize] = 6 << 4
	binary.BigEndian.PutUint16(b[18:], uint16(size-ip6Size))
	b[20], b[21] = 58, 255 // ICMPv6, and a hop limit that no router lets through
	copy(b[22:], src.AsSlice())
	copy(b[38:], dst.AsSlice())
	b[ip6Size] = kind
	binary.BigEndian.PutUint32(b[ip6Size+4:], flags)
	copy(b[ndFields:], target.AsSlice())
	if option != 0 {
		b[ndOption], b[ndOption+1] = option, 1 // its length in units of 8 bytes
		copy(b[ndOption+2:], from[:])
	}
	binary.BigEndian.PutUint16(b[ip6Size+2:], checksum(b))
	return b
}

// checksum is that of an ICMPv6 message (RFC 8200, 8.1): over a pseudo header and the message.
func checksum(b []byte) uint16 {
	sum := uint32(len(b)-ip6Size) + 58
	for i := 22; i < len(b); i += 2 { // from the addresses on
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// moved tells the neighbours that an address is reached by way of a host.
func moved(host netmig.MAC, a netip.Addr) []byte {
	if a.Is4() {
		return arp(opRequest, host, a, a)
	}
	all := netip.MustParseAddr(allNodes)
	return discovery(advertise, override, group(all), host, all, a, a, 2)
}

// wanted asks who has an address, in the name of nobody: RFC 5227 and RFC 4862.
func wanted(from netmig.MAC, a netip.Addr) []byte {
	if a.Is4() {
		return arp(opRequest, from, netip.IPv4Unspecified(), a)
	}
	dst := solicited(a)
	return discovery(solicit, 0, group(dst), from, dst, netip.IPv6Unspecified(), a, 0)
}

// has tells whether a frame says that somebody but from has an address, and who.
func has(frame []byte, from netmig.MAC, a netip.Addr) (who netmig.MAC, yes bool) {
	if len(frame) < etherSize {
		return who, false
	}
	switch kind := binary.BigEndian.Uint16(frame[12:]); {
	case a.Is4() && kind == typeARP && len(frame) >= arpSize:
		yes = netip.AddrFrom4([4]byte(frame[28:])) == a
		who = netmig.MAC(frame[22:])
	case a.Is6() && kind == typeIPv6 && len(frame) >= ndOption && frame[20] == 58:
		yes = frame[ip6Size] == advertise && netip.AddrFrom16([16]byte(frame[ndFields:])) == a
		who = netmig.MAC(frame[6:])
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

// linkLocal is the address that most systems make of that of their device (RFC 4291, appendix A).
func linkLocal(m netmig.MAC) netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}
