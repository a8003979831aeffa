package supervisor

import (
	"context"
	"errors"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// dialWithin bounds the time to reach a target.
const dialWithin = 5 * time.Second

// secureAddress reads an address. A host that is not loopback needs
// insecure: the stream carries the guest's memory in the clear.
func secureAddress(s string, insecure bool) (api.Address, error) {
	addr, err := api.ParseAddress(s)
	if err != nil {
		return addr, err
	}
	return addr, addr.CheckSecure(insecure)
}

// listen opens a receiver's socket, and returns its real address.
func listen(s string, insecure bool) (net.Listener, api.Address, error) {
	addr, err := secureAddress(s, insecure)
	if err != nil {
		return nil, addr, err
	}
	if addr.Local() {
		l, err := listenUnix(addr.Path)
		return l, addr, err
	}
	l, err := net.Listen("tcp", addr.HostPort())
	if err != nil {
		return nil, addr, api.Errorf("listen", "choose another address, or port 0 for any free one", "listening at %s: %v", s, err)
	}
	addr, err = api.ParseAddress("tcp:" + l.Addr().String())
	return l, addr, err
}

// connect connects to a target.
func connect(ctx context.Context, addr api.Address) (stream, error) {
	if addr.Local() {
		return dialUnix(ctx, addr)
	}
	d := net.Dialer{Timeout: dialWithin}
	conn, err := d.DialContext(ctx, "tcp", addr.HostPort())
	if err != nil {
		remedy := "check the address and the network between the hosts"
		if errors.Is(err, unix.ECONNREFUSED) {
			remedy = "start one there: vmm receive --listen tcp:HOST:PORT"
		}
		return nil, api.Errorf(api.CodeUnreachable, remedy, "no receiver at %v: %v", addr, err)
	}
	t := conn.(*net.TCPConn)
	_ = t.SetNoDelay(true)
	return t, nil
}
