package frame

import (
	"encoding/binary"
	"net/netip"

	"github.com/ferryvmm/ferry/netmig"
)

// Operations of ARP (RFC 826) and of RARP (RFC 903).
const (
	ARPRequest  = 1
	ARPReply    = 2
	RARPRequest = 3
)

// arpSize is that of a packet for IPv4 on Ethernet, in bytes.
const arpSize = 28

// ARP is a packet of ARP or RARP.
type ARP struct {
	Operation            uint16
	SenderMAC, TargetMAC netmig.MAC
	Sender, Target       netip.Addr // IPv4
}

// ParseARP reads a packet. It is false for one that is not for IPv4 on Ethernet.
func ParseARP(b []byte) (a ARP, ok bool) {
	if len(b) < arpSize || binary.BigEndian.Uint16(b) != 1 || binary.BigEndian.Uint16(b[2:]) != TypeIPv4 || b[4] != 6 || b[5] != 4 {
		return a, false
	}
	return ARP{
		Operation: binary.BigEndian.Uint16(b[6:]),
		SenderMAC: netmig.MAC(b[8:]), Sender: netip.AddrFrom4([4]byte(b[14:])),
		TargetMAC: netmig.MAC(b[18:]), Target: netip.AddrFrom4([4]byte(b[24:])),
	}, true
}

// Append adds the packet.
func (a ARP) Append(b []byte) []byte {
	sender, target := a.Sender.As4(), a.Target.As4()
	b = append(b, 0, 1, 8, 0, 6, 4) // of IPv4 on Ethernet, with their lengths
	b = binary.BigEndian.AppendUint16(b, a.Operation)
	b = append(append(b, a.SenderMAC[:]...), sender[:]...)
	return append(append(b, a.TargetMAC[:]...), target[:]...)
}
