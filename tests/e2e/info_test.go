package e2e

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// info describes the guest where it is.
func info(t *testing.T, ctx context.Context, trip *drive.Trip) drive.Info {
	t.Helper()
	i, err := trip.Sites[trip.At].Info(ctx, "alpha")
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestInfoOfDevices wants each device described, where it is on the host that
// the guest has moved to, and what goes wrong with one in the log.
func TestInfoOfDevices(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	bridged(t, w)
	image := newImage(t, 1<<20)
	link := filepath.Join(t.TempDir(), "link.img")
	if err := os.Symlink(image, link); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "v")
	trip := boot(t, ctx, w, drive.Guest{
		Cmdline: "fill=16 wss=8 blkverify=1 vsockdial=9",
		Args: []string{"--cpu", "baseline", "--disk", "root=" + image + ",cache=writeback,queues=2", "--net", "eth=bridge=" + lab.BridgeName + ",mac=02:00:00:00:00:07",
			"--rng", "--balloon", "--virtio-console", "none", "--vsock", "7=unix:" + socket},
		Receive: []string{"--disk", "root=" + link, "--net", "eth=bridge=" + lab.BridgeName},
	})
	want := []drive.Device{
		{Kind: "blk", ID: "root", Path: image, Queues: 2, SizeBytes: 1 << 20},
		{Kind: "net", ID: "eth", Queues: 1, MAC: "02:00:00:00:00:07", Bridge: lab.BridgeName},
		{Kind: "rng"},
		{Kind: "balloon"},
		{Kind: "console", Spec: "none"},
		{Kind: "vsock", Path: socket, CID: 7},
	}
	check := func(where string) {
		t.Helper()
		i := info(t, ctx, trip)
		if diff := cmp.Diff(want, i.Devices, cmpopts.IgnoreFields(drive.Device{}, "Reads", "Writes"), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: devices (-want +got):\n%s", where, diff)
		}
		if i.CPU != "baseline" {
			t.Errorf("%s: got CPU %q; want baseline", where, i.CPU)
		}
		for i.Devices[0].Writes == 0 && ctx.Err() == nil { // the first may be on its way
			i = info(t, ctx, trip)
		}
		// Nobody listens at the guest's vsock, and whoever looks for the reason finds it.
		for log := ""; !strings.Contains(log, "port=9 "); {
			log = exec(t, ctx, trip.Sites[trip.At], 0, "logs", "alpha").Stdout
		}
		text := exec(t, ctx, trip.Sites[trip.At], 0, "info", "alpha").Stdout
		for _, key := range []string{"\ndisk root:", "\nnetwork eth:", "\nvirtio-rng:", "\nvirtio-balloon:", "\nvirtio-console:", "\nvirtio-vsock:"} {
			if !strings.Contains(text, key) {
				t.Errorf("%s: got no %q in\n%s", where, key, text)
			}
		}
	}
	check("at the first host")
	completes(t, ctx, trip)
	want[0].Path = link
	check("at the second host")
	stop(t, ctx, trip)
}

// TestBalloon wants a guest to give memory back when it is asked, and to have it
// again.
func TestBalloon(t *testing.T) {
	const given = 2 << 20 // bytes, of the 4 MiB that loadgen has to give
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	trip := boot(t, ctx, w, drive.Guest{Memory: 64, Cmdline: "fill=16 wss=8 balloon=1", Args: []string{"--balloon"}})
	// ask returns how much memory the guest has in use once it has done as asked.
	ask := func(bytes uint64) uint64 {
		t.Helper()
		var got struct {
			Name        string `json:"name"`
			MemoryBytes uint64 `json:"memory_bytes"`
		}
		size := strconv.FormatUint(64-bytes>>20, 10) + "M"
		d, err := w.Sites[0].Object(ctx, &got, "balloon", "alpha", size)
		if err != nil || d.Code != 0 || got.Name != "alpha" || got.MemoryBytes != 64<<20-bytes {
			t.Fatalf("got %+v, %v; want the guest asked\n%s", got, err, d)
		}
		for {
			i := info(t, ctx, trip)
			b := i.Devices[0]
			if b.TargetBytes != bytes {
				t.Fatalf("got %d bytes asked for; want %d", b.TargetBytes, bytes)
			}
			if b.ActualBytes == bytes {
				return i.ResidentBytes
			}
		}
	}
	all := info(t, ctx, trip).ResidentBytes
	// Besides, loadgen reports up to 256 KiB of free pages at any time.
	if less := ask(given); less > all-given/2 {
		t.Errorf("got %d of %d bytes in use with %d given back; want fewer", less, all, given)
	} else if again := ask(0); again < less+given/2 {
		t.Errorf("got %d bytes in use with all taken back, %d before; want more", again, less)
	}
	failure(t, exec(t, ctx, w.Sites[0], 1, "balloon", "alpha", "65M", "--json"), "bad_request")
	stop(t, ctx, trip)
	exec(t, ctx, w.Sites[0], 0, "run", "--name", "beta", "--memory", "32M", "--cmdline", "fill=4", "--detach")
	failure(t, exec(t, ctx, w.Sites[0], 1, "balloon", "beta", "16M", "--json"), "bad_state")
	failure(t, exec(t, ctx, w.Sites[0], 1, "balloon", "gamma", "16M", "--json"), "no_such_machine")
	exec(t, ctx, w.Sites[0], 0, "kill", "beta")
}
