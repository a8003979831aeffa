package link

import (
	"errors"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/netmig"
)

// TestProbe wants a new guest refused whose addresses answer: here it is the
// bridge's own, which answers as any host does.
func TestProbe(t *testing.T) {
	inHost(t)
	bridge := mustFind(t, "br0")
	for _, own := range []string{"10.99.0.5/24", "fd99::5/64"} {
		a, err := netlink.ParseAddr(own)
		if err != nil {
			t.Fatal(err)
		}
		a.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(bridge, a); err != nil {
			t.Fatal(err)
		}
	}
	at := netmig.Attachment{Bridge: "br0"}
	free := nic(1)
	free.IP, free.MoreIPs = netip.MustParseAddr("10.99.0.6"), []netip.Addr{netip.MustParseAddr("fd99::6")}
	four, six := free, free
	four.IP = netip4
	six.MoreIPs = []netip.Addr{netip6}
	for _, tt := range []struct {
		name string
		nic  netmig.NIC
		want string // in the message; empty: it is free
	}{
		{"free", free, ""},
		{"IPv4", four, "10.99.0.5"},
		{"IPv6", six, "fd99::5"},
	} {
		p := mustOpen(t, at, tt.nic)
		err := p.Probe(t.Context(), tt.nic, true)
		if e, ok := errors.AsType[*netmig.Error](err); ok != (tt.want != "") || ok && (e.Code != netmig.CodeTaken || !strings.Contains(e.Message, tt.want)) {
			t.Errorf("%s: got %v; want %q", tt.name, err, tt.want)
		}
		mustClose(t, p)
	}
}

// TestProbeFindsDevice wants a new guest refused whose address of its device is
// another's, which has no address of IP that we know.
func TestProbeFindsDevice(t *testing.T) {
	inHost(t)
	n := nic(1)
	n.MAC[0] = 2 // what a host takes for itself
	pair(t, "port", "other")
	defer netlink.LinkDel(mustFind(t, "port"))
	other := mustFind(t, "other")
	set(t, "0", "ipv6/conf/other/dad_transmits")
	if err := errors.Join(netlink.LinkSetDown(other), netlink.LinkSetHardwareAddr(other, n.MAC[:]), netlink.LinkSetUp(other),
		netlink.LinkSetMaster(mustFind(t, "port"), mustFind(t, "br0"))); err != nil {
		t.Fatal(err)
	}
	settled(t, "port", "other")
	p := mustOpen(t, netmig.Attachment{Bridge: "br0"}, n)
	defer mustClose(t, p)
	err := p.Probe(t.Context(), n, true)
	if e, ok := errors.AsType[*netmig.Error](err); !ok || e.Code != netmig.CodeTaken {
		t.Errorf("got %v; want %s", err, netmig.CodeTaken)
	}
}

// settled waits until the kernel has seen two ends up, and given the other its address.
func settled(t *testing.T, one, other string) {
	t.Helper()
	for until := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		list, err := netlink.AddrList(mustFind(t, other), netlink.FAMILY_V6)
		if err != nil || time.Now().After(until) {
			t.Fatalf("%s: got %v and the addresses %v in 10 s", other, err, list)
		}
		addressed := slices.ContainsFunc(list, func(a netlink.Addr) bool { return a.Flags&unix.IFA_F_TENTATIVE == 0 })
		if addressed && mustFind(t, one).Attrs().OperState == netlink.OperUp {
			return
		}
	}
}

// FuzzHas shows that no frame of the network can do harm.
func FuzzHas(f *testing.F) {
	f.Add(moved(netmig.MAC{2, 0, 0, 0, 0, 1}, netip4))
	f.Add(moved(netmig.MAC{2, 0, 0, 0, 0, 1}, netip6))
	f.Add(wanted(netmig.MAC{2, 0, 0, 0, 0, 1}, netip6))
	f.Fuzz(func(t *testing.T, frame []byte) {
		for _, a := range []netip.Addr{netip4, netip6} {
			if who, yes := has(frame, netmig.MAC{2}, a); yes && who == (netmig.MAC{2}) {
				t.Errorf("%x: got our own address for another's", frame)
			}
		}
	})
}
