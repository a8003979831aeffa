package e2e

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// anotherVmm is a copy of the command, as an upgrade would bring.
func anotherVmm(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(vmm)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "vmm-new")
	if err := os.WriteFile(path, b, 0o700); err != nil {
		t.Fatal(err)
	}
	return path
}

// upgraded makes a world of one host and one state folder, in which two versions of
// the command take turns. socket is where receive listens.
func upgraded(t *testing.T) (w *drive.World, turns *drive.World, socket string) {
	t.Helper()
	w = newWorld(t, 1)
	other := *w.Sites[0]
	other.Vmm = anotherVmm(t)
	return w, &drive.World{Lab: w.Lab, Sites: []*drive.Site{w.Sites[0], &other}}, filepath.Join(w.Sites[0].Dir, "move.socket")
}

// listens are the arguments by which receive listens at a unix socket.
func listens(socket string, more ...string) []string {
	return append([]string{"--listen", "unix:" + socket}, more...)
}

// only wants one machine at a site.
func only(t *testing.T, ctx context.Context, s *drive.Site, name, state string) drive.Listed {
	t.Helper()
	list, err := s.PS(ctx)
	if err != nil || len(list) != 1 || list[0].Name != name || list[0].State != state {
		t.Fatalf("got %+v, %v; want only %s, %s", list, err, name, state)
	}
	return list[0]
}

