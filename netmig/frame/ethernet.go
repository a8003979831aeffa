package frame

import (
	"encoding/binary"

	"github.com/ferryvmm/ferry/netmig"
)

// Types of what a frame carries (IANA, IEEE 802 numbers).
const (
	TypeIPv4 = 0x0800
	TypeARP  = 0x0806
	TypeRARP = 0x8035
	TypeIPv6 = 0x86dd
	TypeVLAN = 0x8100 // IEEE 802.1Q
	TypeRaw  = 0xffff // reserved (RFC 1701); some take what follows for IP of whatever version it has
	typeQinQ = 0x88a8 // IEEE 802.1ad
)

// maxTags is how many VLAN tags one behind the other are looked through.
const maxTags = 2

// HeaderSize is that of an Ethernet header without tags, in bytes.
const HeaderSize = 14

// Ethernet is the header of a frame.
type Ethernet struct {
	Destination, Source netmig.MAC
	Tags                int    // VLAN tags, at most 2
	VLAN                uint16 // of the first tag; 0: none, or one with a priority only
	Type                uint16 // of what is behind the tags
}

// AppendEthernet adds a header, with a tag unless vlan is 0.
func AppendEthernet(b []byte, to, from netmig.MAC, vlan, kind uint16) []byte {
	b = append(append(b, to[:]...), from[:]...)
	if vlan != 0 {
		b = binary.BigEndian.AppendUint16(b, TypeVLAN)
		b = binary.BigEndian.AppendUint16(b, vlan)
	}
	return binary.BigEndian.AppendUint16(b, kind)
}

// ParseEthernet reads the header of a frame, and returns what is behind it. It
// is false for what ends within the header, or has more than two tags.
func ParseEthernet(b []byte) (e Ethernet, payload []byte, ok bool) {
	if len(b) < HeaderSize {
		return e, nil, false
	}
	e = Ethernet{Destination: netmig.MAC(b), Source: netmig.MAC(b[6:]), Type: binary.BigEndian.Uint16(b[12:])}
	b = b[HeaderSize:]
	for ; e.Type == TypeVLAN || e.Type == typeQinQ; e.Tags++ {
		if len(b) < 4 || e.Tags == maxTags {
			return e, nil, false
		}
		if e.Tags == 0 {
			e.VLAN = binary.BigEndian.Uint16(b) & 0xfff
		}
		e.Type, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	return e, b, true
}
