package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

func TestBoot(t *testing.T) {
	for _, cpus := range []int{1, 2} {
		t.Run(fmt.Sprintf("%d CPUs", cpus), func(t *testing.T) {
			ctx := within(t, time.Minute)
			w := newWorld(t, 1)
			trip := boot(t, ctx, w, drive.Guest{CPUs: cpus, Cmdline: "fill=16 wss=8 rate=4 countreg=1"})
			list, err := w.Sites[0].PS(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if len(list) != 1 || list[0].Name != "alpha" || list[0].State != "running" || list[0].CPUs != cpus ||
				list[0].MemoryBytes != 128<<20 || list[0].UptimeMS <= 0 {
				t.Errorf("got %+v; want alpha running with %d CPUs and 128 MiB", list, cpus)
			}
			info, err := w.Sites[0].Info(ctx, "alpha")
			if err != nil {
				t.Fatal(err)
			}
			if info.ReadyMS == nil || *info.ReadyMS <= 0 || info.CountedWrong {
				t.Errorf("got ready_ms %v, counted_wrong %v; want a time, false", info.ReadyMS, info.CountedWrong)
			}
			// 16 MiB of pages and at most 2 MiB of its own.
			if info.ResidentBytes < 16<<20 || info.ResidentBytes > 18<<20 {
				t.Errorf("got %d KiB resident; want 16 to 18 MiB", info.ResidentBytes>>10)
			}
			stop(t, ctx, trip)
			if _, err := trip.Observer.Wait(ctx, func(e lab.Event) bool { return e.Kind == lab.Bye }); err != nil {
				t.Errorf("the guest was stopped without being asked: %v", err)
			}
			exec(t, ctx, w.Sites[0], 1, "info", "alpha")
		})
	}
}

func TestSizes(t *testing.T) {
	for _, g := range []drive.Guest{
		{Memory: 16, Cmdline: "fill=8 wss=4"},
		{Memory: 5 << 10, Cmdline: "fill=16 wss=4"},
	} {
		t.Run(fmt.Sprintf("%d MiB", g.Memory), func(t *testing.T) {
			ctx := within(t, time.Minute)
			w := newWorld(t, 2)
			trip := boot(t, ctx, w, g)
			completes(t, ctx, trip)
			stop(t, ctx, trip)
		})
	}
}

func TestRunWithJSON(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	o := lab.NewObserver(drive.Period)
	p, err := w.Sites[0].Start(o, "objects", "run", "--name", "beta", "--memory", "64M", "--json")
	if err != nil {
		t.Fatal(err)
	}
	line := func(field string) map[string]any {
		t.Helper()
		e, err := o.Wait(ctx, func(e lab.Event) bool { return strings.Contains(e.Text, `"`+field+`"`) })
		if err != nil {
			t.Fatalf("%v\nstderr: %s", err, p.Stderr())
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(e.Text), &got); err != nil {
			t.Fatalf("got %q; want an object: %v", e.Text, err)
		}
		return got
	}
	started := line("socket")
	if started["name"] != "beta" || started["pid"] == nil || started["socket"] != filepath.Join(w.Sites[0].Dir, "beta.sock") {
		t.Errorf("got %v; want name, pid and socket", started)
	}
	for _, file := range []struct {
		path string
		mode os.FileMode
	}{{w.Sites[0].Dir, 0o700}, {started["socket"].(string), 0o700}} {
		if st, err := os.Stat(file.path); err != nil || st.Mode().Perm()&^file.mode != 0 {
			t.Errorf("%s: got %v, %v; want nothing for others", file.path, st, err)
		}
	}
	exec(t, ctx, w.Sites[0], 0, "stop", "beta")
	if code, err := p.Wait(ctx); err != nil || code != 0 {
		t.Errorf("got exit %d, %v; want 0", code, err)
	}
	if ended := line("exit"); ended["exit"] != 0.0 || ended["reason"] == "" {
		t.Errorf("got %v; want exit 0 and a reason", ended)
	}
}

func TestPauseResume(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	trip := boot(t, ctx, w, drive.Guest{CPUs: 2})
	start := lab.Now()
	exec(t, ctx, w.Sites[0], 0, "pause", "alpha")
	paused := lab.Now()
	const held = 200 * time.Millisecond
	if list, err := w.Sites[0].PS(ctx); err != nil || len(list) != 1 || list[0].State != "paused" {
		t.Errorf("got %+v, %v; want alpha paused", list, err)
	}
	<-time.After(held - (lab.Now() - paused)) // a pause of some length is the thing tested
	exec(t, ctx, w.Sites[0], 0, "resume", "alpha")
	if err := trip.Observer.WaitBeats(ctx, "", 2, 10); err != nil {
		t.Fatal(err)
	}
	r := trip.Observer.ReportSince(start)
	for _, c := range r.CPUs {
		if c.Gap.Downtime < held*9/10 {
			t.Errorf("vCPU %d: got a longest silence of %v over a pause of at least %v", c.CPU, c.Gap.Downtime, held)
		}
	}
	stop(t, ctx, trip)
}

func TestKill(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	trip := boot(t, ctx, w, drive.Guest{})
	exec(t, ctx, w.Sites[0], 0, "kill", "alpha")
	if code, err := trip.Process.Wait(ctx); err != nil || code != 137 {
		t.Errorf("got exit %d, %v; want 137", code, err)
	}
}

func TestKillPaused(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	trip := boot(t, ctx, w, drive.Guest{CPUs: 2})
	exec(t, ctx, w.Sites[0], 0, "pause", "alpha")
	exec(t, ctx, w.Sites[0], 0, "kill", "alpha")
	if code, err := trip.Process.Wait(ctx); err != nil || code != 137 {
		t.Errorf("got exit %d, %v; want 137", code, err)
	}
}

func TestInterruptStops(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	trip := boot(t, ctx, w, drive.Guest{})
	if err := trip.Process.Interrupt(); err != nil {
		t.Fatal(err)
	}
	if code, err := trip.Process.Wait(ctx); err != nil || code != 0 {
		t.Errorf("got exit %d, %v; want 0\n%s", code, err, trip.Process.Stderr())
	}
}

func TestDetach(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	d := exec(t, ctx, w.Sites[0], 0, "run", "--name", "gamma", "--memory", "64M", "--detach")
	if got := strings.TrimSpace(d.Stdout); got != "gamma" {
		t.Errorf("got %q; want the name", got)
	}
	info, err := w.Sites[0].Info(ctx, "gamma")
	if err != nil || info.State != "running" {
		t.Errorf("got %+v, %v; want it running", info, err)
	}
	exec(t, ctx, w.Sites[0], 0, "logs", "gamma")
	exec(t, ctx, w.Sites[0], 0, "stop", "gamma")
	if left, err := w.Sites[0].Processes(); err != nil || len(left) != 0 {
		t.Errorf("got processes %v, %v after stop returned; want none", left, err)
	}
}

func TestOrphan(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{})
	target, err := w.Sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	if err := trip.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	// Its supervisor is gone, the guest goes on.
	if err := trip.Observer.WaitBeats(ctx, trip.Process.Stream.Name, 1, 50); err != nil {
		t.Errorf("the guest died with its supervisor: %v", err)
	}
	list, err := w.Sites[0].PS(ctx)
	if err != nil || len(list) != 1 || list[0].State != "orphaned" {
		t.Errorf("got %+v, %v; want alpha orphaned", list, err)
	}
	m, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening)
	if err != nil || m.Code != 1 || m.Error == nil || m.Error.Code != "orphaned" || m.Error.Remedy == "" {
		t.Errorf("move of an orphan: got %+v, %+v, %v; want it refused with the reason", m, m.Error, err)
	}
	exec(t, ctx, w.Sites[0], 1, "run", "--name", "alpha", "--memory", "64M", "--console", "none") // the name is in use
	exec(t, ctx, w.Sites[0], 0, "kill", "alpha")
	if _, err := trip.Process.Wait(ctx); err != nil { // its serial line ends with the machine
		t.Error(err)
	}
	if list, err := w.Sites[0].PS(ctx); err != nil || len(list) != 0 {
		t.Errorf("got %+v, %v after kill; want none", list, err)
	}
	interrupted(t, ctx, target)
}
