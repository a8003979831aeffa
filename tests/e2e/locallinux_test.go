package e2e

import (
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guests/linux"
	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// TestLinuxIsHandedOver hands a Linux at work over, with a tap of several queues: its
// drivers, its TCP connection and its disk notice nothing.
func TestLinuxIsHandedOver(t *testing.T) {
	ctx := within(t, 10*time.Minute)
	w, turns, socket := upgraded(t)
	g := linux.Require(t, linux.Fast)
	bridged(t, w)
	trip := boot(t, ctx, turns, drive.Guest{
		Memory: 64, CPUs: 1, Period: 100 * time.Millisecond, Settle: 10, Receive: listens(socket),
		Cmdline: g.Cmdline + " countreg=1 ferry.ip=10.77.0.100/24 ferry.disk=vda,256,2 ferry.mem=1,1 ferry.heartbeat=100",
		Args: []string{"--kernel", g.Kernel, "--initrd", g.Initramfs, "--disk", "root=" + newImage(t, 16<<20),
			"--net", "eth=bridge=" + lab.BridgeName + ",queues=2"},
	})
	e, err := drive.StartEcho(w.Lab.Hosts[0], "tcp", guestIP)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := e.Await(ctx); err != nil {
			t.Fatal(err, trip.Observer.Tail())
		}
		if m := completes(t, ctx, trip); m.Mode != "local" || m.PageBytes != 0 {
			t.Errorf("got %+v; want a local move", m.Move)
		}
	}
	if err := e.Await(ctx); err != nil {
		t.Fatal(err, trip.Observer.Tail())
	}
	if err := e.Stop(); err != nil {
		t.Error(err)
	}
	if err := trip.Stop(ctx); err != nil { // fails if the guest has counted anything wrong
		t.Error(err)
	}
}
