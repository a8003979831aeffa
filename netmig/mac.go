package netmig

import (
	"crypto/rand"
	"errors"
	"net"
	"net/netip"
)

// MAC is the address of an Ethernet device.
type MAC [6]byte

// macPrefix begins the addresses that are chosen here: individual, locally
// administered, and outside what hardware and the kernel's own taps use.
var macPrefix = [2]byte{0x52, 0x54}

// NewMAC chooses an address: four random bytes behind a fixed prefix, so that
// the devices of a bridge do not collide.
func NewMAC() MAC {
	m := MAC{macPrefix[0], macPrefix[1]}
	_, _ = rand.Read(m[2:]) // never fails
	return m
}

// ParseMAC reads six bytes in hexadecimal, with colons or dashes between them.
func ParseMAC(s string) (MAC, error) {
	hw, err := net.ParseMAC(s)
	if err != nil || len(hw) != len(MAC{}) {
		return MAC{}, errors.New("not six bytes in hexadecimal, like 52:54:00:12:34:56")
	}
	m := MAC(hw)
	return m, m.Check()
}

// Broadcast is the address of all devices of a network.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// LinkLocal is the address of IPv6 that most systems make of that of their device (RFC 4291, appendix A).
func (m MAC) LinkLocal() netip.Addr {
	return netip.AddrFrom16([16]byte{0xfe, 0x80, 8: m[0] ^ 2, 9: m[1], 10: m[2], 11: 0xff, 12: 0xfe, 13: m[3], 14: m[4], 15: m[5]})
}

// Check tells whether a device can have the address.
func (m MAC) Check() error {
	switch {
	case m == MAC{}:
		return errors.New("the zero address is nobody's")
	case m[0]&1 != 0:
		return errors.New("a multicast address, which no device can have: the first byte must be even")
	}
	return nil
}

func (m MAC) String() string { return net.HardwareAddr(m[:]).String() }
