package link

import (
	"bytes"
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/netmig"
)

// inHost takes a test into a network namespace with a bridge br0 of MTU 1400.
// At its end nothing may be left: no link, no descriptor.
func inHost(t *testing.T) {
	t.Helper()
	l, err := lab.New(1)
	if errors.Is(err, lab.ErrNeedsRoot) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	var host netns.NsHandle
	if err := l.Hosts[0].Do(func() (err error) { host, err = netns.Get(); return err }); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	t.Cleanup(func() {
		if err := errors.Join(netns.Set(home), home.Close(), host.Close()); err == nil {
			runtime.UnlockOSThread() // else the thread ends with the test
		}
	})
	bridge := &netlink.Bridge{LinkAttrs: attrs("br0")}
	if err := errors.Join(netns.Set(host), netlink.LinkAdd(bridge), netlink.LinkSetMTU(bridge, 1400), netlink.LinkSetUp(bridge)); err != nil {
		t.Fatal(err)
	}
	links, files := linkNames(t), openFiles(t)
	t.Cleanup(func() {
		if diff := cmp.Diff(links, linkNames(t)); diff != "" {
			t.Errorf("links left behind (-before +after):\n%s", diff)
		}
		if diff := cmp.Diff(files, openFiles(t)); diff != "" {
			t.Errorf("descriptors left behind (-before +after):\n%s", diff)
		}
	})
}

func attrs(name string) netlink.LinkAttrs {
	a := netlink.NewLinkAttrs()
	a.Name = name
	return a
}

func linkNames(t *testing.T) []string {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	slices.Sort(names)
	return names
}

// openFiles lists the taps' descriptors, and sockets, of this process.
func openFiles(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("/proc/self/fd/*")
	if err != nil {
		t.Fatal(err)
	}
	var files []string
	for _, p := range paths {
		if to, err := os.Readlink(p); err == nil && (to == driver || strings.HasPrefix(to, "socket:")) {
			files = append(files, filepath.Base(p)+" "+to)
		}
	}
	slices.Sort(files)
	return files
}

