package frame

import (
	"encoding/binary"
	"net/netip"
)

// Protocols over IP (IANA, protocol numbers).
const (
	ProtocolUDP    = 17
	ProtocolICMPv6 = 58
)

// Extension headers of IPv6 (RFC 8200, section 4).
const (
	hopByHop    = 0
	routing     = 43
	fragment    = 44
	destination = 60
)

// maxExtensions is how many extension headers are looked through.
const maxExtensions = 8

// IP is the header of a packet, with its extensions.
type IP struct {
	Source, Destination netip.Addr
	Protocol            uint8 // of the payload, unless it is a later fragment
	HopLimit            uint8
	Fragment            bool // part of a packet
	Later               bool // … and not its beginning
}

// ParseIPv4 reads a header (RFC 791), and returns what is behind it. It is false
// for what ends within the header.
func ParseIPv4(b []byte) (p IP, payload []byte, ok bool) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return p, nil, false
	}
	size := 4 * int(b[0]&15)
	if size < 20 || len(b) < size {
		return p, nil, false
	}
	flags := binary.BigEndian.Uint16(b[6:])
	later := flags&0x1fff != 0
	return IP{
		Source: netip.AddrFrom4([4]byte(b[12:])), Destination: netip.AddrFrom4([4]byte(b[16:])),
		Protocol: b[9], HopLimit: b[8], Fragment: later || flags&0x2000 != 0, Later: later,
	}, b[size:], true
}

// ParseIPv6 reads a header with its extensions (RFC 8200, section 4), and returns
// what is behind them. It is false for what ends within them, and for more
// extensions than anybody uses.
func ParseIPv6(b []byte) (p IP, payload []byte, ok bool) {
	if len(b) < 40 || b[0]>>4 != 6 {
		return p, nil, false
	}
	p = IP{Source: netip.AddrFrom16([16]byte(b[8:])), Destination: netip.AddrFrom16([16]byte(b[24:])), HopLimit: b[7]}
	next, size := b[6], int(binary.BigEndian.Uint16(b[4:]))
	b = b[40:]
	if 0 < size && size < len(b) { // 0: a segment that is larger than can be said
		b = b[:size]
	}
	for range maxExtensions {
		size := 8
		switch next {
		case hopByHop, routing, destination:
			if len(b) >= 2 {
				size += 8 * int(b[1])
			}
		case fragment:
			if len(b) >= 4 {
				p.Fragment, p.Later = true, binary.BigEndian.Uint16(b[2:])&^7 != 0
			}
		default:
			p.Protocol = next
			return p, b, true
		}
		if len(b) < size {
			return p, nil, false
		}
		if next, b = b[0], b[size:]; p.Later {
			return p, b, true
		}
	}
	return p, nil, false
}

// ParseUDP reads the ports (RFC 768), and returns what is behind the header. It
// is false for what ends within it.
func ParseUDP(b []byte) (source, destination uint16, payload []byte, ok bool) {
	if len(b) < 8 {
		return 0, 0, nil, false
	}
	return binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:]), b[8:], true
}
