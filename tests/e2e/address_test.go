package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/frame"
	"github.com/ferryvmm/ferry/tests/drive"
)

// stationMAC is the guest's.
var stationMAC = netmig.MAC{2, 0, 0, 0, 0, 7}

// station boots a guest with an address on the lab's network, which two hosts
// share with the last. Its network device is as flags say, and then its own.
func station(t *testing.T, ctx context.Context, w *drive.World, cmdline, flags string) *drive.Trip {
	t.Helper()
	bridged(t, w)
	net := "eth=bridge=" + lab.BridgeName
	return boot(t, ctx, &drive.World{Lab: w.Lab, Sites: w.Sites[:2]}, drive.Guest{
		Cmdline: fmt.Sprintf("fill=8 wss=4 net=%v/24 %s", guestIP, cmdline),
		Args:    []string{"--net", fmt.Sprintf("%s,mac=%v%s", net, stationMAC, flags)},
		Receive: []string{"--net", net},
	})
}

// told is what the guest, or somebody in its name, said in ARP on the client's link.
func told(t *testing.T, w *drive.World) *lab.Capture {
	t.Helper()
	c, err := w.Lab.Hosts[2].Capture("eth0", func(b []byte) bool {
		e, _, ok := frame.ParseEthernet(b)
		return ok && e.Source == stationMAC && (e.Type == frame.TypeARP || e.Type == frame.TypeRARP)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// says tells whether a frame is a message of ARP by ip.
func says(f lab.Frame, operation uint16, ip netip.Addr) bool {
	_, payload, _ := frame.ParseEthernet(f.Data)
	a, ok := frame.ParseARP(payload)
	return ok && a.Operation == operation && a.Sender == ip
}

// awaitNIC asks for the guest's network device until it is as wanted.
func awaitNIC(t *testing.T, ctx context.Context, trip *drive.Trip, what string, wanted func(drive.Device) bool) drive.Device {
	t.Helper()
	for {
		d := info(t, ctx, trip).Devices[0]
		if wanted(d) {
			return d
		}
		if ctx.Err() != nil {
			t.Fatalf("got %+v; want %s", d, what)
		}
	}
}

// TestAddressesAreLearnt wants the address of a guest that nobody was told to be
// seen in what it sends, to travel with it, and to be announced where it arrives;
// and what it may carry to be the same there.
func TestAddressesAreLearnt(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 3)
	trip := station(t, ctx, w, "", ",rate=1G,packets=50k,antispoof")
	e, err := drive.StartEcho(w.Lab.Hosts[2], "udp", guestIP)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Await(ctx); err != nil {
		t.Fatal(err)
	}
	if err := e.Stop(); err != nil {
		t.Error(err)
	}
	check := func(where string) {
		t.Helper()
		d := info(t, ctx, trip).Devices[0]
		if !slices.Equal(d.IPs, []string{guestIP.String()}) || d.Rate != 1e9 || d.Packets != 50e3 || !d.AntiSpoof || d.TxSpoofed+d.TxLimited != 0 {
			t.Errorf("%s: got %+v; want %v, the limits as given, and nothing dropped", where, d, guestIP)
		}
	}
	check("at the first host")
	heard := told(t, w)
	completes(t, ctx, trip)
	for _, want := range []struct {
		operation uint16
		ip        netip.Addr
	}{{frame.RARPRequest, netip.IPv4Unspecified()}, {frame.ARPRequest, guestIP}, {frame.ARPReply, guestIP}} {
		if _, err := heard.Wait(ctx, func(f lab.Frame) bool { return says(f, want.operation, want.ip) }); err != nil {
			t.Errorf("operation %d of %v was not announced: %v", want.operation, want.ip, err)
		}
	}
	check("at the second host")
	stop(t, ctx, trip)
}

// TestAntiSpoof has a guest answer for an address that is not its own: nobody may
// hear of it, wherever the guest is.
func TestAntiSpoof(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 3)
	own := guestIP.Next()
	trip := station(t, ctx, w, "", ",antispoof,ip="+own.String())
	heard := told(t, w)
	e, err := drive.StartEcho(w.Lab.Hosts[2], "udp", guestIP)
	if err != nil {
		t.Fatal(err)
	}
	spoofed := func(d drive.Device) bool { return d.TxSpoofed > 0 }
	awaitNIC(t, ctx, trip, "forged frames that are dropped", spoofed)
	completes(t, ctx, trip)
	awaitNIC(t, ctx, trip, "forged frames that are dropped at the target", spoofed)
	if _, err := heard.Wait(ctx, func(f lab.Frame) bool { return says(f, frame.ARPReply, own) }); err != nil {
		t.Errorf("the guest's own address was not announced: %v", err)
	}
	frames, missed := heard.Frames()
	for _, f := range frames {
		if says(f, frame.ARPRequest, guestIP) || says(f, frame.ARPReply, guestIP) {
			t.Errorf("got %x on the network; want nothing said of %v", f.Data, guestIP)
		}
	}
	if missed > 0 {
		t.Errorf("got %d frames missed; want to have seen all", missed)
	}
	if err := e.Stop(); err != nil {
		t.Error(err)
	}
	stop(t, ctx, trip)
}

// TestLimitsTravel has a guest send as fast as it can: it may not send more than
// its limit, and a move gives it no burst.
func TestLimitsTravel(t *testing.T) {
	const limit, burst = 100, 32
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 3)
	trip := station(t, ctx, w, "netload=tx netsize=60 netpeer=02:00:00:00:00:99", fmt.Sprintf(",packets=%d", limit))
	check := func(where string) {
		t.Helper()
		began := time.Now()
		first := awaitNIC(t, ctx, trip, "packets over the limit", func(d drive.Device) bool { return d.TxLimited > 1000 })
		later := awaitNIC(t, ctx, trip, "more that pass", func(d drive.Device) bool { return d.TxPackets >= first.TxPackets+limit })
		if most := limit*time.Since(began).Seconds() + 1; float64(later.TxPackets-first.TxPackets) > most {
			t.Errorf("%s: got %d packets sent; want at most %.0f", where, later.TxPackets-first.TxPackets, most)
		}
	}
	check("at the first host")
	completes(t, ctx, trip)
	i := info(t, ctx, trip)
	if most := limit*i.UptimeMS/1e3 + burst; float64(i.Devices[0].TxPackets) > most {
		t.Errorf("at once: got %d packets sent; want at most %.0f", i.Devices[0].TxPackets, most)
	}
	check("at the second host")
	stop(t, ctx, trip)
}
