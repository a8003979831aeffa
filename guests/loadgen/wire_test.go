package loadgen_test

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/lab"
)

const (
	tapName   = "tap0"
	ownIP     = "10.78.0.1"
	guestIP   = "10.78.0.2"
	guestNet  = guestIP + "/24"
	typeLoad  = 0x88b5
	etherHead = 14
)

// wire is a network namespace with a tap: the guest is at the one end and the kernel, at ownIP, at the other.
type wire struct {
	host *lab.Host
	tap  netlink.Link
}

func newWire(t *testing.T, mtu int) *wire {
	t.Helper()
	needKVM(t)
	l, err := lab.New(1)
	if errors.Is(err, lab.ErrNeedsRoot) {
		unavailable(t, err.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	w := &wire{host: l.Hosts[0]}
	w.do(t, func() error {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = tapName
		if err := netlink.LinkAdd(&netlink.Tuntap{LinkAttrs: attrs, Mode: netlink.TUNTAP_MODE_TAP, Flags: netlink.TUNTAP_DEFAULTS | netlink.TUNTAP_VNET_HDR}); err != nil {
			return err
		}
		// The kernel would say things of its own.
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+tapName+"/disable_ipv6", []byte("1"), 0); err != nil {
			return err
		}
		if w.tap, err = netlink.LinkByName(tapName); err != nil {
			return err
		}
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(ownIP), Mask: net.CIDRMask(24, 32)}}
		return errors.Join(netlink.LinkSetMTU(w.tap, mtu), netlink.AddrAdd(w.tap, addr), netlink.LinkSetUp(w.tap))
	})
	return w
}

// do runs fn inside the namespace.
func (w *wire) do(t *testing.T, fn func() error) {
	t.Helper()
	if err := w.host.Do(fn); err != nil {
		t.Fatal(err)
	}
}

// dial opens a socket of the kernel's, "udp" or "ip4:icmp", to the guest.
func (w *wire) dial(t *testing.T, network, address string) net.Conn {
	t.Helper()
	var conn net.Conn
	w.do(t, func() (err error) {
		conn, err = net.Dial(network, address)
		return err
	})
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	return conn
}

// packets is a raw socket on the wire.
type packets struct {
	file *os.File
}

// raw opens a raw socket for frames of one type.
func (w *wire) raw(t *testing.T, etherType uint16) packets {
	t.Helper()
	var file *os.File
	w.do(t, func() error {
		wireType := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, etherType))
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			return err
		}
		file = os.NewFile(uintptr(fd), "packets")
		return unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: wireType, Ifindex: w.tap.Attrs().Index})
	})
	t.Cleanup(func() { file.Close() })
	if err := file.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return packets{file}
}

func (p packets) send(t *testing.T, frame []byte) {
	t.Helper()
	if _, err := p.file.Write(frame); err != nil {
		t.Fatal(err)
	}
}

// receive returns the next frame that comes from the MAC address.
func (p packets) receive(t *testing.T, from net.HardwareAddr) []byte {
	t.Helper()
	b := make([]byte, 1<<16)
	for {
		n, err := p.file.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		if n >= etherHead && string(b[6:12]) == string(from) {
			return b[:n]
		}
	}
}
