package announce

import (
	"encoding/binary"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/frame"
)

// size is that of the shortest Ethernet frame, in bytes, without its checksum:
// only advertisements are longer.
const size = 60

var broadcast = netmig.MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

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

// ethernet begins a frame.
func ethernet(to netmig.MAC, a Address, kind uint16) []byte {
	b := make([]byte, 0, size+32)
	b = append(append(b, to[:]...), a.MAC[:]...)
	if a.VLAN != 0 {
		b = binary.BigEndian.AppendUint16(b, frame.TypeVLAN)
		b = binary.BigEndian.AppendUint16(b, a.VLAN)
	}
	return binary.BigEndian.AppendUint16(b, kind)
}

// rarp asks for the address of IP that the guest has, which nobody answers.
func rarp(a Address) []byte {
	return arp(ethernet(broadcast, a, frame.TypeRARP), frame.RARPRequest, a.MAC, [4]byte{}, a.MAC)
}

// gratuitous is a message of ARP that says what it asks for.
func gratuitous(a Address, operation uint16, target netmig.MAC) []byte {
	return arp(ethernet(broadcast, a, frame.TypeARP), operation, a.MAC, a.IP.As4(), target)
}

// arp completes a frame. Sender and target have the same address of IP.
func arp(b []byte, operation uint16, sender netmig.MAC, ip [4]byte, target netmig.MAC) []byte {
	b = append(b, 0, 1, 8, 0, 6, 4) // of IPv4 on Ethernet, with their lengths
	b = binary.BigEndian.AppendUint16(b, operation)
	b = append(append(b, sender[:]...), ip[:]...)
	b = append(append(b, target[:]...), ip[:]...)
	return append(b, make([]byte, max(0, size-len(b)))...)
}

// advertisement is an unsolicited one, to all nodes of the link.
func advertisement(a Address) []byte {
	b := ethernet(netmig.MAC{0x33, 0x33, 0, 0, 0, 1}, a, frame.TypeIPv6)
	source, nodes := a.IP.As16(), [16]byte{0: 0xff, 1: 0x02, 15: 1}
	b = append(b, 0x60, 0, 0, 0, 0, 32, frame.ProtocolICMPv6, 255)
	b = append(append(b, source[:]...), nodes[:]...)
	message := len(b)
	flags := byte(frame.FlagOverride)
	if a.Router {
		flags |= frame.FlagRouter
	}
	b = append(b, frame.NeighborAdvertisement, 0, 0, 0, flags, 0, 0, 0)
	b = append(append(b, source[:]...), frame.OptionTargetLink, 1)
	b = append(b, a.MAC[:]...)
	binary.BigEndian.PutUint16(b[message+2:], checksum(source, nodes, b[message:]))
	return b
}

// checksum is that of ICMPv6 (RFC 4443, section 2.3): with the addresses, the
// length and the protocol of the packet.
func checksum(source, destination [16]byte, message []byte) uint16 {
	sum := uint32(len(message)) + frame.ProtocolICMPv6
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