// TestUpgradeUnderARunningGuest has two versions of vmm hand a guest to each other: nothing is
// copied, no page is wrong, no read of a device is lost or doubled, no packet is lost.
func TestUpgradeUnderARunningGuest(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	w, turns, socket := upgraded(t)
	bridged(t, w)
	trip := boot(t, ctx, turns, drive.Guest{
		CPUs: 2, Cmdline: fmt.Sprintf("fill=32 wss=8 rate=2 countreg=1 blkverify=1 net=%v/24", guestIP),
		Args:    []string{"--net", "eth=bridge=" + lab.BridgeName, "--disk", "root=" + newImage(t, 16<<20), "--rng", "--balloon"},
		Receive: listens(socket),
	})
	talk := startCount(t, w.Lab.Hosts[0])
	for range 5 {
		m := completes(t, ctx, trip)
		if m.Mode != "local" || m.ModeRequested != "auto" || m.TargetName != "alpha" || m.PageBytes != 0 || m.SentBytes > 256<<10 || len(m.Rounds) != 0 {
			t.Errorf("got %+v; want a local move that sends no page", m.Move)
		}
		t.Logf("gap %v, downtime %.1f ms %+v, total %.0f ms", m.Gap(), m.DowntimeMS, m.Downtime, m.TotalMS)
		site := turns.Sites[trip.At]
		exe, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", only(t, ctx, site, "alpha", "running").PID))
		if err != nil || exe != site.Vmm {
			t.Errorf("got %s, %v; want %s to run the guest", exe, err, site.Vmm)
		}
		talk.goesOn(t, ctx)
		before := done(t, ctx, trip)
		if _, err := trip.Observer.WaitStat(ctx, func(s lab.Stat) bool { return s.Values["blk_done"] > before }); err != nil {
			t.Fatalf("the disk does not go on after the move: %v", err)
		}
	}
	talk.stop(t)
	if err := trip.Verify(ctx); err != nil {
		t.Error(err)
	}
	stop(t, ctx, trip)
	left, err := os.ReadDir(w.Sites[0].Dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range left {
		names = append(names, e.Name())
	}
	if diff := cmp.Diff([]string{".lock", "records"}, names); diff != "" {
		t.Errorf("the state folder (-want +got):\n%s", diff)
	}
}

// TestLocalMoveBetweenStateFolders: in another one the guest has a name of its own.
func TestLocalMoveBetweenStateFolders(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	other, err := drive.NewSite(vmm, w.Lab.Hosts[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if left, err := other.Leftovers(); err != nil || len(left) > 0 {
			t.Errorf("got left behind: %q, %v; want nothing", left, err)
		}
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	})
	turns := &drive.World{Lab: w.Lab, Sites: []*drive.Site{w.Sites[0], other}}
	trip := boot(t, ctx, turns, drive.Guest{Cmdline: busy, Receive: listens(filepath.Join(w.Sites[0].Dir, "s"))})
	exec(t, ctx, other, 0, "run", "--name", "alpha", "--memory", "32M", "--cmdline", "fill=4", "--detach")
	if m := completes(t, ctx, trip); m.TargetName != "alpha-2" {
		t.Errorf("got the name %s; want alpha-2, for alpha is taken there", m.TargetName)
	}
	if list, err := w.Sites[0].PS(ctx); err != nil || len(list) != 0 {
		t.Errorf("got %+v, %v where it came from; want nothing", list, err)
	}
	exec(t, ctx, other, 0, "stop", "alpha")
	if err := trip.Verify(ctx); err != nil {
		t.Error(err)
	}
	exec(t, ctx, other, 0, "stop", "alpha-2")
	if code, err := trip.Process.Wait(ctx); err != nil || code != 0 {
		t.Errorf("got exit %d, %v; want 0", code, err)
	}
}

// TestLocalMoveThatFails leaves the guest where it is, in the memory that both had.
func TestLocalMoveThatFails(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w, turns, socket := upgraded(t)
	trip := boot(t, ctx, turns, drive.Guest{Cmdline: busy + " blkverify=1", Args: []string{"--disk", "root=" + newImage(t, 1<<20)}, Receive: listens(socket)})

	m, err := w.Sites[0].Migrate(ctx, "alpha", "unix:"+socket)
	if err != nil || m.Error == nil || m.Error.Code != "unreachable" || m.Error.Remedy == "" {
		t.Errorf("with no receiver: got %+v, %v; want unreachable", m, err)
	}
	failure(t, exec(t, ctx, w.Sites[0], 2, "migrate", "alpha", "unix:"+socket, "--mode", "remote", "--json"), "usage")

	// A target that refuses listens on.
	target, err := turns.Sites[1].Receive(trip.Observer, "refuses", listens(socket, "--disk", "root=/elsewhere")...)
	if err != nil {
		t.Fatal(err)
	}
	if m, err = w.Sites[0].Migrate(ctx, "alpha", "unix:"+socket); err != nil {
		t.Fatal(err)
	}
	failedAtSource(t, m, "failed")
	if err := target.Interrupt(); err != nil {
		t.Fatal(err)
	}
	if _, err := target.Wait(ctx); err != nil {
		t.Fatal(err)
	}

	// A target that is killed with the guest paused for it.
	if target, err = turns.Sites[1].Receive(trip.Observer, "dies", listens(socket)...); err != nil {
		t.Fatal(err)
	}
	ended := make(chan drive.Move, 1)
	go func() {
		m, _ := w.Sites[0].Migrate(ctx, "alpha", "unix:"+socket, "--pause-before-switchover")
		ended <- m
	}()
	var killed []int
	until(t, ctx, "the move waits", func() bool {
		list, err := w.Sites[0].PS(ctx)
		if err != nil {
			t.Fatal(err)
		}
		waits := false
		killed = killed[:0]
		for _, m := range list {
			waits = waits || m.Name == "alpha" && m.State == "waiting"
			if m.Name != "alpha" && m.PID != 0 {
				killed = append(killed, m.PID)
			}
		}
		return waits
	})
	for _, pid := range append(killed, target.PID()) {
		p, err := os.FindProcess(pid)
		if err == nil {
			err = p.Kill()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	select {
	case m = <-ended:
	case <-ctx.Done():
		t.Fatal("the move goes on")
	}
	failedAtSource(t, m, "failed")
	if _, err := target.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	only(t, ctx, w.Sites[0], "alpha", "running")
	if err := trip.Verify(ctx); err != nil {
		t.Error(err)
	}

	// The file that the killed one left is no obstacle.
	completes(t, ctx, trip)
	if err := trip.Verify(ctx); err != nil {
		t.Error(err)
	}
	stop(t, ctx, trip)
}

func TestLocalMoveOfAPausedGuest(t *testing.T) {
	ctx := within(t, time.Minute)
	w, turns, socket := upgraded(t)
	trip := boot(t, ctx, turns, drive.Guest{Cmdline: busy})
	exec(t, ctx, w.Sites[0], 0, "pause", "alpha")
	target, err := turns.Sites[1].Receive(trip.Observer, "target", listens(socket)...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Sites[0].Migrate(ctx, "alpha", "unix:"+socket)
	if err != nil || m.Outcome != "completed" || m.DowntimeMS != 0 {
		t.Fatalf("got %+v, %v; want it completed", m, err)
	}
	if code, err := trip.Process.Wait(ctx); err != nil || code != 0 {
		t.Errorf("got exit %d, %v of the source; want 0", code, err)
	}
	only(t, ctx, w.Sites[0], "alpha", "paused")
	exec(t, ctx, w.Sites[0], 0, "resume", "alpha")
	trip.At, trip.Process = 1, target
	if err := trip.Verify(ctx); err != nil {
		t.Error(err)
	}
	stop(t, ctx, trip)
}

// TestUnixSocketsOfReceivers are for their user alone, stand in nobody's way, and leave no file.
func TestUnixSocketsOfReceivers(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	site := w.Sites[0]
	path := filepath.Join(site.Dir, "socket")
	receive := func(code int) drive.Done {
		return exec(t, ctx, site, code, "receive", "--listen", "unix:"+path, "--name", "r", "--console", "none", "--detach", "--json")
	}
	receive(0)
	st, err := os.Lstat(path)
	if err != nil || st.Mode().Type() != fs.ModeSocket || st.Mode().Perm() != 0o600 {
		t.Errorf("got %v, %v; want a socket of mode 0600", st.Mode(), err)
	}
	d := exec(t, ctx, site, 1, "receive", "--listen", "unix:"+path, "--name", "other", "--console", "none", "--detach", "--json")
	if got := failure(t, d, "listen"); !strings.Contains(got.Message, "listens there already") {
		t.Errorf("got %q; want that it is in use", got.Message)
	}
	exec(t, ctx, site, 0, "stop", "r")
	if _, err := os.Lstat(path); !os.IsNotExist(err) {
		t.Errorf("the socket's file is left: %v", err)
	}
	// One that nobody listens at.
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	receive(0)
	exec(t, ctx, site, 0, "stop", "r")
	// What is no socket is somebody's.
	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	failure(t, receive(1), "listen")
	if b, err := os.ReadFile(path); err != nil || string(b) != "precious" {
		t.Errorf("got %q, %v; want the file as it was", b, err)
	}
	if err := os.Remove(path); err != nil {
		t.Error(err)
	}
}
