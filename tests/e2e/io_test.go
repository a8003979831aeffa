package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// TestDiskMovesInTheMiddleOfIO moves a guest with many requests in flight, each
// record of which it reads back and verifies, with both kinds of cache.
func TestDiskMovesInTheMiddleOfIO(t *testing.T) {
	for _, cache := range []string{"none", "writeback"} {
		t.Run(cache, func(t *testing.T) {
			ctx := within(t, 2*time.Minute)
			w := newWorld(t, 2)
			disk := "root=" + newImage(t, 64<<20) + ",cache=" + cache
			trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=8 wss=4 blkverify=1", Args: []string{"--disk", disk}})
			for range 4 {
				completes(t, ctx, trip)
				before := done(t, ctx, trip)
				if _, err := trip.Observer.WaitStat(ctx, func(s lab.Stat) bool { return s.Values["blk_done"] > before }); err != nil {
					t.Fatalf("the disk does not go on after the move: %v", err)
				}
			}
			stop(t, ctx, trip)
		})
	}
}

// done is how many requests of its disk the guest has had served.
func done(t *testing.T, ctx context.Context, trip *drive.Trip) float64 {
	t.Helper()
	s, err := trip.Observer.WaitStat(ctx, func(lab.Stat) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	return s.Values["blk_done"]
}

// guestIP is the guest's address on the lab's network.
var guestIP = netip.MustParseAddr("10.77.0.100")

// TestEchoesAcrossMoves has a third host talk to a guest that moves between two
// bridges: no answer may be wrong, and every move must be followed by answers.
func TestEchoesAcrossMoves(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 3)
	bridged(t, w)
	trip := boot(t, ctx, &drive.World{Lab: w.Lab, Sites: w.Sites[:2]}, drive.Guest{
		Cmdline: fmt.Sprintf("fill=8 wss=4 net=%v/24", guestIP),
		Args:    []string{"--net", "eth=bridge=" + lab.BridgeName},
		Receive: []string{"--net", "eth=bridge=" + lab.BridgeName},
	})
	e, err := drive.StartEcho(w.Lab.Hosts[2], "udp", guestIP)
	if err != nil {
		t.Fatal(err)
	}
	for moves := 0; ; moves++ {
		if err := e.Await(ctx); err != nil {
			t.Fatal(err)
		}
		if moves == 3 {
			break
		}
		completes(t, ctx, trip)
	}
	if err := e.Stop(); err != nil {
		t.Error(err)
	}
	stop(t, ctx, trip)
}
