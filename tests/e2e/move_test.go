package e2e

import (
	"context"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// interrupted ends a process as Ctrl-C does and wants exit code 0.
func interrupted(t *testing.T, ctx context.Context, p *drive.Process) {
	t.Helper()
	if err := p.Interrupt(); err != nil {
		t.Error(err)
	}
	endInOrder(t, ctx, p)
}

// endInOrder waits for processes and wants exit code 0 of each.
func endInOrder(t *testing.T, ctx context.Context, processes ...*drive.Process) {
	t.Helper()
	for _, p := range processes {
		if code, err := p.Wait(ctx); err != nil || code != 0 {
			t.Errorf("got exit %d, %v; want 0\nstderr: %s", code, err, p.Stderr())
		}
	}
}

func TestMoveThereAndBack(t *testing.T) {
	for _, mode := range []string{"precopy", "stopcopy"} {
		t.Run(mode, func(t *testing.T) {
			ctx := within(t, 2*time.Minute)
			w := newWorld(t, 2)
			trip := boot(t, ctx, w, drive.Guest{CPUs: 2, Cmdline: "fill=32 wss=16 rate=8 countreg=1"})
			for range 2 {
				source := trip.Process
				from := w.Sites[trip.At]
				m := completes(t, ctx, trip, "--mode", mode)
				if m.Mode != mode || m.ModeRequested != mode {
					t.Errorf("got mode %s, asked %s; want %s", m.Mode, m.ModeRequested, mode)
				}
				checkMove(t, m.Move)
				t.Logf("gap %v, downtime %.1f ms, total %.0f ms, %d rounds", m.Gap(), m.DowntimeMS, m.TotalMS, len(m.Rounds))
				if !strings.Contains(source.Stderr(), "moved to tcp:") {
					t.Errorf("the source says %q; want where the guest moved to", source.Stderr())
				}
				if list, err := from.PS(ctx); err != nil || len(list) != 0 {
					t.Errorf("got %+v, %v at the source; want nothing", list, err)
				}
				list, err := w.Sites[trip.At].PS(ctx)
				if err != nil || len(list) != 1 || list[0].Name != "alpha" || list[0].State != "running" || list[0].CPUs != 2 {
					t.Errorf("got %+v, %v at the target; want alpha running", list, err)
				}
			}
			if err := trip.Verify(ctx); err != nil {
				t.Error(err)
			}
			stop(t, ctx, trip)
		})
	}
}

// checkMove wants the figures of a completed move to agree with each other.
func checkMove(t *testing.T, m drive.Move) {
	t.Helper()
	if m.TargetName != "alpha" || m.MemoryBytes != 128<<20 || m.ResidentBytes < 32<<20 || m.ResidentBytes > 36<<20 {
		t.Errorf("got name %q, %d bytes, %d resident; want alpha, 128 MiB, about 33 MiB", m.TargetName, m.MemoryBytes, m.ResidentBytes)
	}
	if m.PageBytes < m.ResidentBytes*9/10 || m.SentBytes < m.PageBytes {
		t.Errorf("got %d bytes sent, %d of pages; want at least the %d that are resident", m.SentBytes, m.PageBytes, m.ResidentBytes)
	}
	var pages, bytes uint64
	for _, r := range m.Rounds {
		pages, bytes = pages+r.Pages, bytes+r.Bytes
	}
	if len(m.Rounds) == 0 || pages*4096 < m.PageBytes || bytes > m.SentBytes {
		t.Errorf("got rounds of %d pages, %d bytes; want them to add up to what was sent: %+v", pages, bytes, m.Rounds)
	}
	d := m.Downtime
	sum := d.PauseMS + d.PagesMS + d.StateMS + d.CommitMS + d.ResumeMS
	if m.DowntimeMS <= 0 || m.DowntimeMS > m.TotalMS || math.Abs(sum-m.DowntimeMS) > 1+m.DowntimeMS/10 {
		t.Errorf("got downtime %.2f ms of %.2f ms, parts %+v; want parts that add up to it", m.DowntimeMS, m.TotalMS, d)
	}
}

func TestMoveObjectHasEveryField(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{})
	target, err := w.Sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	d := exec(t, ctx, w.Sites[0], 0, "migrate", "alpha", target.Listening, "--insecure", "--json")
	var got map[string]any
	if err := json.Unmarshal([]byte(d.Stdout), &got); err != nil {
		t.Fatalf("%v\n%s", err, d)
	}
	for _, field := range []string{
		"outcome", "mode_requested", "mode", "target_name", "memory_bytes", "resident_bytes", "sent_bytes",
		"page_bytes", "rounds", "total_ms", "downtime_ms", "downtime",
	} {
		if _, ok := got[field]; !ok {
			t.Errorf("got no field %q\n%s", field, d.Stdout)
		}
	}
	if _, ok := got["error"]; ok {
		t.Errorf("got an error beside a completed move\n%s", d.Stdout)
	}
	if err := trip.Observer.WaitBeats(ctx, "target", 1, 20); err != nil {
		t.Error(err)
	}
	exec(t, ctx, w.Sites[1], 0, "stop", "alpha")
	endInOrder(t, ctx, trip.Process, target)
}

