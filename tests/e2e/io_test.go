package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"sync"
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

// TestDiskThatHangs freezes the file system below a guest's disk: the guest can
// neither be paused nor moved then, which is said, and goes on once the disk does.
func TestDiskThatHangs(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	mount := mounted(t, ctx, 48<<20)
	image := filepath.Join(mount, "disk.img")
	if err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 16<<20)); err != nil {
		t.Fatal(err)
	}
	trip := boot(t, ctx, w, drive.Guest{Cmdline: "fill=8 wss=4 blkverify=1", Args: []string{"--disk", "root=" + image}})
	done(t, ctx, trip)
	thaw := frozen(t, ctx, mount)
	failure(t, exec(t, ctx, w.Sites[0], 1, "pause", "alpha", "--json"), "device_busy")
	target, err := w.Sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening)
	if err != nil {
		t.Fatal(err)
	}
	if m.Outcome != "failed" || m.Code != 1 || m.Error == nil || m.Error.Code != "device_busy" || !strings.Contains(m.Error.Message, "root") {
		t.Errorf("got outcome %s, exit %d, %+v; want failed, exit 1, device_busy and the disk's name", m.Outcome, m.Code, m.Error)
	}
	if err := target.Interrupt(); err != nil {
		t.Fatal(err)
	}
	if _, err := target.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	stays(t, ctx, trip)
	thaw()
	completes(t, ctx, trip)
	done(t, ctx, trip)
	stop(t, ctx, trip)
}

// mounted makes a file system of its own, of that many bytes.
func mounted(t *testing.T, ctx context.Context, size int64) string {
	t.Helper()
	image, dir := newImage(t, size), t.TempDir()
	system(t, ctx, "mkfs.ext4", "-q", image)
	system(t, ctx, "mount", "-o", "loop", image, dir)
	t.Cleanup(func() { system(t, context.Background(), "umount", dir) })
	return dir
}

// frozen has every write to a file system wait until thaw is called.
func frozen(t *testing.T, ctx context.Context, dir string) (thaw func()) {
	t.Helper()
	system(t, ctx, "fsfreeze", "--freeze", dir)
	thaw = sync.OnceFunc(func() { system(t, context.Background(), "fsfreeze", "--unfreeze", dir) })
	t.Cleanup(thaw)
	return thaw
}

// system runs a command of this host, and returns what it says.
func system(t *testing.T, ctx context.Context, name string, args ...string) string {
	t.Helper()
	out, err := osexec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Errorf("%s %q: %v: %s", name, args, err, out)
	}
	return string(out)
}
