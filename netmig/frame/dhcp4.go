package frame

import (
	"encoding/binary"
	"net/netip"

	"github.com/ferryvmm/ferry/netmig"
)

// Ports of DHCP for IPv4 (RFC 2131, section 4.1).
const (
	PortDHCPServer = 67
	PortDHCPClient = 68
)

// Operations and types of DHCP messages for IPv4 (RFC 2131; RFC 2132, section 9.6).
const (
	BootRequest = 1
	BootReply   = 2

	DHCPRequest = 3
	DHCPDecline = 4
	DHCPAck     = 5
	DHCPNak     = 6
	DHCPRelease = 7
)

// Options of DHCP for IPv4 (RFC 2132).
const (
	optionPad         = 0
	optionRequestedIP = 50
	optionLease       = 51
	optionMessageType = 53
	optionEnd         = 255
)

// dhcpOptions is where the options begin, in bytes, behind the magic cookie.
const dhcpOptions = 240

// DHCP4 is a DHCP message for IPv4.
type DHCP4 struct {
	Operation   uint8
	Type        uint8 // DHCPRequest …; 0: none
	Transaction uint32
	Client      netmig.MAC
	ClientIP    netip.Addr // that the client has
	YourIP      netip.Addr // that the server gives
	RequestedIP netip.Addr // that the client asks for; zero: none
	Lease       uint32     // seconds; 2^32-1: for ever
}

// ParseDHCP4 reads a message. It is false for one that is cut within its fixed
// part, or for a client that is not on Ethernet.
func ParseDHCP4(b []byte) (d DHCP4, ok bool) {
	if len(b) < dhcpOptions || b[1] != 1 || b[2] != 6 || binary.BigEndian.Uint32(b[dhcpOptions-4:]) != 0x63825363 {
		return d, false
	}
	d = DHCP4{
		Operation: b[0], Transaction: binary.BigEndian.Uint32(b[4:]), Client: netmig.MAC(b[28:]),
		ClientIP: netip.AddrFrom4([4]byte(b[12:])), YourIP: netip.AddrFrom4([4]byte(b[16:])),
	}
	for b = b[dhcpOptions:]; len(b) > 0 && b[0] != optionEnd; {
		if b[0] == optionPad {
			b = b[1:]
			continue
		}
		if len(b) < 2 || len(b) < 2+int(b[1]) {
			break
		}
		switch value := b[2 : 2+int(b[1])]; {
		case b[0] == optionMessageType && len(value) == 1:
			d.Type = value[0]
		case b[0] == optionLease && len(value) == 4:
			d.Lease = binary.BigEndian.Uint32(value)
		case b[0] == optionRequestedIP && len(value) == 4:
			d.RequestedIP = netip.AddrFrom4([4]byte(value))
		}
		b = b[2+int(b[1]):]
	}
	return d, true
}
