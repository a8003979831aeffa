package frame

import (
	"encoding/binary"
	"net/netip"
)

// Ports of DHCP for IPv6 (RFC 8415, section 7.2).
const (
	PortDHCP6Client = 546
	PortDHCP6Server = 547
)

// Types of DHCP messages for IPv6 (RFC 8415, section 7.3).
const (
	DHCP6Request = 3
	DHCP6Renew   = 5
	DHCP6Rebind  = 6
	DHCP6Reply   = 7
	DHCP6Release = 8
	DHCP6Decline = 9
	DHCP6Solicit = 1 // answered by a reply if commit is rapid
)

// Options of DHCP for IPv6 (RFC 8415, section 21): associations with the sizes of
// what comes before their addresses, and an address.
const (
	optionLasting   = 3
	optionTemporary = 4
	optionAddress   = 5

	lastingSize   = 12
	temporarySize = 4
	addressSize   = 24
)

// MaxLeases is how many addresses of a message are read.
const MaxLeases = 8

// Lease is an address that a message for IPv6 is about.
type Lease struct {
	IP    netip.Addr
	Valid uint32 // seconds; 0: no longer, 2^32-1: for ever
}

// DHCP6 is a DHCP message for IPv6 between a client and a server.
type DHCP6 struct {
	Type        uint8
	Transaction uint32 // 24 bits
	leases      [MaxLeases]Lease
	count       int
}

// Leases are the addresses that it is about.
func (d *DHCP6) Leases() []Lease { return d.leases[:d.count] }

// ParseDHCP6 reads a message. It is false for one without its fixed part.
func ParseDHCP6(b []byte) (d DHCP6, ok bool) {
	if len(b) < 4 {
		return d, false
	}
	d.Type, d.Transaction = b[0], binary.BigEndian.Uint32(b)&0xffffff
	for b = b[4:]; len(b) > 0; {
		var code uint16
		var value []byte
		if code, value, b, ok = option6(b); !ok {
			break
		}
		switch {
		case code == optionLasting && len(value) > lastingSize:
			d.associated(value[lastingSize:])
		case code == optionTemporary && len(value) > temporarySize:
			d.associated(value[temporarySize:])
		}
	}
	return d, true
}

// associated reads the addresses of an association.
func (d *DHCP6) associated(b []byte) {
	for len(b) > 0 && d.count < MaxLeases {
		code, value, rest, ok := option6(b)
		if !ok {
			return
		}
		if b = rest; code == optionAddress && len(value) >= addressSize {
			d.leases[d.count] = Lease{netip.AddrFrom16([16]byte(value)), binary.BigEndian.Uint32(value[20:])}
			d.count++
		}
	}
}

// option6 splits off an option. It is false for one that is cut.
func option6(b []byte) (code uint16, value, rest []byte, ok bool) {
	if len(b) < 4 {
		return 0, nil, nil, false
	}
	end := 4 + int(binary.BigEndian.Uint16(b[2:]))
	if len(b) < end {
		return 0, nil, nil, false
	}
	return binary.BigEndian.Uint16(b), b[4:end], b[end:], true
}
