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

// secureAddress reads tcp:HOST:PORT. A host that is not loopback needs
// insecure: the stream carries the guest's memory in the clear.
func secureAddress(s string, insecure bool) (api.Address, error) {
	addr, err := api.ParseAddress(s)
	if err != nil {
		return addr, err
	}
	return addr, addr.CheckSecure(insecure)
}

// listenTCP opens a receiver's socket.
func listenTCP(s string, insecure bool) (*net.TCPListener, error) {
	addr, err := secureAddress(s, insecure)
	if err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", addr.HostPort())
	if err != nil {
		return nil, api.Errorf("listen", "choose another address, or port 0 for any free one", "listening at %s: %v", s, err)
	}
	return l.(*net.TCPListener), nil
}

// dialTCP connects to a target.
func dialTCP(ctx context.Context, addr api.Address) (*net.TCPConn, error) {
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
