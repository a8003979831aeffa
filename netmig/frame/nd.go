package frame

import (
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
	OptionTargetLink = 2
)

// Flags of an advertisement (RFC 4861, section 4.4).
const (
	FlagRouter   = 0x80
	FlagOverride = 0x20
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
	n.Router = n.Type == RouterAdvertisement || n.Type == NeighborAdvertisement && payload[4]&FlagRouter != 0
	for b := payload[size:]; len(b) > 0; {
		if len(b) < 8 || b[1] == 0 || len(b) < 8*int(b[1]) {
			return n, false
		}
		sender := b[0] == optionSourceLink || b[0] == OptionTargetLink && n.Type == NeighborAdvertisement
		if link := netmig.MAC(b[2:]); sender {
			n.Differs = n.Differs || n.Link != netmig.MAC{} && n.Link != link
			n.Link = link
		}
		b = b[8*int(b[1]):]
	}
	return n, true
}
