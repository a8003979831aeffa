package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/hugetest"
	"github.com/ferryvmm/ferry/tests/drive"
)

// huge is a guest of 32 huge pages, of which it writes a part.
var huge = drive.Guest{Memory: 64, CPUs: 2, Cmdline: "fill=16 wss=8 rate=4 countreg=1", Args: []string{"--hugepages", "2M"}}

func TestHugePages(t *testing.T) {
	needKVM(t)
	hugetest.Reserve(t, 2*32)
	ctx := within(t, 2*time.Minute)
	trip := boot(t, ctx, newWorld(t, 2), huge)
	for _, mode := range []string{"precopy", "hybrid", "postcopy"} {
		m := completes(t, ctx, trip, "--mode", mode)
		// What was never written is neither sent nor there.
		if m.ResidentBytes == 0 || m.ResidentBytes > 48<<20 {
			t.Errorf("%s: got %d MiB resident of 64; want what the guest has written", mode, m.ResidentBytes>>20)
		}
	}
	if err := trip.Verify(ctx); err != nil {
		t.Error(err)
	}
	stop(t, ctx, trip)
}

// A target with too few of them refuses before anything is sent, and the guest runs on.
func TestTooFewHugePages(t *testing.T) {
	needKVM(t)
	hugetest.Reserve(t, 32+1)
	ctx := within(t, time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, huge)
	target, err := w.Sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening)
	if err != nil {
		t.Fatal(err)
	}
	if m.Code != 1 || m.Error == nil || !strings.Contains(m.Error.Message, "huge pages") || !strings.Contains(m.Error.Remedy, "vm.nr_hugepages") {
		t.Errorf("got exit %d, %+v; want that huge pages lack, and what to set", m.Code, m.Error)
	}
	stop(t, ctx, trip)
	interrupted(t, ctx, target)
}
