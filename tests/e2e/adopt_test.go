package e2e

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// orphan boots a guest on the first of some sites and kills its supervisor. The guest's serial line is a pipe, which its machine keeps.
func orphan(t *testing.T, ctx context.Context, sites []*drive.Site, args ...string) *drive.Trip {
	t.Helper()
	trip, err := drive.Boot(ctx, sites, drive.Guest{Name: "alpha", Memory: 64, CPUs: 1, Cmdline: "fill=8 wss=4 rate=1", Args: args})
	if err != nil {
		t.Fatal(err)
	}
	unsupervise(t, ctx, trip.Process, sites[0])
	return trip
}

// unsupervise kills a supervisor.
func unsupervise(t *testing.T, ctx context.Context, p *drive.Process, site *drive.Site) {
	t.Helper()
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	waitState(t, ctx, site, "orphaned")
}

// waitState waits until alpha is in a state.
func waitState(t *testing.T, ctx context.Context, site *drive.Site, want string) {
	t.Helper()
	for {
		list, err := site.PS(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if len(list) == 1 && list[0].Name == "alpha" && string(list[0].State) == want {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("got %+v; want alpha %s", list, want)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// TestAdopt is about a guest whose supervisor was killed: another takes it over, and all that one can do with a guest works again, as
// often as that happens.
func TestAdopt(t *testing.T) {
	needKVM(t)
	ctx := within(t, 2*time.Minute)
	sites := newSites(t, vmm, 2)
	vsock := filepath.Join(t.TempDir(), "vsock")
	trip := orphan(t, ctx, sites, "--vsock", "5=unix:"+vsock)
	before, err := sites[0].PS(ctx)
	if err != nil {
		t.Fatal(err)
	}
	exec(t, ctx, sites[0], 0, "adopt", "alpha", "--detach")
	after, err := sites[0].Info(ctx, "alpha")
	if err != nil || after.PID != before[0].PID || after.State != "running" || len(after.Confinement) < 2 || len(after.Devices) != 1 || after.Devices[0].Path != vsock {
		t.Errorf("got %+v, %v; want it running in process %d, confined, with its vsock at %s", after, err, before[0].PID, vsock)
	}
	if _, err := os.Stat(vsock); err != nil {
		t.Error(err)
	}
	exec(t, ctx, sites[0], 0, "pause", "alpha")
	exec(t, ctx, sites[0], 0, "resume", "alpha")
	exec(t, ctx, sites[0], 0, "snapshot", "alpha", filepath.Join(t.TempDir(), "snapshot"))
	if d := exec(t, ctx, sites[0], 1, "adopt", "alpha"); d.Stderr == "" {
		t.Error("adopting a guest that has a supervisor: got no reason")
	}
	target, err := sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	m, err := sites[0].Migrate(ctx, "alpha", target.Listening)
	if err != nil || m.Outcome != "completed" {
		t.Fatalf("the move of an adopted guest: got %+v, %v; want it completed", m, err)
	}
	trip.Arrived(target)
	// Its new host's supervisor dies, too. It had another name until the guest came.
	unsupervise(t, ctx, target, sites[1])
	adopter, err := sites[1].Start(lab.NewObserver(drive.Period), "adopter", "adopt", "alpha")
	if err != nil {
		t.Fatal(err)
	}
	waitState(t, ctx, sites[1], "running")
	if err := trip.Check(ctx); err != nil {
		t.Error(err)
	}
	exec(t, ctx, sites[1], 0, "stop", "alpha")
	if code, err := adopter.Wait(ctx); err != nil || code != 0 {
		t.Errorf("the supervisor that adopted: got exit %d, %v; want 0\n%s", code, err, adopter.Stderr())
	}
}

// TestAdoptOnce has several try at once: one gets the guest, and the others are told why not.
func TestAdoptOnce(t *testing.T) {
	needKVM(t)
	ctx := within(t, time.Minute)
	sites := newSites(t, vmm, 1)
	orphan(t, ctx, sites)
	var group sync.WaitGroup
	var mu sync.Mutex // guards codes
	codes := make(map[int]int)
	for range 3 {
		group.Go(func() {
			d, err := sites[0].Exec(ctx, "adopt", "alpha", "--detach")
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			codes[d.Code]++
		})
	}
	group.Wait()
	if codes[0] != 1 || codes[1] != 2 {
		t.Errorf("got exit codes %v; want one 0 and two 1", codes)
	}
	waitState(t, ctx, sites[0], "running")
	exec(t, ctx, sites[0], 0, "kill", "alpha")
}

// TestAdoptPaused is about a guest that nobody lets go on by taking it over.
func TestAdoptPaused(t *testing.T) {
	needKVM(t)
	ctx := within(t, time.Minute)
	sites := newSites(t, vmm, 1)
	trip, err := drive.Boot(ctx, sites, drive.Guest{Name: "alpha", Memory: 64, CPUs: 1, Cmdline: "fill=8 wss=4"})
	if err != nil {
		t.Fatal(err)
	}
	exec(t, ctx, sites[0], 0, "pause", "alpha")
	unsupervise(t, ctx, trip.Process, sites[0])
	exec(t, ctx, sites[0], 0, "adopt", "alpha", "--detach")
	waitState(t, ctx, sites[0], "paused")
	exec(t, ctx, sites[0], 0, "resume", "alpha")
	if err := trip.Check(ctx); err != nil {
		t.Error(err)
	}
	exec(t, ctx, sites[0], 0, "kill", "alpha")
	exec(t, ctx, sites[0], 1, "adopt", "alpha")
}

// TestAdoptWhileMoving: the machine goes on with its move by itself, and who adopts the guest can cancel that, and move it again.
func TestAdoptWhileMoving(t *testing.T) {
	needKVM(t)
	ctx := within(t, time.Minute)
	sites := newSites(t, vmm, 2)
	trip, err := drive.Boot(ctx, sites, drive.Guest{Name: "alpha", Memory: 64, CPUs: 1, Cmdline: "fill=16 wss=4 rate=1"})
	if err != nil {
		t.Fatal(err)
	}
	target, err := sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	go sites[0].Exec(ctx, "migrate", "alpha", target.Listening, "--bandwidth", "1M", "--mode", "precopy") //nolint:errcheck // its supervisor dies
	waitState(t, ctx, sites[0], "migrating")
	unsupervise(t, ctx, trip.Process, sites[0])
	exec(t, ctx, sites[0], 0, "adopt", "alpha", "--detach")
	waitState(t, ctx, sites[0], "migrating")
	exec(t, ctx, sites[0], 0, "migrate", "alpha", "--cancel")
	waitState(t, ctx, sites[0], "running")
	var m drive.Move
	until(t, ctx, "it can be moved again", func() bool {
		m, err = sites[0].Migrate(ctx, "alpha", target.Listening)
		return err != nil || m.Error == nil || m.Error.Code != "bad_state"
	})
	if err != nil || m.Outcome != "completed" {
		t.Fatalf("got %+v, %+v, %v; want it moved", m, m.Error, err)
	}
	trip.Arrived(target)
	stop(t, ctx, trip)
}
