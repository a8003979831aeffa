package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guests/linux"
	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/tests/drive"
)

// newNetWorld is newWorld with two hosts' bridges on a switch, and a client. At the
// test's end nothing may be left in the hosts' networks either.
func newNetWorld(t *testing.T) *drive.NetWorld {
	t.Helper()
	needKVM(t)
	n, err := drive.NewNetWorld(vmm)
	if errors.Is(err, lab.ErrNeedsRoot) {
		lack(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		left, err := n.Leftovers()
		if err != nil {
			t.Error(err)
		}
		if len(left) > 0 {
			t.Errorf("got left behind: %q; want nothing", left)
		}
		if t.Failed() {
			showLogs(t, n.World)
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// bootNet boots loadgen on the first host's bridge.
func bootNet(t *testing.T, ctx context.Context, n *drive.NetWorld, words string) *drive.Trip {
	t.Helper()
	return boot(t, ctx, n.World, drive.Guest{
		Memory: 64, Cmdline: "fill=16 wss=4 " + words + " net=" + drive.NetGuest.String() + "/24", Args: drive.NetBridge, Receive: drive.NetBridge,
	})
}

// asked starts clients of the guest at the client's host: over UDP each millisecond, and by ICMP each ten.
func asked(t *testing.T, ctx context.Context, n *drive.NetWorld, guest netip.Addr) drive.Clients {
	t.Helper()
	c, err := drive.StartClients(ctx, n.Client, lab.PingConfig{To: guest, Over: lab.UDP}, lab.PingConfig{To: guest, Over: lab.ICMP, Every: 10 * lab.Pace})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// answered wants every packet answered once, and in order but for those that reached the target late.
func answered(t *testing.T, c drive.Clients, moves ...drive.Moved) {
	t.Helper()
	r, late := c.Stop(), uint64(0)
	for _, m := range moves {
		t.Logf("downtime %.1f ms, gap %v, %+v", m.DowntimeMS, m.Gap(), m.Network)
		late += m.Network.FramesLate
		if r.LostAt != 0 {
			t.Logf("the first packet was lost %v after the guest was alive", r.LostAt-m.Alive)
		}
	}
	t.Log(r)
	if r.Lost+r.Duplicated+r.Wrong > 0 || r.Reordered > late || r.Sent == 0 {
		t.Errorf("got %v, %d frames late; want each packet answered once, in order", r, late)
	}
}

// TestNoPacketIsLost moves a guest there and back in each way to send memory, asked a thousand times a second.
func TestNoPacketIsLost(t *testing.T) {
	needKVM(t)
	s, err := drive.SoakNet(within(t, 2*time.Minute), drive.SoakConfig{Vmm: vmm, Moves: 4, Modes: []string{"precopy", "postcopy", "hybrid", "stopcopy"}, Log: t.Output()})
	t.Logf("%+v", s)
	if errors.Is(err, lab.ErrNeedsRoot) {
		lack(t, err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestFailedMoveLosesNoPacket has moves fail while the guest stands still: what came meanwhile is delivered where it stays.
func TestFailedMoveLosesNoPacket(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	n := newNetWorld(t)
	trip := bootNet(t, ctx, n, "rate=2")
	c := asked(t, ctx, n, drive.NetGuest)
	for _, at := range []drive.Boundary{
		{Role: migration.RoleControl, Type: drive.FrameState},
		{Role: migration.RoleControl, Type: drive.FramePrepared, Answer: true},
	} {
		target, err := n.Sites[1].Receive(trip.Observer, fmt.Sprint("target of ", at), drive.NetBridge...)
		if err != nil {
			t.Fatal(err)
		}
		relay, err := drive.NewRelayAt(n.Sites[0].Host, target.Listening)
		if err != nil {
			t.Fatal(err)
		}
		relay.At(at, func() { relay.Cut(drive.Reset) })
		m, err := n.Sites[0].Migrate(ctx, "alpha", relay.Address(), "--mode", "precopy")
		if err != nil {
			t.Fatal(err)
		}
		failedAtSource(t, m, "failed")
		if err := relay.Close(); err != nil {
			t.Error(err)
		}
		interrupted(t, ctx, target)
		stays(t, ctx, trip)
	}
	answered(t, c)
	stop(t, ctx, trip)
}

// TestSwitchAndBridgeLearn wants the forwarding entries to point to the target, and the client to hear the announcements.
func TestSwitchAndBridgeLearn(t *testing.T) {
	ctx := within(t, time.Minute)
	n := newNetWorld(t)
	trip := bootNet(t, ctx, n, "")
	c := asked(t, ctx, n, drive.NetGuest)
	mac := macOf(t, ctx, n.Sites[0])
	outside, err := n.Lab.Forwarding(mac)
	if err != nil {
		t.Fatal(err)
	}
	defer outside.Close()
	inside, err := n.Sites[1].Host.Forwarding(mac)
	if err != nil {
		t.Fatal(err)
	}
	defer inside.Close()
	heard, err := n.Client.Capture("eth0", func(f []byte) bool { return len(f) > 14 && bytes.Equal(f[6:12], mac) && f[0]&1 == 1 })
	if err != nil {
		t.Fatal(err)
	}
	defer heard.Close()
	start := lab.Now()
	m := completes(t, ctx, trip)
	learned, err := outside.Wait(ctx, start, func(f lab.Forwarded) bool { return f.Port == n.Sites[1].Host.Port() })
	if err != nil {
		t.Fatal(err)
	}
	local, err := inside.Wait(ctx, start, func(f lab.Forwarded) bool { return f.Port != "" && f.Port != "eth0" })
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the switch knows after %v, the target's bridge after %v", learned.At-m.Alive, local.At-m.Alive)
	for _, form := range []struct {
		name  string
		match func(f []byte) bool
	}{
		{"RARP", func(f []byte) bool { return f[12] == 0x80 && f[13] == 0x35 }},
		{"gratuitous ARP request", func(f []byte) bool { return gratuitous(f, 1) }},
		{"gratuitous ARP reply", func(f []byte) bool { return gratuitous(f, 2) }},
	} {
		if _, err := heard.Wait(within(t, 10*time.Second), func(f lab.Frame) bool { return !f.Sent && form.match(f.Data) }); err != nil {
			t.Errorf("no %s at the client: %v", form.name, err)
		}
	}
	answered(t, c, m)
	stop(t, ctx, trip)
}

// gratuitous says whether a frame is an ARP of the guest about itself.
func gratuitous(f []byte, operation byte) bool {
	ip := drive.NetGuest.AsSlice()
	return len(f) >= 42 && f[12] == 8 && f[13] == 6 && f[21] == operation && bytes.Equal(f[28:32], ip) && bytes.Equal(f[38:42], ip)
}

// guestMAC is the address of the guest's first network device.
func macOf(t *testing.T, ctx context.Context, s *drive.Site) net.HardwareAddr {
	t.Helper()
	info, err := s.Info(ctx, "alpha")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range info.Devices {
		if mac, err := net.ParseMAC(d.MAC); err == nil {
			return mac
		}
	}
	t.Fatalf("got no device with a MAC: %+v", info.Devices)
	return nil
}

// TestSeveralNICsMove: the guest answers at one; all are made at the target, and none is left at the source.
func TestSeveralNICsMove(t *testing.T) {
	ctx := within(t, time.Minute)
	n := newNetWorld(t)
	bridge := "bridge=" + lab.BridgeName
	nics := []string{"--net", "a=" + bridge, "--net", "b=" + bridge + ",queues=2", "--net", "c=" + bridge}
	trip := boot(t, ctx, n.World, drive.Guest{
		Memory: 64, Cmdline: "fill=16 wss=4 net=" + drive.NetGuest.String() + "/24", Args: nics, Receive: nics,
	})
	c := asked(t, ctx, n, drive.NetGuest)
	var moves []drive.Moved
	for range 2 {
		moves = append(moves, completes(t, ctx, trip))
	}
	answered(t, c, moves...)
	stop(t, ctx, trip)
}

// TestLinuxKeepsItsConnection: a TCP stream is neither reset nor wrong.
func TestLinuxKeepsItsConnection(t *testing.T) {
	needKVM(t)
	s, err := drive.SoakNetLinux(within(t, 5*time.Minute), drive.SoakConfig{Vmm: vmm, Moves: 2, Log: t.Output()}, linux.Require(t, linux.Fast))
	t.Logf("%+v", s)
	if errors.Is(err, lab.ErrNeedsRoot) {
		lack(t, err)
	}
	if err != nil || s.StreamBytes == 0 {
		t.Errorf("got %+v, %v; want the stream whole", s, err)
	}
}

// TestIPv6Guest has no IPv4 at all.
func TestIPv6Guest(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	n := newNetWorld(t)
	trip := boot(t, ctx, n.World, drive.Guest{
		Memory: 64, Cmdline: "fill=16 wss=4 rate=2 net=" + drive.NetGuest6.String() + "/64", Args: drive.NetBridge, Receive: drive.NetBridge,
	})
	c := asked(t, ctx, n, drive.NetGuest6)
	var moves []drive.Moved
	for _, mode := range []string{"precopy", "postcopy"} {
		moves = append(moves, completes(t, ctx, trip, "--mode", mode))
	}
	answered(t, c, moves...)
	stop(t, ctx, trip)
}
