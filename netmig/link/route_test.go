package link

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/netmig"
)

var (
	netip4 = netip.MustParseAddr("10.99.0.5")
	netip6 = netip.MustParseAddr("fd99::5")
)

// routing lists the routes and the proxies of the namespace.
func routing(t *testing.T) (all []string) {
	t.Helper()
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := netlink.RouteList(nil, family)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range routes {
			if ones, bits := r.Dst.Mask.Size(); ones == bits && r.Table == unix.RT_TABLE_MAIN {
				all = append(all, r.Dst.String())
			}
		}
		proxies, err := netlink.NeighProxyList(0, family)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range proxies {
			all = append(all, "proxy "+p.IP.String())
		}
	}
	return all
}

func set(t *testing.T, value string, knobs ...string) {
	t.Helper()
	for _, k := range knobs {
		if err := os.WriteFile("/proc/sys/net/"+k, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// uplinked gives the namespace an uplink whose network has the guest's addresses.
func uplinked(t *testing.T) (remove func()) {
	t.Helper()
	pair(t, "up", "far")
	up := mustFind(t, "up")
	for _, own := range []string{"10.99.0.1/24", "fd99::1/64"} {
		a, err := netlink.ParseAddr(own)
		if err != nil {
			t.Fatal(err)
		}
		a.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(up, a); err != nil {
			t.Fatal(err)
		}
	}
	return func() {
		if err := netlink.LinkDel(up); err != nil {
			t.Error(err)
		}
	}
}

func TestRouted(t *testing.T) {
	inHost(t)
	defer uplinked(t)()
	n := nic(1)
	n.IP, n.MoreIPs = netip4, []netip.Addr{netip6}
	at := netmig.Attachment{Tap: "guest", Routed: true}
	for _, knob := range []string{"ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/up/proxy_ndp"} {
		if _, err := Open(at, n, ""); !errors.As(err, new(*netmig.Error)) {
			t.Errorf("without %s: got %v; want a refusal", knob, err)
		}
		set(t, "1", knob)
	}
	before := routing(t)
	far := listener(t, "far")
	p := mustOpen(t, at, n)
	if diff := cmp.Diff(before, routing(t)); diff != "" {
		t.Errorf("before the activation (-before +now):\n%s", diff)
	}
	for range 2 {
		if err := p.Activate(); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"10.99.0.5/32", "proxy 10.99.0.5", "fd99::5/128", "proxy fd99::5"}
	got := routing(t)
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("got routes and proxies %v; want %s", got, w)
		}
	}
	host := netmig.MAC(mustFind(t, "up").Attrs().HardwareAddr)
	waitFrame(t, far, 0, "ARP", func(b []byte) bool { return bytes.Equal(b, moved(host, netip4)) })
	waitFrame(t, far, 0, "neighbour discovery", func(b []byte) bool { return bytes.Equal(b, moved(host, netip6)) })
	// The host's own packets reach the guest without asking for it.
	conn, err := net.Dial("udp", "10.99.0.5:7")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	waitFrame(t, int(descriptor(p.Queues[0])), headerSize, "for the guest", func(b []byte) bool {
		return netmig.MAC(b) == n.MAC && bytes.HasSuffix(b, []byte("hello"))
	})
	// The host answers the guest for whatever it looks for.
	if err := p.send(request(n.MAC, netip4, netip.MustParseAddr("10.99.0.77"))); err != nil {
		t.Fatal(err)
	}
	waitFrame(t, int(descriptor(p.Queues[0])), headerSize, "the answer of the proxy", func(b []byte) bool {
		_, yes := has(b, n.MAC, netip.MustParseAddr("10.99.0.77"))
		return yes
	})
	if err := p.Retire(); err != nil {
		t.Errorf("retire: %v", err)
	}
	if diff := cmp.Diff(before, routing(t)); diff != "" {
		t.Errorf("behind its departure (-before +now):\n%s", diff)
	}
	mustClose(t, p)
}

// TestCloseUnroutes wants nothing left where the guest ends without leaving.
func TestCloseUnroutes(t *testing.T) {
	inHost(t)
	defer uplinked(t)()
	set(t, "1", "ipv4/ip_forward")
	defer persist(t, "theirs", 0)()
	before := routing(t)
	n := nic(1)
	n.IP = netip4
	p := mustOpen(t, netmig.Attachment{Tap: "theirs", Routed: true}, n)
	if err := p.Activate(); err != nil {
		t.Fatal(err)
	}
	mustClose(t, p)
	if diff := cmp.Diff(before, routing(t)); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// TestUnroute wants who finds the note of a killed process to be able to clean up,
// whether the tap is still there or not.
func TestUnroute(t *testing.T) {
	inHost(t)
	defer uplinked(t)()
	set(t, "1", "ipv4/ip_forward")
	remove := persist(t, "theirs", 0)
	before := routing(t)
	n := nic(1)
	n.IP = netip4
	for _, tap := range []string{"theirs", "mine"} {
		p := mustOpen(t, netmig.Attachment{Tap: tap, Routed: true}, n)
		if err := p.Activate(); err != nil {
			t.Fatal(err)
		}
		p.Leave() // as who is killed
		for range 2 {
			if err := Unroute(tap, p.Routes()); err != nil {
				t.Errorf("%s: %v", tap, err)
			}
		}
		if diff := cmp.Diff(before, routing(t)); diff != "" {
			t.Errorf("%s: (-before +after):\n%s", tap, diff)
		}
	}
	remove()
}
