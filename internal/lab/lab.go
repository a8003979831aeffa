package lab

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// MaxHosts is how many hosts one Lab can have.
const MaxHosts = 32

// ErrNeedsRoot says that network namespaces cannot be made by this user. The
// caller should ask to be run as root, or do without a Lab.
var ErrNeedsRoot = errors.New("lab: making network namespaces needs root (CAP_SYS_ADMIN and CAP_NET_ADMIN)")

// Lab is a set of hosts on one bridge.
type Lab struct {
	// Hosts in the order of their addresses, 10.77.0.1 onwards.
	Hosts []*Host

	fabric netns.NsHandle  // the namespace of the bridge
	nl     *netlink.Handle // netlink inside fabric
}

// New makes hosts namespaces, each with one interface, eth0, and a loopback
// that is up, all on one bridge in a namespace of its own. It fails with
// ErrNeedsRoot where the user may not.
func New(hosts int) (*Lab, error) {
	if hosts < 1 || hosts > MaxHosts {
		return nil, fmt.Errorf("lab: got %d hosts; want 1 to %d", hosts, MaxHosts)
	}
	l := &Lab{fabric: netns.None()}
	if err := l.build(hosts); err != nil {
		l.Close()
		if errors.Is(err, unix.EPERM) {
			return nil, fmt.Errorf("%w: %w", ErrNeedsRoot, err)
		}
		return nil, err
	}
	return l, nil
}

func (l *Lab) build(hosts int) error {
	var err error
	if l.fabric, err = newNamespace(); err != nil {
		return fmt.Errorf("lab: make the bridge's network namespace: %w", err)
	}
	if l.nl, err = netlink.NewHandleAt(l.fabric, unix.NETLINK_ROUTE); err != nil {
		return fmt.Errorf("lab: open netlink in the bridge's namespace: %w", err)
	}
	bridge := &netlink.Bridge{LinkAttrs: attrs("br0")}
	if err := l.nl.LinkAdd(bridge); err != nil {
		return fmt.Errorf("lab: add the bridge: %w", err)
	}
	if err := l.nl.LinkSetUp(bridge); err != nil {
		return fmt.Errorf("lab: bring the bridge up: %w", err)
	}
	for i := range hosts {
		addr := netip.AddrFrom4([4]byte{10, 77, 0, byte(i + 1)})
		h, err := newHost(l, bridge, i, addr)
		if h != nil {
			l.Hosts = append(l.Hosts, h)
		}
		if err != nil {
			return fmt.Errorf("lab: host %d: %w", i, err)
		}
	}
	return nil
}

// Close kills what still runs inside the hosts and lets the namespaces go. It
// may be called again.
func (l *Lab) Close() error {
	var errs []error
	for _, h := range l.Hosts {
		errs = append(errs, h.close())
	}
	l.Hosts = nil
	if l.nl != nil {
		l.nl.Close()
		l.nl = nil
	}
	if l.fabric.IsOpen() {
		errs = append(errs, l.fabric.Close())
	}
	return errors.Join(errs...)
}

func attrs(name string) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name = name
	return a
}
