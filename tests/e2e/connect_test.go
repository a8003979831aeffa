package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// guestMAC is the guest's address where a test gives it one.
const guestMAC = "02:00:00:00:00:66"

// links names what a host has of links, routes to single addresses, and neighbours
// that it answers for, but for the lab's own.
func links(t *testing.T, h *lab.Host) (all []string) {
	t.Helper()
	err := h.Do(func() error {
		list, err := netlink.LinkList()
		if err != nil {
			return err
		}
		for _, l := range list {
			all = append(all, l.Attrs().Name)
		}
		for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
			routes, err := netlink.RouteList(nil, family)
			if err != nil {
				return err
			}
			for _, r := range routes {
				if ones, bits := r.Dst.Mask.Size(); ones == bits {
					all = append(all, r.Dst.String())
				}
			}
			proxies, err := netlink.NeighProxyList(0, family)
			if err != nil {
				return err
			}
			for _, p := range proxies {
				all = append(all, "proxy "+p.IP.String())
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// port is the port at which a host's bridge has the guest, "" if it does not know it.
func port(t *testing.T, h *lab.Host) (name string) {
	t.Helper()
	err := h.Do(func() error {
		entries, err := netlink.NeighList(0, unix.AF_BRIDGE)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if e.HardwareAddr.String() == guestMAC && e.MasterIndex != 0 {
				l, err := netlink.LinkByIndex(e.LinkIndex)
				if err != nil {
					return err
				}
				name += l.Attrs().Name
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// hook gives a site a network hook.
func hook(t *testing.T, s *drive.Site, script string) {
	t.Helper()
	dir := filepath.Join(s.Dir, "netmig.d")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.WriteFile(filepath.Join(dir, "10-hook"), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
}

// events has a site's hook note each event, and returns how to read them.
func events(t *testing.T, s *drive.Site) (read func() string) {
	t.Helper()
	out := filepath.Join(t.TempDir(), "events")
	hook(t, s, `sed 's/.*"event":"\([a-z]*\)".*/\1 /' | tr -d '\n' >>`+out)
	return func() string {
		b, err := os.ReadFile(out)
		if err != nil && !os.IsNotExist(err) {
			t.Error(err)
		}
		return string(b)
	}
}

// TestBridgesFollowTheGuest wants the bridge of the host where the guest is to send its
// frames to its tap, no other to one of its own, nothing left where it was, and the
// hooks to hear of it all.
func TestBridgesFollowTheGuest(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	bridged(t, w)
	before := [2][]string{links(t, w.Lab.Hosts[0]), links(t, w.Lab.Hosts[1])}
	heard := [2]func() string{events(t, w.Sites[0]), events(t, w.Sites[1])}
	net := "eth=bridge=" + lab.BridgeName
	trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=4", Args: []string{"--net", net + ",mac=" + guestMAC}, Receive: []string{"--net", net}})
	for range 3 {
		completes(t, ctx, trip)
		here, there := w.Lab.Hosts[trip.At], w.Lab.Hosts[1-trip.At]
		until(t, ctx, "the bridge knows the guest", func() bool { return strings.HasPrefix(port(t, here), "ferry") })
		if got := port(t, there); strings.HasPrefix(got, "ferry") {
			t.Errorf("where the guest was: got it at %s; want it elsewhere", got)
		}
		if diff := cmp.Diff(before[1-trip.At], links(t, there)); diff != "" {
			t.Errorf("where the guest was (-before +now):\n%s", diff)
		}
	}
	stop(t, ctx, trip)
	want := [2]string{"reserve activate release reserve activate release ", "reserve activate release reserve activate release "}
	if got := [2]string{heard[0](), heard[1]()}; got != want {
		t.Errorf("hooks: got %q; want %q", got, want)
	}
}

// TestNetworkRefusesANewGuest wants vmm run to name what is wrong before there is
// anything, and to leave nothing.
func TestNetworkRefusesANewGuest(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 2)
	bridged(t, w)
	site, host := w.Sites[0], w.Lab.Hosts[0]
	before := links(t, host)
	run := func(wrap []string, net string) drive.Done {
		t.Helper()
		d, err := site.ExecIn(ctx, wrap, "run", "--memory", "32M", "--cmdline", "fill=4", "--detach", "--json", "--net", net)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, tt := range []struct {
		name string
		net  string
		code string
		says string // in message or remedy
	}{
		{"another host's address", fmt.Sprintf("eth=bridge=br0,ip=%v", w.Lab.Hosts[1].Addr), "network_taken", w.Lab.Hosts[1].Addr.String()},
		{"this host's address", fmt.Sprintf("eth=bridge=br0,ip=%v", host.Addr), "network_taken", host.Addr.String()},
		{"a VLAN without VLANs", "eth=bridge=br0,vlan=7", "network_mismatch", "vlan_filtering 1"},
		{"a route without an address", "eth=tap=t,route", "usage", "ip="},
		{"a route without forwarding", "eth=tap=t,route,ip=10.77.0.100", "network_mismatch", "ip_forward"},
		{"a macvtap on nothing", "eth=macvtap=none", "network_absent", "none"},
		{"a macvtap on a port", "eth=macvtap=eth0", "network_mismatch", "eth0"},
	} {
		d := run(nil, tt.net)
		if got := failure(t, d, tt.code); d.Code == 0 || !strings.Contains(got.Message+got.Remedy, tt.says) {
			t.Errorf("%s: got %+v, exit %d; want it to name %s", tt.name, got, d.Code, tt.says)
		}
	}
	bounded := []string{"setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"}
	if got := failure(t, run(bounded, "eth=bridge=br0"), "network_permission"); !strings.Contains(got.Remedy, "CAP_NET_ADMIN") {
		t.Errorf("without the right to: got %+v; want it to name CAP_NET_ADMIN", got)
	}
	hook(t, site, "echo no room >&2; exit 1")
	if got := failure(t, run(nil, "eth=bridge=br0"), "network_hook"); !strings.Contains(got.Message, "no room") {
		t.Errorf("a hook that fails: got %+v; want what it said", got)
	}
	if diff := cmp.Diff(before, links(t, host)); diff != "" {
		t.Errorf("left behind (-before +after):\n%s", diff)
	}
}

// TestNetworkRefusesAMove wants a target to refuse by name, before the guest
// is touched, and the guest to move once nothing is wrong any more.
func TestNetworkRefusesAMove(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	bridged(t, w)
	site, host := w.Sites[1], w.Lab.Hosts[1]
	net := "eth=bridge=" + lab.BridgeName
	trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=4", Args: []string{"--net", net + ",mac=" + guestMAC}, Receive: []string{"--net", net}})
	before := links(t, host)
	refused := func(what, code, says string) {
		t.Helper()
		m, err := trip.Move(ctx)
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if m.Outcome != "failed" || m.Error == nil || m.Error.Code != code || !strings.Contains(m.Error.Message+m.Error.Remedy, says) {
			t.Errorf("%s: got %s, %+v; want %s, and %s named", what, m.Outcome, m.Error, code, says)
		}
		if diff := cmp.Diff(before, links(t, host)); diff != "" {
			t.Errorf("%s: left behind (-before +after):\n%s", what, diff)
		}
		stays(t, ctx, trip)
	}
	setMTU := func(mtu int) {
		t.Helper()
		if err := host.Do(func() error {
			bridge, err := netlink.LinkByName(lab.BridgeName)
			if err != nil {
				return err
			}
			return netlink.LinkSetMTU(bridge, mtu)
		}); err != nil {
			t.Fatal(err)
		}
	}
	setMTU(1400)
	refused("a smaller MTU", "network_mismatch", "ip link set br0 mtu 1500")
	setMTU(1500)
	hook(t, site, "exit 1")
	refused("a hook that fails", "network_hook", "10-hook")
	hook(t, site, "sleep 60")
	refused("a hook that hangs", "network_hook", "10-hook")
	if err := os.RemoveAll(filepath.Join(site.Dir, "netmig.d")); err != nil {
		t.Fatal(err)
	}
	exec(t, ctx, site, 0, "run", "--name", "twin", "--memory", "32M", "--cmdline", "fill=4", "--detach", "--net", net+",mac="+guestMAC)
	twin := links(t, host)
	before, twin = twin, before
	refused("another guest's address", "network_taken", guestMAC)
	exec(t, ctx, site, 0, "kill", "twin")
	before = twin
	completes(t, ctx, trip)
	stop(t, ctx, trip)
}

// TestOtherNetworks has a third host talk to a guest that moves where no bridge is: by
// macvtaps, and by routes. Nothing may be left, also of a guest that is killed.
func TestOtherNetworks(t *testing.T) {
	for _, tt := range []struct{ name, net string }{
		{"macvtap", "eth=macvtap=eth0"},
		{"route", "eth=tap=guest,route"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := within(t, 2*time.Minute)
			w := newWorld(t, 3)
			for _, h := range w.Lab.Hosts[:2] {
				if err := h.Do(func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) }); err != nil {
					t.Fatal(err)
				}
			}
			before := [2][]string{links(t, w.Lab.Hosts[0]), links(t, w.Lab.Hosts[1])}
			trip := boot(t, ctx, &drive.World{Lab: w.Lab, Sites: w.Sites[:2]}, drive.Guest{
				Cmdline: fmt.Sprintf("fill=8 wss=4 net=%v/24", guestIP),
				Args:    []string{"--net", tt.net + fmt.Sprintf(",ip=%v", guestIP)},
				Receive: []string{"--net", tt.net},
			})
			e, err := drive.StartEcho(w.Lab.Hosts[2], "udp", guestIP)
			if err != nil {
				t.Fatal(err)
			}
			for range 3 {
				if err := e.Await(ctx); err != nil {
					t.Fatal(err)
				}
				completes(t, ctx, trip)
				if diff := cmp.Diff(before[1-trip.At], links(t, w.Lab.Hosts[1-trip.At])); diff != "" {
					t.Errorf("where the guest was (-before +now):\n%s", diff)
				}
			}
			if err := e.Await(ctx); err != nil {
				t.Fatal(err)
			}
			if err := e.Stop(); err != nil {
				t.Error(err)
			}
			site := w.Sites[trip.At]
			killBoth(t, ctx, trip)
			until(t, ctx, "nothing is left of a guest that was killed", func() bool {
				list, err := site.PS(ctx)
				if err != nil {
					t.Fatal(err)
				}
				return len(list) == 0 && cmp.Equal(before[trip.At], links(t, w.Lab.Hosts[trip.At]))
			})
		})
	}
}

// killBoth kills a guest's supervisor and its machine, as no vmm would.
func killBoth(t *testing.T, ctx context.Context, trip *drive.Trip) {
	t.Helper()
	list, err := trip.Sites[trip.At].PS(ctx)
	if err != nil || len(list) != 1 {
		t.Fatalf("got %+v, %v; want one guest", list, err)
	}
	if err := errors.Join(trip.Process.Kill(), unix.Kill(list[0].PID, unix.SIGKILL)); err != nil {
		t.Fatal(err)
	}
}
