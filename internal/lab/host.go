package lab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Host is one network namespace with an address on the lab's bridge. Its
// methods may be called from several goroutines, but not while Lab.Close runs.
type Host struct {
	// Addr is the host's address, in 10.77.0.0/24.
	Addr netip.Addr
	// Addr6 is its other one, in fd77:0:0:77::/64, with the same number at its end.
	Addr6 netip.Addr

	lab    *Lab
	ns     netns.NsHandle
	nl     *netlink.Handle // netlink inside ns
	inside netlink.Link    // eth0, in ns
	port   netlink.Link    // the other end, in the lab's fabric
}

func newHost(l *Lab, bridge netlink.Link, index int, addr netip.Addr) (*Host, error) {
	h := &Host{Addr: addr, Addr6: addr6(addr), lab: l, ns: netns.None()}
	var err error
	if h.ns, err = newNamespace(); err != nil {
		return h, fmt.Errorf("make its network namespace: %w", err)
	}
	if h.nl, err = netlink.NewHandleAt(h.ns, unix.NETLINK_ROUTE); err != nil {
		return h, fmt.Errorf("open netlink in it: %w", err)
	}
	port := fmt.Sprintf("port%d", index)
	veth := &netlink.Veth{LinkAttrs: attrs(port), PeerName: "eth0", PeerNamespace: netlink.NsFd(h.ns)}
	veth.MasterIndex = bridge.Attrs().Index
	if err := l.nl.LinkAdd(veth); err != nil {
		return h, fmt.Errorf("add its veth pair: %w", err)
	}
	if h.port, err = l.nl.LinkByName(port); err != nil {
		return h, fmt.Errorf("find its bridge port: %w", err)
	}
	if h.inside, err = h.nl.LinkByName("eth0"); err != nil {
		return h, fmt.Errorf("find its eth0: %w", err)
	}
	lo, err := h.nl.LinkByName("lo")
	if err != nil {
		return h, fmt.Errorf("find its loopback: %w", err)
	}
	return h, errors.Join(
		annotate("address eth0", h.address(h.inside)),
		annotate("bring its loopback up", h.nl.LinkSetUp(lo)),
		annotate("bring its bridge port up", l.nl.LinkSetUp(h.port)),
		annotate("bring its eth0 up", h.nl.LinkSetUp(h.inside)),
	)
}

// addr6 has the last byte of a host's address.
func addr6(addr netip.Addr) netip.Addr {
	v4 := addr.As4()
	return netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x77, 7: 0x77, 15: v4[3]})
}

// addresses are those of the host, as the kernel takes them. The second is used
// at once: nobody else can have it.
func (h *Host) addresses() []*netlink.Addr {
	return []*netlink.Addr{
		{IPNet: &net.IPNet{IP: h.Addr.AsSlice(), Mask: net.CIDRMask(24, 32)}},
		{IPNet: &net.IPNet{IP: h.Addr6.AsSlice(), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD},
	}
}

// address gives the host's addresses to one of its links.
func (h *Host) address(link netlink.Link) (err error) {
	for _, a := range h.addresses() {
		err = errors.Join(err, h.nl.AddrAdd(link, a))
	}
	return err
}

func annotate(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// Do runs fn on a thread inside the host's namespace. Goroutines that fn
// starts are outside it.
func (h *Host) Do(fn func() error) error { return inNamespace(h.ns, fn) }

// Start starts cmd inside the host's namespace. The caller waits for it as
// for any other command.
func (h *Host) Start(cmd *exec.Cmd) error { return h.Do(cmd.Start) }

// Listen is net.Listen inside the host. addr is a literal address with a port;
// an empty address means the host's own.
func (h *Host) Listen(addr string) (net.Listener, error) {
	ap, err := h.resolve(addr)
	if err != nil {
		return nil, err
	}
	var l net.Listener
	err = h.Do(func() (err error) {
		l, err = net.Listen("tcp", ap.String())
		return err
	})
	return l, err
}

// Dial connects from inside the host to addr, a literal address with a port.
// (A name would be resolved by goroutines outside the namespace.)
func (h *Host) Dial(ctx context.Context, addr string) (net.Conn, error) {
	ap, err := h.resolve(addr)
	if err != nil {
		return nil, err
	}
	var c net.Conn
	err = h.Do(func() (err error) {
		var d net.Dialer
		c, err = d.DialContext(ctx, "tcp", ap.String())
		return err
	})
	return c, err
}

func (h *Host) resolve(addr string) (netip.AddrPort, error) {
	if host, port, err := net.SplitHostPort(addr); err == nil && host == "" {
		addr = net.JoinHostPort(h.Addr.String(), port)
	}
	ap, err := netip.ParseAddrPort(addr)
	if err != nil {
		return ap, fmt.Errorf("lab: want a literal address and port: %w", err)
	}
	return ap, nil
}

// Processes lists the processes whose main thread is inside the host's
// namespace, this one excepted.
func (h *Host) Processes() ([]int, error) {
	var want unix.Stat_t
	if err := unix.Fstat(int(h.ns), &want); err != nil {
		return nil, fmt.Errorf("lab: look at the host's namespace: %w", err)
	}
	paths, err := filepath.Glob("/proc/[0-9]*/ns/net")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, path := range paths {
		var got unix.Stat_t
		if unix.Stat(path, &got) != nil || got.Ino != want.Ino || got.Dev != want.Dev {
			continue // other namespace, or gone since the listing
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
		if err == nil && pid != os.Getpid() {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}

// close kills what runs in the host and lets its namespace go.
func (h *Host) close() error {
	if !h.ns.IsOpen() {
		return nil
	}
	pids, err := h.Processes()
	for _, pid := range pids {
		if p, findErr := os.FindProcess(pid); findErr == nil {
			_ = p.Kill() // it may have ended by itself
			_ = p.Release()
		}
	}
	if h.nl != nil {
		h.nl.Close()
	}
	return errors.Join(err, h.ns.Close())
}