func mustFind(t *testing.T, name string) netlink.Link {
	t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func mustOpen(t *testing.T, a netmig.Attachment, nic netmig.NIC) *Port {
	t.Helper()
	p, err := Open(a, nic, "")
	if err != nil {
		t.Fatalf("open %v: %v", a, err)
	}
	return p
}

func mustClose(t *testing.T, p *Port) {
	t.Helper()
	for range 2 { // it may be called again
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
}

// nic is a device with some queues.
func nic(queues int) netmig.NIC { return netmig.Spec{ID: "eth", Queues: queues}.NIC() }

// TestBridgeKeepsItsAddress on a host whose own port has a high address: one in 64 that are chosen at random begins so.
func TestBridgeKeepsItsAddress(t *testing.T) {
	inHost(t)
	veth := &netlink.Veth{LinkAttrs: attrs("own"), PeerName: "peer"}
	veth.HardwareAddr = net.HardwareAddr{0xfe, 0xee, 1, 2, 3, 4}
	if err := errors.Join(netlink.LinkAdd(veth), netlink.LinkSetMaster(veth, mustFind(t, "br0"))); err != nil {
		t.Fatal(err)
	}
	before := mustFind(t, "br0").Attrs().HardwareAddr
	p := mustOpen(t, netmig.Attachment{Bridge: "br0"}, nic(1))
	if got := mustFind(t, "br0").Attrs().HardwareAddr; !bytes.Equal(got, before) {
		t.Errorf("the bridge had the address %v, and has %v with the tap; want the same", before, got)
	}
	if err := errors.Join(p.Close(), netlink.LinkDel(veth)); err != nil {
		t.Error(err)
	}
}

func TestBridge(t *testing.T) {
	inHost(t)
	for _, queues := range []int{1, 4} {
		n := nic(queues)
		before := mustFind(t, "br0").Attrs()
		p := mustOpen(t, netmig.Attachment{Bridge: "br0"}, n)
		tap := mustFind(t, p.Tap)
		a := tap.Attrs()
		if !strings.HasPrefix(p.Tap, "ferry") || a.MasterIndex != before.Index || a.Flags&net.FlagUp == 0 || a.MTU != 1400 || p.MTU != 1400 {
			t.Errorf("tap: got %q, master %d, %v, MTU %d and %d; want ferry…, %d, up, 1400", p.Tap, a.MasterIndex, a.Flags, a.MTU, p.MTU, before.Index)
		}
		if got := tap.(*netlink.Tuntap); len(p.Queues) != queues || queues > 1 && got.Queues != queues || !got.NonPersist {
			t.Errorf("got %d files, %d queues, persistent %v; want %d queues, and that it goes with them", len(p.Queues), got.Queues, !got.NonPersist, queues)
		}
		if a.HardwareAddr.String() == n.MAC.String() || a.HardwareAddr[0] != 0xfe {
			t.Errorf("address: got %v; want a high one that is not the guest's, %v", a.HardwareAddr, n.MAC)
		}
		if addrs, err := netlink.AddrList(tap, netlink.FAMILY_V6); err != nil || len(addrs) > 0 {
			t.Errorf("addresses: got %v, %v; want none", addrs, err)
		}
		if got := mustFind(t, "br0").Attrs().MTU; got != before.MTU {
			t.Errorf("the bridge's MTU: got %d; want %d, as before", got, before.MTU)
		}
		mustClose(t, p)
	}
}

// TestQueueFile shows what the machine relies on: a packet has a header of 12
// bytes, and the file blocks, which keeps it out of the pollers of Go programs.
func TestQueueFile(t *testing.T) {
	inHost(t)
	p := mustOpen(t, netmig.Attachment{Tap: "mine"}, nic(1))
	defer mustClose(t, p)
	fd := int(p.Queues[0].Fd())
	if got, err := unix.IoctlGetInt(fd, unix.TUNGETVNETHDRSZ); err != nil || got != headerSize {
		t.Errorf("header: got %d bytes, %v; want %d", got, err, headerSize)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); err != nil || flags&unix.O_NONBLOCK != 0 {
		t.Errorf("flags: got %#x, %v; want no O_NONBLOCK", flags, err)
	}
	if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags: got %#x, %v; want FD_CLOEXEC", flags, err)
	}
}

func TestTapThatIsCreated(t *testing.T) {
	inHost(t)
	n := nic(2)
	n.MTU = 9000
	p := mustOpen(t, netmig.Attachment{Tap: "mine"}, n)
	if a := mustFind(t, "mine").Attrs(); p.Tap != "mine" || a.MTU != 9000 || a.Flags&net.FlagUp == 0 {
		t.Errorf("got %q, MTU %d, %v; want mine, 9000, up", p.Tap, a.MTU, a.Flags)
	}
	mustClose(t, p)
}

// persist makes a tap as `ip tuntap add` does, and removes it when the test in
// the namespace is over.
func persist(t *testing.T, name string, flags netlink.TuntapFlag) (remove func()) {
	t.Helper()
	tap := &netlink.Tuntap{LinkAttrs: attrs(name), Mode: netlink.TUNTAP_MODE_TAP, Flags: flags | netlink.TUNTAP_NO_PI, Queues: 1}
	if err := netlink.LinkAdd(tap); err != nil {
		t.Fatal(err)
	}
	closeAll(tap.Fds)
	return func() {
		if err := netlink.LinkDel(mustFind(t, name)); err != nil {
			t.Errorf("the tap that was there before: %v", err)
		}
	}
}

func TestTapThatIsTakenOver(t *testing.T) {
	inHost(t)
	for _, tt := range []struct {
		queues int
		flags  netlink.TuntapFlag
		up     bool
	}{
		{queues: 1},
		{queues: 1, up: true},
		{queues: 1, flags: netlink.TUNTAP_MULTI_QUEUE},
		{queues: 3, flags: netlink.TUNTAP_MULTI_QUEUE, up: true},
	} {
		remove := persist(t, "theirs", tt.flags)
		if tt.up {
			if err := netlink.LinkSetUp(mustFind(t, "theirs")); err != nil {
				t.Fatal(err)
			}
		}
		before := mustFind(t, "theirs").Attrs()
		p := mustOpen(t, netmig.Attachment{Tap: "theirs"}, nic(tt.queues))
		if got := mustFind(t, "theirs"); got.Attrs().Flags&net.FlagUp == 0 || len(p.Queues) != tt.queues || p.MTU != before.MTU {
			t.Errorf("%+v: got %v, %d queues, MTU %d; want up, %d, %d", tt, got.Attrs().Flags, len(p.Queues), p.MTU, tt.queues, before.MTU)
		}
		mustClose(t, p)
		after := mustFind(t, "theirs").Attrs()
		if after.Flags&net.FlagUp != before.Flags&net.FlagUp || after.MTU != before.MTU || after.HardwareAddr.String() != before.HardwareAddr.String() {
			t.Errorf("%+v: got %v, %d, %v; want it as before: %v, %d, %v", tt, after.Flags, after.MTU, after.HardwareAddr, before.Flags, before.MTU, before.HardwareAddr)
		}
		remove()
	}
}

func TestRefusals(t *testing.T) {
	inHost(t)
	defer persist(t, "single", 0)()
	tun := &netlink.Tuntap{LinkAttrs: attrs("tun0"), Mode: netlink.TUNTAP_MODE_TUN}
	if err := netlink.LinkAdd(tun); err != nil {
		t.Fatal(err)
	}
	defer netlink.LinkDel(tun)
	busy := mustOpen(t, netmig.Attachment{Tap: "busy"}, nic(2))
	defer busy.Close()
	busy1 := mustOpen(t, netmig.Attachment{Tap: "busy1"}, nic(1))
	defer busy1.Close()
	wide := nic(1)
	wide.MTU = 1401
	tests := []struct {
		at   netmig.Attachment
		nic  netmig.NIC
		code string
		want string // in message or remedy
	}{
		{netmig.Attachment{Bridge: "br9"}, nic(1), netmig.CodeAbsent, "br9"},
		{netmig.Attachment{Bridge: "eth0"}, nic(1), netmig.CodeMismatch, "veth"},
		{netmig.Attachment{Bridge: "br0"}, wide, netmig.CodeMismatch, "ip link set br0 mtu 1401"},
		{netmig.Attachment{Tap: "eth0"}, nic(1), netmig.CodeMismatch, "not a tap"},
		{netmig.Attachment{Tap: "tun0"}, nic(1), netmig.CodeMismatch, "not a tap"},
		{netmig.Attachment{Tap: "busy"}, nic(1), netmig.CodeBusy, "busy"},
		{netmig.Attachment{Tap: "busy"}, nic(2), netmig.CodeBusy, "busy"},
		{netmig.Attachment{Tap: "busy1"}, nic(1), netmig.CodeBusy, "busy1"},
		{netmig.Attachment{Tap: "single"}, nic(2), netmig.CodeMismatch, "multi_queue"},
		{netmig.Attachment{Tap: "br0"}, nic(1), netmig.CodeMismatch, "not a tap"},
	}
	links, files := linkNames(t), openFiles(t)
	for _, tt := range tests {
		tt.nic.ID = "eth"
		p, err := Open(tt.at, tt.nic, "")
		var e *netmig.Error
		if !errors.As(err, &e) {
			t.Errorf("%+v: got %+v, %v; want an error", tt.at, p, err)
			continue
		}
		if e.Code != tt.code || e.Remedy == "" || !strings.Contains(e.Error()+e.Remedy, tt.want) {
			t.Errorf("%+v: got %s: %s (%s); want %s, %q", tt.at, e.Code, e.Error(), e.Remedy, tt.code, tt.want)
		}
	}
	if diff := cmp.Diff(links, linkNames(t)) + cmp.Diff(files, openFiles(t)); diff != "" {
		t.Errorf("left behind (-before +after):\n%s", diff)
	}
}

// TestLaterStepFails shows that a tap goes when it cannot be made a port.
func TestLaterStepFails(t *testing.T) {
	inHost(t)
	plan, err := netmig.NewPlan(netmig.Attachment{Bridge: "gone"}, nic(2), "", netmig.Facts{Link: &netmig.Link{Name: "gone", Kind: netmig.KindBridge, MTU: 1400}})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Apply(plan)
	var e *netmig.Error
	if !errors.As(err, &e) || e.Code != netmig.CodeHost {
		t.Errorf("got %+v, %v; want a failure of the host", p, err)
	}
}

// TestNoPermission runs without the right to make taps.
func TestNoPermission(t *testing.T) {
	inHost(t)
	capable := capabilities(t)
	without := capable
	without.Effective &^= 1 << unix.CAP_NET_ADMIN
	setCapabilities(t, without)
	defer setCapabilities(t, capable)
	for _, spec := range []netmig.Attachment{{Tap: "mine"}, {Bridge: "br0"}} {
		p, err := Open(spec, nic(1), "")
		var e *netmig.Error
		if !errors.As(err, &e) || e.Code != netmig.CodePermission || !strings.Contains(e.Remedy, "CAP_NET_ADMIN") {
			t.Errorf("%+v: got %+v, %v; want a refusal that names CAP_NET_ADMIN", spec, p, err)
		}
	}
}

// capabilities are the lower 32 of this thread.
func capabilities(t *testing.T) unix.CapUserData {
	t.Helper()
	var data [2]unix.CapUserData
	if err := unix.Capget(&unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}, &data[0]); err != nil {
		t.Fatal(err)
	}
	return data[0]
}

