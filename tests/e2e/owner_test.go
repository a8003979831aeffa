package e2e

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/tests/drive"
)

// The boundaries of a commit.
var (
	commit  = drive.Boundary{Role: migration.RoleControl, Type: drive.FrameCommit}
	running = drive.Boundary{Role: migration.RoleControl, Type: drive.FrameRunning, Answer: true}
)

// severed is a guest whose move is to break, between two sites of this host.
type severed struct {
	sites  []*drive.Site
	trip   *drive.Trip
	target *drive.Process
	relay  *drive.Relay
	ended  chan drive.Move
}

// sever boots a guest and prepares its move through a relay.
func sever(t *testing.T, ctx context.Context, g drive.Guest) *severed {
	t.Helper()
	needKVM(t)
	s := &severed{ended: make(chan drive.Move, 1)}
	for range 2 {
		site, err := drive.NewSite(vmm, nil)
		if err != nil {
			t.Fatal(err)
		}
		s.sites = append(s.sites, site)
	}
	t.Cleanup(func() {
		if s.relay != nil {
			s.relay.Close()
		}
		for i, site := range s.sites {
			// What a killed one leaves, the next call clears.
			if _, err := site.PS(context.Background()); err != nil {
				t.Error(err)
			}
			left, err := site.Leftovers()
			if err != nil || len(left) > 0 {
				t.Errorf("host %d: got left behind: %q, %v; want nothing", i, left, err)
			}
			if t.Failed() {
				logs, _ := filepath.Glob(filepath.Join(site.Dir, "*.log"))
				for _, path := range logs {
					text, _ := os.ReadFile(path)
					t.Logf("host %d, %s:\n%s", i, filepath.Base(path), text)
				}
			}
			if err := site.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	g.Name, g.Memory, g.CPUs = "alpha", 64, 1
	if g.Cmdline == "" {
		g.Cmdline = "fill=8 wss=4 rate=1"
	}
	var err error
	if s.trip, err = drive.Boot(ctx, s.sites, g); err != nil {
		t.Fatal(err)
	}
	if s.target, err = s.sites[1].Receive(s.trip.Observer, "target", g.Receive...); err != nil {
		t.Fatal(err)
	}
	if s.relay, err = drive.NewRelay(s.target.Listening); err != nil {
		t.Fatal(err)
	}
	return s
}

// move begins the move, which breaks by itself.
func (s *severed) move(t *testing.T, ctx context.Context, args ...string) {
	t.Helper()
	go func() {
		m, err := s.sites[0].Migrate(ctx, "alpha", s.relay.Address(), append([]string{"--mode", "precopy"}, args...)...)
		if err != nil {
			t.Error(err)
		}
		s.ended <- m
	}()
}

// end returns how the move ended for who asked for it.
func (s *severed) end(t *testing.T, ctx context.Context) drive.Move {
	t.Helper()
	select {
	case m := <-s.ended:
		return m
	case <-ctx.Done():
		t.Fatalf("the move goes on: %v", context.Cause(ctx))
		return drive.Move{}
	}
}

// state waits until the source is in a state.
func (s *severed) state(t *testing.T, ctx context.Context, want string) drive.Listed {
	t.Helper()
	var got drive.Listed
	until(t, ctx, "alpha is "+want, func() bool {
		list, err := s.sites[0].PS(ctx)
		if err != nil || len(list) != 1 {
			return false
		}
		got = list[0]
		return got.State == want
	})
	return got
}

// again starts a receiver anew on the target's host, and leads the source there.
func (s *severed) again(t *testing.T) *drive.Process {
	t.Helper()
	p, err := s.sites[1].Receive(s.trip.Observer, "later")
	if err != nil {
		t.Fatal(err)
	}
	s.relay.Retarget(p.Listening)
	s.relay.Heal()
	return p
}

// home wants the guest to go on at its source, with all that it had.
func (s *severed) home(t *testing.T, ctx context.Context) {
	t.Helper()
	stays(t, ctx, s.trip)
	if err := s.trip.Verify(ctx); err != nil {
		t.Error(err)
	}
	stop(t, ctx, s.trip)
}

// exited wants the supervisor at the source to end with a code.
func (s *severed) exited(t *testing.T, ctx context.Context, want int) {
	t.Helper()
	if code, err := s.trip.Process.Wait(ctx); err != nil || code != want {
		t.Errorf("got exit %d, %v at the source; want %d\n%s", code, err, want, s.trip.Process.Stderr())
	}
}

// TestTargetKilledBeforeItStarted: all who could have started the guest are
// dead; any later vmm there says so, and the guest goes on at its source.
func TestTargetKilledBeforeItStarted(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx := within(t, 2*time.Minute)
	s := sever(t, ctx, drive.Guest{})
	s.relay.At(commit, func() {
		killAll(t, s.sites[1])
		s.relay.Cut(drive.Reset)
	})
	s.move(t, ctx)
	s.state(t, ctx, "in_doubt")
	exec(t, ctx, s.sites[0], 1, "resume", "alpha")
	later := s.again(t)
	m := s.end(t, ctx)
	failedAtSource(t, m, "failed")
	if m.Error == nil || m.Error.Code != "not_started" {
		t.Errorf("got %+v; want not_started", m.Error)
	}
	interrupted(t, ctx, later)
	s.home(t, ctx)
}

// TestTargetKilledBehindItsRecord: the only owner is dead. The source reports
// so, and its older copy never runs again.
func TestTargetKilledBehindItsRecord(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx := within(t, 2*time.Minute)
	s := sever(t, ctx, drive.Guest{})
	s.relay.At(running, func() {
		killAll(t, s.sites[1])
		s.relay.Cut(drive.Reset)
	})
	s.move(t, ctx)
	s.state(t, ctx, "in_doubt")
	later := s.again(t)
	if m := s.end(t, ctx); m.Outcome != "lost" || m.Code != 3 {
		t.Errorf("got %+v; want it lost, exit 3", m)
	}
	s.state(t, ctx, "lost")
	for _, args := range [][]string{{"resume", "alpha"}, {"pause", "alpha"}, {"migrate", "alpha", "--resolve", "source"}, {"migrate", "alpha", later.Listening, "--insecure"}} {
		failure(t, exec(t, ctx, s.sites[0], 1, append(args, "--json")...))
	}
	s.state(t, ctx, "lost")
	exec(t, ctx, s.sites[0], 0, "kill", "alpha")
	s.exited(t, ctx, 3)
	interrupted(t, ctx, later)
}

// TestTargetStartedAndWasNotHeard: its record says that it has the guest.
func TestTargetStartedAndWasNotHeard(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx := within(t, 2*time.Minute)
	s := sever(t, ctx, drive.Guest{})
	s.relay.At(running, func() { s.relay.Cut(drive.HalfOpen) })
	s.move(t, ctx)
	s.state(t, ctx, "in_doubt")
	s.relay.Heal()
	if m := s.end(t, ctx); m.Outcome != "completed" || m.Code != 0 {
		t.Errorf("got %+v; want it completed", m)
	}
	s.exited(t, ctx, 0)
	if err := s.trip.Observer.WaitBeats(ctx, "target", 1, 40); err != nil {
		t.Error(err)
	}
	exec(t, ctx, s.sites[1], 0, "stop", "alpha")
}

// TestInDoubtUntilAPersonDecides: nobody answers. The command gives up after 10 s, the machine
// goes on asking, and does what a person decides.
func TestInDoubtUntilAPersonDecides(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx := within(t, 2*time.Minute)
	s := sever(t, ctx, drive.Guest{})
	failure(t, exec(t, ctx, s.sites[0], 1, "migrate", "alpha", "--resolve", "target", "--json"), "bad_state")
	s.relay.At(commit, func() { s.relay.Cut(drive.Silence) })
	s.move(t, ctx)
	m := s.end(t, ctx)
	if m.Outcome != "in_doubt" || m.Code != 3 || m.Error == nil || m.Error.Remedy == "" {
		t.Errorf("got %+v; want it in doubt, exit 3, with a remedy", m)
	}
	s.state(t, ctx, "in_doubt")
	failure(t, exec(t, ctx, s.sites[0], 1, "stop", "alpha", "--json"), "bad_state")
	exec(t, ctx, s.sites[0], 0, "migrate", "alpha", "--resolve", "source")
	interrupted(t, ctx, s.target)
	s.home(t, ctx)
}

// TestResolvedAway: the loser's copy is destroyed.
func TestResolvedAway(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx := within(t, 2*time.Minute)
	s := sever(t, ctx, drive.Guest{})
	s.relay.At(running, func() { s.relay.Cut(drive.Reset) })
	s.move(t, ctx)
	s.state(t, ctx, "in_doubt")
	exec(t, ctx, s.sites[0], 0, "migrate", "alpha", "--resolve", "target")
	if m := s.end(t, ctx); m.Code != 3 || !strings.Contains(m.Reason, "resolved") {
		t.Errorf("got %+v; want it resolved, exit 3", m)
	}
	s.exited(t, ctx, 3)
	if list, err := s.sites[0].PS(ctx); err != nil || len(list) != 0 {
		t.Errorf("got %+v, %v; want nothing", list, err)
	}
	failure(t, exec(t, ctx, s.sites[1], 1, "migrate", "alpha", "--resolve", "source", "--json"), "bad_state") // it runs
	exec(t, ctx, s.sites[1], 0, "stop", "alpha")
}

// TestResolveAgainstAPeer: who can be reached is believed, not the person.
func TestResolveAgainstAPeer(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx := within(t, 2*time.Minute)
	s := sever(t, ctx, drive.Guest{})
	s.relay.At(commit, func() { s.relay.Cut(drive.Reset) })
	s.move(t, ctx)
	s.state(t, ctx, "in_doubt")
	s.relay.Heal()
	failure(t, exec(t, ctx, s.sites[0], 1, "migrate", "alpha", "--resolve", "target", "--json"), "contradicted", "bad_state")
	failedAtSource(t, s.end(t, ctx), "failed")
	interrupted(t, ctx, s.target)
	s.home(t, ctx)
}

// TestFenceHook: the hook says that the target is fenced, and the guest goes on.
func TestFenceHook(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx := within(t, 2*time.Minute)
	dir := t.TempDir()
	hook, said := filepath.Join(dir, "fence"), filepath.Join(dir, "said")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\ncat >"+said+".part && mv "+said+".part "+said+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	s := sever(t, ctx, drive.Guest{Args: []string{"--fence-hook", hook}})
	s.relay.At(commit, func() {
		killAll(t, s.sites[1])
		s.relay.Cut(drive.Reset)
	})
	s.move(t, ctx)
	m := s.end(t, ctx)
	failedAtSource(t, m, "failed")
	if m.Reason != "the target was fenced" {
		t.Errorf("got reason %q; want that the target was fenced", m.Reason)
	}
	text, err := os.ReadFile(said)
	var got struct {
		Move  string `json:"move_id"`
		Epoch uint64 `json:"epoch"`
		Role  string `json:"role"`
	}
	if err == nil {
		err = json.Unmarshal(text, &got)
	}
	if err != nil || len(got.Move) != 32 || got.Epoch == 0 || got.Role != "source" {
		t.Errorf("got %q, %v on the hook's standard input; want the move", text, err)
	}
	s.home(t, ctx)
}

func TestFenceHookThatCannotRun(t *testing.T) {
	needKVM(t)
	ctx := within(t, time.Minute)
	site, err := drive.NewSite(vmm, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer site.Close()
	for _, args := range [][]string{
		{"run", "--fence-hook", "/nonexistent/hook"}, {"run", "--fence-hook", "/etc/passwd"}, {"run", "--shared-records", "/nonexistent"},
		{"receive", "--listen", "tcp:127.0.0.1:0", "--fence-hook", "/etc"},
	} {
		failure(t, exec(t, ctx, site, 1, append(args, "--json")...), "fence_hook", "shared_records")
	}
	if left, err := site.Leftovers(); err != nil || len(left) != 0 {
		t.Errorf("got left behind: %q, %v; want nothing", left, err)
	}
}

// TestSharedRecords: a record that both hosts see decides without a link.
func TestSharedRecords(t *testing.T) {
	t.Run("not started", func(t *testing.T) {
		t.Parallel()
		ctx := within(t, 2*time.Minute)
		shared := []string{"--shared-records", t.TempDir()}
		s := sever(t, ctx, drive.Guest{Args: shared, Receive: shared})
		s.relay.At(commit, func() {
			killAll(t, s.sites[1])
			s.relay.Cut(drive.Reset)
		})
		s.move(t, ctx)
		failedAtSource(t, s.end(t, ctx), "failed")
		s.home(t, ctx)
	})
	t.Run("fenced while it waits", func(t *testing.T) {
		t.Parallel()
		ctx := within(t, 2*time.Minute)
		shared := []string{"--shared-records", t.TempDir()}
		s := sever(t, ctx, drive.Guest{Args: shared, Receive: shared})
		s.relay.At(commit, func() { s.relay.Cut(drive.HalfOpen) })
		s.move(t, ctx)
		failedAtSource(t, s.end(t, ctx), "failed")
		interrupted(t, ctx, s.target)
		s.home(t, ctx)
	})
	t.Run("started", func(t *testing.T) {
		t.Parallel()
		ctx := within(t, 2*time.Minute)
		shared := []string{"--shared-records", t.TempDir()}
		s := sever(t, ctx, drive.Guest{Args: shared, Receive: shared})
		s.relay.At(running, func() { s.relay.Cut(drive.Reset) })
		s.move(t, ctx)
		if m := s.end(t, ctx); m.Outcome != "completed" || m.Code != 0 {
			t.Errorf("got %+v; want it completed", m)
		}
		s.exited(t, ctx, 0)
		if err := s.trip.Observer.WaitBeats(ctx, "target", 1, 40); err != nil {
			t.Error(err)
		}
		exec(t, ctx, s.sites[1], 0, "stop", "alpha")
	})
}

// TestSourceWithoutSupervisorInDoubt: the machine obeys its record.
func TestSourceWithoutSupervisorInDoubt(t *testing.T) {
	for name, decide := range map[string]func(ctx context.Context, s *severed){
		"a person decides": func(ctx context.Context, s *severed) {
			exec(t, ctx, s.sites[0], 0, "migrate", "alpha", "--resolve", "source")
		},
		"the next command asks": func(_ context.Context, s *severed) { s.relay.Heal() },
	} {
		t.Run(name, func(t *testing.T) { withoutSupervisor(t, decide) })
	}
}

func withoutSupervisor(t *testing.T, decide func(context.Context, *severed)) {
	t.Parallel() // most of it is waiting
	ctx := within(t, 2*time.Minute)
	s := sever(t, ctx, drive.Guest{})
	s.relay.At(commit, func() { s.relay.Cut(drive.Silence) })
	go s.sites[0].Exec(ctx, "migrate", "alpha", s.relay.Address(), "--mode", "precopy") //nolint:errcheck // its supervisor dies
	s.state(t, ctx, "in_doubt")
	if err := s.trip.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, ctx, "its supervisor is dead", func() bool {
		d, err := s.sites[0].Exec(ctx, "info", "alpha", "--json")
		return err == nil && strings.Contains(d.Stdout, `"supervisor_pid":0,`)
	})
	s.state(t, ctx, "in_doubt")
	decide(ctx, s)
	s.state(t, ctx, "orphaned")
	if err := s.trip.Observer.WaitBeats(ctx, s.trip.Process.Stream.Name, 1, 20); err != nil {
		t.Error(err)
	}
	exec(t, ctx, s.sites[0], 0, "kill", "alpha")
	interrupted(t, ctx, s.target)
}

// TestSourceKilledInDoubt: what is left is the record, which says that something
// is to be found out.
func TestSourceKilledInDoubt(t *testing.T) {
	t.Parallel() // most of it is waiting
	ctx := within(t, 2*time.Minute)
	s := sever(t, ctx, drive.Guest{})
	s.relay.At(commit, func() { s.relay.Cut(drive.Silence) })
	go s.sites[0].Exec(ctx, "migrate", "alpha", s.relay.Address(), "--mode", "precopy") //nolint:errcheck // its supervisor dies
	s.state(t, ctx, "in_doubt")
	killAll(t, s.sites[0])
	until(t, ctx, "nothing is left but the record", func() bool { return s.state(t, ctx, "in_doubt").PID == 0 })
	failure(t, exec(t, ctx, s.sites[0], 1, "migrate", "alpha", "--resolve", "source", "--json"), "contradicted")
	s.relay.Heal()
	s.state(t, ctx, "lost") // the target says that it did not start
	exec(t, ctx, s.sites[0], 0, "kill", "alpha")
	if list, err := s.sites[0].PS(ctx); err != nil || len(list) != 0 {
		t.Errorf("got %+v, %v; want nothing", list, err)
	}
	interrupted(t, ctx, s.target)
}
