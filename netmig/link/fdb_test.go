package link

import (
	"errors"
	"net"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/netmig"
)

// whereIs is the port at which br0 has an address, "" if it does not know it.
func whereIs(t *testing.T, mac netmig.MAC) (port string) {
	t.Helper()
	entries, err := netlink.NeighList(0, unix.AF_BRIDGE)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if netmig.MAC(e.HardwareAddr) == mac && e.MasterIndex == mustFind(t, "br0").Attrs().Index {
			l, err := netlink.LinkByIndex(e.LinkIndex)
			if err != nil {
				t.Fatal(err)
			}
			port += l.Attrs().Name
		}
	}
	return port
}

// tell has br0 believe that an address is at a port.
func tell(t *testing.T, port string, mac netmig.MAC, state, flags int) {
	t.Helper()
	err := netlink.NeighSet(&netlink.Neigh{LinkIndex: mustFind(t, port).Attrs().Index, Family: unix.AF_BRIDGE,
		Flags: netlink.NTF_MASTER | flags, State: state, HardwareAddr: net.HardwareAddr(mac[:])})
	if err != nil {
		t.Fatal(err)
	}
}

// TestActivate wants the bridge to send the guest's frames to its port from the
// activation on, whatever it believed before, and not behind its departure.
func TestActivate(t *testing.T) {
	inHost(t)
	if err := netlink.LinkSetMaster(mustFind(t, "eth0"), mustFind(t, "br0")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name         string
		state, flags int
	}{
		{"learnt", netlink.NUD_REACHABLE, 0},
		{"static", netlink.NUD_NOARP, 0},
		{"learnt elsewhere", netlink.NUD_REACHABLE, netlink.NTF_EXT_LEARNED},
		{"sticky", netlink.NUD_NOARP, netlink.NTF_STICKY},
		{"unknown", 0, 0},
	} {
		n := nic(1)
		if tt.state != 0 {
			tell(t, "eth0", n.MAC, tt.state, tt.flags)
		}
		before := whereIs(t, n.MAC)
		p := mustOpen(t, netmig.Attachment{Bridge: "br0"}, n)
		if got := whereIs(t, n.MAC); got != before {
			t.Errorf("%s: before the activation: got %q; want %q, as before", tt.name, got, before)
		}
		for range 2 { // it may be called again
			if err := p.Activate(); err != nil {
				t.Errorf("%s: activate: %v", tt.name, err)
			}
		}
		if got := whereIs(t, n.MAC); got != p.Tap {
			t.Errorf("%s: got the guest at %q; want %q", tt.name, got, p.Tap)
		}
		for range 2 {
			if err := p.Retire(); err != nil {
				t.Errorf("%s: retire: %v", tt.name, err)
			}
		}
		if got := whereIs(t, n.MAC); got != "" || mustFind(t, p.Tap).Attrs().Flags&net.FlagUp != 0 {
			t.Errorf("%s: behind its departure: got the guest at %q, and its tap up %v; want it nowhere, and down", tt.name, got, got == "")
		}
		mustClose(t, p)
	}
}

// TestLocalTap wants a guest to be refused whose address is at another tap of the
// bridge, unless that is its own source's.
func TestLocalTap(t *testing.T) {
	inHost(t)
	n := nic(1)
	at := netmig.Attachment{Bridge: "br0"}
	source := mustOpen(t, at, n)
	defer mustClose(t, source)
	if err := source.Activate(); err != nil {
		t.Fatal(err)
	}
	refused := func(move string) {
		t.Helper()
		p, err := Open(at, n, move)
		if e, ok := errors.AsType[*netmig.Error](err); !ok || e.Code != netmig.CodeTaken {
			t.Errorf("move %q: got %+v, %v; want %s", move, p, err, netmig.CodeTaken)
		}
	}
	refused("")
	refused("m1")
	if err := source.Mark("m1"); err != nil {
		t.Fatal(err)
	}
	refused("m2")
	target, err := Open(at, n, "m1")
	if err != nil {
		t.Fatal(err)
	}
	mustClose(t, target)
	if err := source.Mark(""); err != nil {
		t.Fatal(err)
	}
	refused("m1")
}

// TestAdopt wants who was handed a tap to be able to leave the bridge with it.
func TestAdopt(t *testing.T) {
	inHost(t)
	n := nic(1)
	at := netmig.Attachment{Bridge: "br0"}
	first := mustOpen(t, at, n)
	defer first.Close()
	p, err := Adopt(at, n, first.Tap)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Activate(); err != nil || whereIs(t, n.MAC) != first.Tap {
		t.Errorf("got the guest at %q, %v; want %q", whereIs(t, n.MAC), err, first.Tap)
	}
	if err := p.Retire(); err != nil || whereIs(t, n.MAC) != "" {
		t.Errorf("behind its departure: got the guest at %q, %v; want it nowhere", whereIs(t, n.MAC), err)
	}
	mustClose(t, p)
	if gone, err := Adopt(at, n, "gone"); err != nil || gone.Activate() != nil || gone.Retire() != nil {
		t.Errorf("a link that nobody finds: got %v; want nothing done", err)
	}
}

// TestVLAN wants a port in a VLAN where the kernel can, and else the
// bridge to be refused by name.
func TestVLAN(t *testing.T) {
	inHost(t)
	at := netmig.Attachment{Bridge: "br0", VLAN: 7}
	_, err := Open(at, nic(1), "")
	if e, ok := errors.AsType[*netmig.Error](err); !ok || e.Code != netmig.CodeMismatch {
		t.Errorf("a bridge that does not filter: got %v; want %s", err, netmig.CodeMismatch)
	}
	bridge := mustFind(t, "br0").(*netlink.Bridge)
	err = netlink.BridgeSetVlanFiltering(bridge, true)
	if errors.Is(err, unix.EOPNOTSUPP) {
		t.Log("this kernel has no bridges that filter VLANs: only the refusal is shown")
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	n := nic(1)
	p := mustOpen(t, at, n)
	defer mustClose(t, p)
	all, err := netlink.BridgeVlanList()
	if err != nil {
		t.Fatal(err)
	}
	got := all[int32(p.index)]
	if len(got) != 1 || got[0].Vid != 7 || !got[0].PortVID() || !got[0].EngressUntag() {
		t.Errorf("got VLANs %v of the port; want 7 alone, untagged", got)
	}
	if err := p.Activate(); err != nil || whereIs(t, n.MAC) != p.Tap {
		t.Errorf("got the guest at %q, %v; want %q", whereIs(t, n.MAC), err, p.Tap)
	}
}