func setCapabilities(t *testing.T, low unix.CapUserData) {
	t.Helper()
	var data [2]unix.CapUserData
	header := &unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	if err := unix.Capget(header, &data[0]); err != nil {
		t.Fatal(err)
	}
	data[0] = low
	if err := unix.Capset(header, &data[0]); err != nil {
		t.Fatal(err)
	}
}

func TestExplain(t *testing.T) {
	open := func(errno unix.Errno) error { return &os.PathError{Op: "open", Path: driver, Err: errno} }
	for _, tt := range []struct {
		err  error
		want string
	}{
		{open(unix.ENOENT), netmig.CodeAbsent},
		{open(unix.ENODEV), netmig.CodeAbsent},
		{open(unix.EACCES), netmig.CodePermission},
		{unix.EPERM, netmig.CodePermission},
		{unix.EBUSY, netmig.CodeBusy},
		{unix.EINVAL, netmig.CodeMismatch},
		{unix.ENOMEM, netmig.CodeHost},
	} {
		var e *netmig.Error
		if err := explain("tap0", tt.err); !errors.As(err, &e) || e.Code != tt.want || e.Remedy == "" || !errors.Is(err, tt.err) {
			t.Errorf("%v: got %+v; want %s and a remedy", tt.err, err, tt.want)
		}
	}
}
