package api

import (
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
)

// Address is a place to send a guest to, or to listen for one.
type Address struct {
	Host string // empty: every address of this host
	Port uint16 // 0: any free port
	Path string // of a unix socket, absolute; then there is neither host nor port
}

// MaxPath is the longest path of a unix socket in bytes: struct sockaddr_un, less the zero at its end.
const MaxPath = 107

// ParseAddress reads tcp:HOST:PORT, where HOST may be an IPv6 address in brackets, or unix:PATH, which becomes absolute. Its
// errors have code CodeUsage.
func ParseAddress(text string) (Address, error) {
	const remedy = "write it as tcp:HOST:PORT, for example tcp:127.0.0.1:4444, or as unix:PATH"
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		return parsePath(text, path)
	}
	rest, ok := strings.CutPrefix(text, "tcp:")
	if !ok {
		return Address{}, Errorf(CodeUsage, remedy, "%q is not an address of the form tcp:HOST:PORT or unix:PATH", text)
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

func parsePath(text, path string) (Address, error) {
	if path == "" || strings.ContainsRune(path, 0) {
		return Address{}, Errorf(CodeUsage, "name a socket, for example unix:/tmp/move.sock", "%q names no file", text)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return Address{}, Errorf(CodeUsage, "give an absolute path", "%q: %v", text, err)
	}
	if len(path) > MaxPath {
		return Address{}, Errorf(CodeUsage, "choose a shorter one", "%q: the path of a socket can have %d bytes, this one has %d", text, MaxPath, len(path))
	}
	return Address{Path: path}, nil
}

// String returns the address as ParseAddress reads it.
func (a Address) String() string {
	if a.Local() {
		return "unix:" + a.Path
	}
	return "tcp:" + a.HostPort()
}

// Local says whether the address is a socket of this host, over which a guest is handed over rather than copied.
func (a Address) Local() bool { return a.Path != "" }

// HostPort returns the address as package net takes it.
func (a Address) HostPort() string {
	return net.JoinHostPort(a.Host, strconv.Itoa(int(a.Port)))
}

// Loopback says whether the address cannot be reached from another host. A host name other than localhost may resolve
// to anything, so it is none.
func (a Address) Loopback() bool {
	if a.Local() {
		return true
	}
	if a.Host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(a.Host)
	return err == nil && ip.Unmap().IsLoopback()
}

// CheckSecure returns an error of code CodeInsecure if the address needs tls, a folder, or insecure to be set and neither is, and one of code
// CodeUsage if they do not go together.
func (a Address) CheckSecure(tls string, insecure bool) error {
	switch {
	case tls != "" && insecure:
		return Errorf(CodeUsage, "leave --insecure out", "--tls encrypts, --insecure does not")
	case tls != "" && a.Local():
		return Errorf(CodeUsage, "leave --tls out", "%s is a socket of this host: what goes over it leaves no host, and is handed over rather than sent", a)
	case tls != "" || insecure || a.Loopback():
		return nil
	}
	return Errorf(CodeInsecure, "give --tls DIR on both sides (vmm certs makes what it needs), or --insecure if you trust every host on that network",
		"%s is not a loopback address, and the guest's memory would cross the network unencrypted", a)
}
