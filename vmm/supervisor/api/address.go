package api

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// Address is a place to send a guest to, or to listen for one.
type Address struct {
	Host string // empty: every address of this host
	Port uint16 // 0: any free port
}

// ParseAddress reads tcp:HOST:PORT, where HOST may be an IPv6 address in brackets. Its errors have code CodeUsage.
func ParseAddress(text string) (Address, error) {
	const remedy = "write it as tcp:HOST:PORT, for example tcp:127.0.0.1:4444"
	rest, ok := strings.CutPrefix(text, "tcp:")
	if !ok {
		return Address{}, Errorf(CodeUsage, remedy, "%q is not an address of the form tcp:HOST:PORT", text)
	}
	host, port, err := net.SplitHostPort(rest)
	if err != nil {
		return Address{}, Errorf(CodeUsage, remedy, "%q is not an address of the form tcp:HOST:PORT: %v", text, err)
	}
	if strings.ContainsAny(host, " \t\r\n/") {
		return Address{}, Errorf(CodeUsage, remedy, "%q: %q is not a host", text, host)
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Address{}, Errorf(CodeUsage, remedy, "%q: %q is not a port number from 0 to 65535", text, port)
	}
	return Address{Host: host, Port: uint16(number)}, nil
}

// String returns the address as ParseAddress reads it.
func (a Address) String() string { return "tcp:" + a.HostPort() }

// HostPort returns the address as package net takes it.
func (a Address) HostPort() string {
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

// Loopback says whether the address cannot be reached from another host. A host name other than localhost may resolve
// to anything, so it is none.
func (a Address) Loopback() bool {
	if a.Host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(a.Host)
	return err == nil && ip.Unmap().IsLoopback()
}

// CheckSecure returns an error of code CodeInsecure if the address needs insecure to be set and it is not.
func (a Address) CheckSecure(insecure bool) error {
	if insecure || a.Loopback() {
		return nil
	}
	return Errorf(CodeInsecure, "give --insecure on both sides if you trust every host on that network",
		"%s is not a loopback address, and the guest's memory would cross the network unencrypted", a)
}
