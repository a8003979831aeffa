package supervisor

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
	"github.com/ferryvmm/ferry/vmm/supervisor/identity"
)

// dialWithin bounds the time to reach a target.
const dialWithin = 5 * time.Second

// place is where a receiver is, and how it is met there. Every connection of a move, and all that is asked about it later, is under TLS
// or none is.
type place struct {
	address api.Address
	tls     string // folder of this host's identity, absolute; empty: nothing is encrypted
}

// newPlace reads an address. A host that is not loopback needs tls or insecure: the stream carries the guest's memory. An identity that
// nobody would trust is an error, before anything has begun.
func newPlace(address, tls string, insecure bool) (place, error) {
	p := place{tls: tls}
	var err error
	if p.address, err = api.ParseAddress(address); err != nil {
		return p, err
	}
	if err := p.address.CheckSecure(tls, insecure); err != nil || tls == "" {
		return p, err
	}
	if !filepath.IsAbs(tls) {
		return p, api.Errorf(api.CodeBadRequest, "give the absolute path of the folder", "tls: %q is no absolute path", tls)
	}
	_, err = identity.Load(tls)
	return p, err
}

// listen opens a receiver's socket, and returns its real address.
func listen(at place) (net.Listener, api.Address, error) {
	if at.address.Local() {
		l, err := listenUnix(at.address.Path)
		return l, at.address, err
	}
	l, err := net.Listen("tcp", at.address.HostPort())
	if err != nil {
		return nil, at.address, api.Errorf("listen", "choose another address, or port 0 for any free one", "listening at %s: %v", at.address, err)
	}
	real, err := api.ParseAddress("tcp:" + l.Addr().String())
	return l, real, err
}

// connect connects to a target, and under TLS shakes hands.
func (p place) connect(ctx context.Context) (stream, error) {
	if p.address.Local() {
		return dialUnix(ctx, p.address)
	}
	ctx, cancel := context.WithTimeout(ctx, dialWithin)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", p.address.HostPort())
	if err != nil {
		remedy := "check the address and the network between the hosts"
		if errors.Is(err, unix.ECONNREFUSED) {
			remedy = "start one there: vmm receive --listen tcp:HOST:PORT"
		}
		return nil, api.Errorf(api.CodeUnreachable, remedy, "no receiver at %v: %v", p.address, err)
	}
	t := conn.(*net.TCPConn)
	_ = t.SetNoDelay(true)
	if p.tls == "" {
		return t, nil
	}
	id, err := identity.Load(p.tls)
	if err != nil {
		t.Close()
		return nil, err
	}
	c, err := id.Meet(ctx, t, p.address.Host)
	if err != nil {
		t.Close()
		return nil, err
	}
	return c, nil
}