func TestNameTakenAtTheTarget(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{})
	exec(t, ctx, w.Sites[1], 0, "run", "--name", "alpha", "--memory", "64M", "--detach")
	m := completes(t, ctx, trip)
	if m.TargetName != "alpha-2" {
		t.Errorf("got name %q at a target that has an alpha; want alpha-2", m.TargetName)
	}
	exec(t, ctx, w.Sites[1], 0, "stop", "alpha-2")
	exec(t, ctx, w.Sites[1], 0, "stop", "alpha")
	if code, err := trip.Process.Wait(ctx); err != nil || code != 0 {
		t.Errorf("got exit %d, %v; want 0", code, err)
	}
}

// TestSparse moves a large guest that touched as little as a small one.
func TestSparse(t *testing.T) {
	for _, memory := range []int{256, 4096} {
		ctx := within(t, time.Minute)
		w := newWorld(t, 2)
		trip := boot(t, ctx, w, drive.Guest{Memory: memory, Cmdline: "fill=32 rate=0"})
		before := dataAt(t, ctx, trip)
		m := completes(t, ctx, trip)
		after := dataAt(t, ctx, trip)
		if diff := max(before, after) - min(before, after); diff > 1<<20 {
			t.Errorf("%d MiB guest: got %d KiB of data at the source, %d KiB at the target; want them within 1 MiB", memory, before>>10, after>>10)
		}
		t.Logf("%d MiB guest: %d KiB of data, then %d KiB; total %.0f ms", memory, before>>10, after>>10, m.TotalMS)
		stop(t, ctx, trip)
	}
}

// dataAt is what the guest's memory holds where it is, by the kernel's account.
func dataAt(t *testing.T, ctx context.Context, trip *drive.Trip) uint64 {
	t.Helper()
	info, err := trip.Sites[trip.At].Info(ctx, "alpha")
	if err != nil {
		t.Fatal(err)
	}
	data, err := drive.MemfdData(info.PID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := max(data, info.ResidentBytes) - min(data, info.ResidentBytes); diff > 1<<20 {
		t.Errorf("got %d bytes resident by info; want about the %d of the memfds", info.ResidentBytes, data)
	}
	return data
}

// TestDemo runs the demonstration as a newcomer and as a script do.
func TestDemo(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 1)
	start := lab.Now()
	d := exec(t, ctx, w.Sites[0], 0, "demo")
	t.Logf("%v\n%s", lab.Now()-start, d.Stdout)
	if lines := strings.Count(d.Stdout, "\n"); lines < 5 || lines > 25 {
		t.Errorf("got %d lines; want about a dozen", lines)
	}
	var got struct {
		drive.Move
		Moves              int     `json:"moves"`
		VerifiedPages      uint64  `json:"verified_pages"`
		CorruptPages       *uint64 `json:"corrupt_pages"`
		ObservedDowntimeMS float64 `json:"observed_downtime_ms"`
		PacketsSent        uint64  `json:"packets_sent"`
		PacketsDuplicated  uint64  `json:"packets_duplicated"`
		LongestSilenceMS   float64 `json:"longest_silence_ms"`
	}
	d, err := w.Sites[0].Object(ctx, &got, "demo", "--moves", "3", "--rate", "8")
	if err != nil {
		t.Fatal(err)
	}
	if d.Code != 0 || got.Moves != 3 || got.Outcome != "completed" || got.VerifiedPages == 0 || got.CorruptPages == nil ||
		*got.CorruptPages != 0 || got.ObservedDowntimeMS <= 0 || got.PacketsSent == 0 || got.PacketsDuplicated != 0 || got.LongestSilenceMS <= 0 {
		t.Errorf("got %+v; want 3 moves, verified, observed, and pinged all the time\n%s", got, d)
	}
}
