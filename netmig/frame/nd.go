package frame

import (
	"encoding/binary"
	"net/netip"

	"github.com/ferryvmm/ferry/netmig"
)

// Messages of neighbour discovery (RFC 4861, section 4): types of ICMPv6.
const (
	RouterSolicitation    = 133
	RouterAdvertisement   = 134
	NeighborSolicitation  = 135
	NeighborAdvertisement = 136
	Redirect              = 137
)

// Options of neighbour discovery (RFC 4861, section 4.6).
const (
	optionSourceLink = 1
	optionTargetLink = 2
)

// Flags of an advertisement (RFC 4861, section 4.4).
const (
	flagRouter   = 0x80
	flagOverride = 0x20
)

// ND is a message of neighbour discovery.
type ND struct {
	Type   uint8
	Target netip.Addr // of a neighbour's, or a redirect
	Router bool       // an advertisement by a router
	// Link is the link address that it gives of the sender: of the source, and in
	// an advertisement of the target. Zero: none.
	Link    netmig.MAC
	Differs bool // it gives several that differ
}

// headers are the sizes of the messages without options, in bytes.
var headers = [...]int{RouterSolicitation: 8, RouterAdvertisement: 16, NeighborSolicitation: 24, NeighborAdvertisement: 24, Redirect: 40}

// IsND tells whether a packet's payload begins like a message of neighbour discovery.
func IsND(p IP, payload []byte) bool {
	return p.Protocol == ProtocolICMPv6 && !p.Later && len(payload) > 0 && payload[0] >= RouterSolicitation && payload[0] <= Redirect
}

// ParseND reads a message. It is false for what is not one as RFC 4861 wants it:
// from this very link, whole, and with options that fit (sections 6.1 and 7.1).
func ParseND(p IP, payload []byte) (n ND, ok bool) {
	if !IsND(p, payload) || p.Fragment || p.HopLimit != 255 {
		return n, false
	}
	n.Type = payload[0]
	size := headers[n.Type]
	if len(payload) < size || payload[1] != 0 {
		return n, false
	}
	if n.Type >= NeighborSolicitation {
		n.Target = netip.AddrFrom16([16]byte(payload[8:]))
	}
	n.Router = n.Type == RouterAdvertisement || n.Type == NeighborAdvertisement && payload[4]&flagRouter != 0
	for b := payload[size:]; len(b) > 0; {
		if len(b) < 8 || b[1] == 0 || len(b) < 8*int(b[1]) {
			return n, false
		}
		sender := b[0] == optionSourceLink || b[0] == optionTargetLink && n.Type == NeighborAdvertisement
		if link := netmig.MAC(b[2:]); sender {
			n.Differs = n.Differs || n.Link != netmig.MAC{} && n.Link != link
			n.Link = link
		}
		b = b[8*int(b[1]):]
	}
	return n, true
}

// Append adds a packet of IPv6 with the message, a solicitation or an advertisement; of the latter that it overrides what was known.
func (n ND) Append(b []byte, source, destination netip.Addr) []byte {
	from, to, target := source.As16(), destination.As16(), n.Target.As16()
	size, option, flags := byte(headers[n.Type]), byte(optionSourceLink), byte(0)
	if n.Type == NeighborAdvertisement {
		option, flags = optionTargetLink, flagOverride
	}
	if n.Router {
		flags |= flagRouter
	}
	linked := n.Link != netmig.MAC{}
	if linked {
		size += 8
	}
	b = append(b, 0x60, 0, 0, 0, 0, size, ProtocolICMPv6, 255)
	b = append(append(b, from[:]...), to[:]...)
	message := len(b)
	b = append(b, n.Type, 0, 0, 0, flags, 0, 0, 0)
	b = append(b, target[:]...)
	if linked {
		b = append(append(b, option, 1), n.Link[:]...)
	}
	binary.BigEndian.PutUint16(b[message+2:], checksum(from, to, b[message:]))
	return b
}

// checksum is that of ICMPv6 (RFC 4443, section 2.3): with the addresses, the
// length and the protocol of the packet.
func checksum(source, destination [16]byte, message []byte) uint16 {
	sum := uint32(len(message)) + ProtocolICMPv6
	for _, b := range [][]byte{source[:], destination[:], message} { // each of an even length
		for i := 0; i < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
