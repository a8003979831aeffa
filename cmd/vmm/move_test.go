package main

import (
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// moved is how a move ends in the tests.
func moved(outcome api.Outcome) api.Result {
	r := api.Result{
		Outcome: outcome, ModeRequested: "precopy", Mode: "precopy", MemoryBytes: 256 << 20, ResidentBytes: 33 << 20,
		SentBytes: 34 << 20, PageBytes: 33 << 20, Rounds: []api.Round{{Pages: 8448, Bytes: 33 << 20, MS: 300}, {Pages: 3}},
		TotalMS: 512, DowntimeMS: 5.5, Downtime: api.Downtime{PauseMS: 0.5, PagesMS: 1, StateMS: 2, CommitMS: 1.5, ResumeMS: 0.5},
	}
	if outcome == api.OutcomeCompleted {
		r.TargetName = "alpha-2"
	} else {
		r.Reason = "link"
		r.Error = api.Errorf("refused", "look at the target", "the link dropped")
	}
	return r
}

func stream(reports []api.Progress, end api.Result) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		s := api.NewStream(w)
		for _, p := range reports {
			s.Progress(p) //nolint:errcheck // the test fails for want of it
		}
		s.Result(end) //nolint:errcheck // likewise
	}
}

func TestMigrateRequest(t *testing.T) {
	for line, want := range map[string]api.MigrateRequest{
		"migrate alpha tcp:127.0.0.1:4444": {Target: "tcp:127.0.0.1:4444", Mode: "auto", Compress: "auto", DowntimeLimitMS: 50},
		"migrate alpha tcp:127.0.0.1:4444 --pause-before-switchover": {
			Target: "tcp:127.0.0.1:4444", Mode: "auto", Compress: "auto", DowntimeLimitMS: 50, PauseBeforeSwitchover: true,
		},
		"migrate alpha tcp:127.0.0.1:4444 --bandwidth 2.5G": {
			Target: "tcp:127.0.0.1:4444", Mode: "auto", Compress: "auto", DowntimeLimitMS: 50, BandwidthBitsPerS: 2_500_000_000,
		},
		"migrate alpha tcp:127.0.0.1:4444 --compress zstd": {
			Target: "tcp:127.0.0.1:4444", Mode: "auto", Compress: "zstd", DowntimeLimitMS: 50,
		},
		"migrate alpha tcp:127.0.0.1:4444 --bandwidth 150k": {
			Target: "tcp:127.0.0.1:4444", Mode: "auto", Compress: "auto", DowntimeLimitMS: 50, BandwidthBitsPerS: 150_000,
		},
		"migrate alpha tcp:10.0.0.1:1 --insecure --mode stopcopy --downtime-limit 1.5ms --timeout 2m": {
			Target: "tcp:10.0.0.1:1", Mode: "stopcopy", Compress: "auto", DowntimeLimitMS: 1.5, TimeoutMS: 120_000, Insecure: true,
		},
		"migrate alpha tcp:10.0.0.1:1 --tls /etc/../tls": {
			Target: "tcp:10.0.0.1:1", Mode: "auto", Compress: "auto", DowntimeLimitMS: 50, TLS: "/tls",
		},
	} {
		h := newHarness(t)
		var got api.MigrateRequest
		h.serve("alpha", func(w http.ResponseWriter, r *http.Request) {
			if err := api.ReadRequest(w, r, &got); err != nil {
				t.Error(err)
			}
			stream(nil, moved(api.OutcomeCompleted))(w, r)
		})
		if code := h.run(strings.Fields(line)...); code != exitOK {
			t.Errorf("%s: got exit code %d (%s); want 0", line, code, h.stderr)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
		if !h.waited {
			t.Errorf("%s: it returned before the source was gone", line)
		}
	}
}

func TestMigrateJSON(t *testing.T) {
	fields := []string{
		"compress", "downtime", "downtime_ms", "faults", "forecast", "memory_bytes", "mode", "mode_requested", "network", "outcome", "page_bytes", "pages", "phases", "pulled_pages", "reason",
		"rejoins", "resident_bytes", "rounds", "sent_bytes", "target_name", "throttle", "total_ms", "urgent_pages",
	}
	for outcome, want := range map[api.Outcome]int{
		api.OutcomeCompleted: 0, api.OutcomeFailed: 1, api.OutcomeCancelled: 1, api.OutcomeInDoubt: 3, api.OutcomeLost: 3,
	} {
		h := newHarness(t)
		h.serve("alpha", stream([]api.Progress{{Phase: "push"}}, moved(outcome)))
		if got := h.run("migrate", "alpha", "tcp:127.0.0.1:1", "--json"); got != want {
			t.Errorf("%s: got exit code %d; want %d", outcome, got, want)
		}
		objects := h.objects()
		if len(objects) != 1 {
			t.Fatalf("%s: got %d objects; want 1", outcome, len(objects))
		}
		got := objects[0]
		wantFields := fields
		if outcome != api.OutcomeCompleted {
			wantFields = slices.Sorted(slices.Values(append(slices.Clone(fields), "error")))
		}
		if diff := cmp.Diff(wantFields, slices.Sorted(maps.Keys(got))); diff != "" {
			t.Errorf("%s: fields (-want +got):\n%s", outcome, diff)
		}
		if got["outcome"] != string(outcome) {
			t.Errorf("got outcome %v; want %v", got["outcome"], outcome)
		}
		parts := []string{"commit_ms", "pages_ms", "pause_ms", "resume_ms", "state_ms"}
		if diff := cmp.Diff(parts, slices.Sorted(maps.Keys(got["downtime"].(map[string]any)))); diff != "" {
			t.Errorf("downtime (-want +got):\n%s", diff)
		}
		round := got["rounds"].([]any)[0].(map[string]any)
		if diff := cmp.Diff([]string{"bytes", "dirtied_pages", "dirty_bits_per_s", "ms", "pages", "sent_bits_per_s"}, slices.Sorted(maps.Keys(round))); diff != "" {
			t.Errorf("round (-want +got):\n%s", diff)
		}
		if h.stderr.String() != "" {
			t.Errorf("%s: got %q on stderr; want nothing", outcome, h.stderr)
		}
		if h.waited != (outcome == api.OutcomeCompleted) {
			t.Errorf("%s: got waited = %v; want it only after completion", outcome, h.waited)
		}
	}
}

func TestMigrateForPeople(t *testing.T) {
	reports := []api.Progress{
		{Phase: "push", SentBytes: 1 << 20, RemainingBytes: 32 << 20, ElapsedMS: 10},
		{Phase: "push", SentBytes: 2 << 20, RemainingBytes: 31 << 20, ElapsedMS: 110}, // within a second: not told
		{
			Phase: "push", Round: 1, SentBytes: 33 << 20, RemainingBytes: 4096, DirtyBitsPerS: 12e6, BandwidthBitsPerS: 9.5e9,
			ForecastDowntimeMS: 6.25, ElapsedMS: 300,
		},
	}
	h := newHarness(t)
	h.serve("alpha", stream(reports, moved(api.OutcomeCompleted)))
	if got := h.run("migrate", "alpha", "tcp:127.0.0.1:1"); got != exitOK {
		t.Errorf("got exit code %d; want 0", got)
	}
	wantErr := "push     round 0  sent 1.0 MiB  remaining 32.0 MiB\n" +
		"push     round 1  sent 33.0 MiB  remaining 4.0 KiB  dirty 12.0 Mbit/s  link 9.50 Gbit/s  forecast 6.2 ms\n"
	if diff := cmp.Diff(wantErr, h.stderr.String()); diff != "" {
		t.Errorf("stderr (-want +got):\n%s", diff)
	}
	wantOut := "moved alpha to tcp:127.0.0.1:1 as alpha-2 in 512 ms (precopy)\n" +
		"  sent      34.0 MiB in 2 rounds, 33.0 MiB of it pages\n" +
		"  downtime  5.5 ms: pause 0.5, pages 1.0, state 2.0, commit 1.5, resume 0.5\n"
	if diff := cmp.Diff(wantOut, h.stdout.String()); diff != "" {
		t.Errorf("stdout (-want +got):\n%s", diff)
	}
	h = newHarness(t)
	h.serve("alpha", stream(nil, moved(api.OutcomeFailed)))
	if got := h.run("migrate", "alpha", "tcp:127.0.0.1:1"); got != exitFailed {
		t.Errorf("got exit code %d; want 1", got)
	}
	if got, want := h.stderr.String(), "vmm: failed, the guest is still here: the link dropped\ntry: look at the target\n"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestMigrateOfAGuestThatEnds(t *testing.T) {
	h := newHarness(t)
	r := moved(api.OutcomeFailed)
	r.Error = api.Errorf(api.CodeGuestEnded, "vmm ps", "the guest ended: powered off")
	h.serve("alpha", stream(nil, r))
	if got := h.run("migrate", "alpha", "tcp:127.0.0.1:1"); got != exitFailed {
		t.Errorf("got exit code %d; want 1", got)
	}
	if got, want := h.stderr.String(), "vmm: failed: the guest ended: powered off\ntry: vmm ps\n"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestMigrateThatDoesNotBegin(t *testing.T) {
	refuse := func(w http.ResponseWriter, r *http.Request) {
		api.WriteError(w, api.Errorf(api.CodeBadState, "wait", "alpha is being moved"))
	}
	breakOff := func(w http.ResponseWriter, r *http.Request) {
		api.NewStream(w).Progress(api.Progress{Phase: "commit"}) //nolint:errcheck // it breaks off anyway
		panic(http.ErrAbortHandler)
	}
	for name, test := range map[string]struct {
		handler http.HandlerFunc
		openErr error
		outcome api.Outcome
		code    string
		exit    int
	}{
		"refused":    {refuse, nil, api.OutcomeFailed, api.CodeBadState, exitFailed},
		"no machine": {nil, api.Errorf(api.CodeNoSuchMachine, "vmm ps", "none"), api.OutcomeFailed, api.CodeNoSuchMachine, exitFailed},
		"orphaned":   {nil, api.Errorf(api.CodeOrphaned, "vmm kill alpha", "alone"), api.OutcomeFailed, api.CodeOrphaned, exitFailed},
		"broke off":  {breakOff, nil, api.OutcomeInDoubt, api.CodeConnectionLost, exitUnknown},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHarness(t)
			h.openErr = test.openErr
			if test.handler != nil {
				h.serve("alpha", test.handler)
			}
			if got := h.run("migrate", "alpha", "tcp:127.0.0.1:1", "--json"); got != test.exit {
				t.Errorf("got exit code %d; want %d", got, test.exit)
			}
			got := h.objects()[0]
			if got["outcome"] != string(test.outcome) || got["reason"] == "" || got["rounds"] == nil {
				t.Errorf("got %v; want outcome %s with a reason and rounds", got, test.outcome)
			}
			failure, _ := got["error"].(map[string]any)
			if failure["code"] != test.code || failure["remedy"] == "" {
				t.Errorf("got error %v; want code %s with a remedy", failure, test.code)
			}
			h.stdout, h.stderr = &buffer{}, &buffer{}
			h.app.stdout, h.app.stderr, h.app.json = h.stdout, h.stderr, false
			if got := h.run("migrate", "alpha", "tcp:127.0.0.1:1"); got != test.exit {
				t.Errorf("for people: got exit code %d; want %d", got, test.exit)
			}
			if got := h.stderr.String(); !strings.Contains(got, "vmm: ") || !strings.Contains(got, "\ntry: ") || h.stdout.String() != "" {
				t.Errorf("for people: got %q; want a message and a remedy", got)
			}
		})
	}
}

func TestMigrateWhoseSourceStays(t *testing.T) {
	h := newHarness(t)
	h.waitErr = errTest
	h.serve("alpha", stream(nil, moved(api.OutcomeCompleted)))
	if got := h.run("migrate", "alpha", "tcp:127.0.0.1:1", "--json"); got != exitFailed {
		t.Errorf("got exit code %d; want 1", got)
	}
	if got := h.objects()[0]; got["outcome"] != "completed" || got["error"] == nil {
		t.Errorf("got %v; want completed, with an error beside it", got)
	}
}

func TestSignalCancelsTheMove(t *testing.T) {
	for _, command := range []string{"migrate alpha tcp:127.0.0.1:1", "snapshot alpha /tmp/ferry-never-made"} {
		h := newHarness(t)
		cancelled := make(chan struct{})
		h.serve("alpha", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == api.PathMigrateCancel {
				api.WriteAnswer(w, nil)
				close(cancelled)
				return
			}
			s := api.NewStream(w)
			s.Progress(api.Progress{Phase: "push"}) //nolint:errcheck // the test fails for want of it
			h.sent <- os.Interrupt
			<-cancelled
			s.Result(moved(api.OutcomeCancelled)) //nolint:errcheck // likewise
		})
		if got := h.run(strings.Fields(command)...); got != exitFailed {
			t.Errorf("%s: got exit code %d; want 1", command, got)
		}
		if got := h.stderr.String(); !strings.Contains(got, "vmm: cancelling: ") || !strings.Contains(got, "vmm: cancelled, the guest is still here") {
			t.Errorf("%s: got %q; want it to say so", command, got)
		}
	}
}

func TestSecondSignalLeavesTheMove(t *testing.T) {
	h := newHarness(t)
	leave := make(chan struct{})
	h.serve("alpha", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == api.PathMigrateCancel {
			api.WriteError(w, api.Errorf(api.CodeBadState, "", "too late"))
			return
		}
		api.NewStream(w).Progress(api.Progress{Phase: "commit"}) //nolint:errcheck // the test fails for want of it
		h.sent <- os.Interrupt
		h.stderr.wait(t, "vmm: it cannot be cancelled: too late")
		h.sent <- os.Interrupt
		<-leave
	})
	defer close(leave)
	if got := h.run("migrate", "alpha", "tcp:127.0.0.1:1"); got != exitUnknown {
		t.Errorf("got exit code %d; want 3", got)
	}
	if got := h.stderr.String(); !strings.Contains(got, "it goes on by itself") {
		t.Errorf("got %q; want it to say that the move goes on", got)
	}
}

func TestOrders(t *testing.T) {
	for order, want := range map[string]struct{ path, state string }{
		"--cancel":   {api.PathMigrateCancel, "cancelling"},
		"--continue": {api.PathMigrateContinue, "continuing"},
	} {
		h := newHarness(t)
		var path string
		h.serve("alpha", func(w http.ResponseWriter, r *http.Request) {
			path = r.URL.Path
			api.WriteAnswer(w, nil)
		})
		if got := h.run("migrate", "alpha", order, "--json"); got != exitOK {
			t.Errorf("%s: got exit code %d (%s); want 0", order, got, h.stderr)
		}
		if path != want.path {
			t.Errorf("%s: got a request for %q; want %q", order, path, want.path)
		}
		if got, want := h.stdout.String(), `{"name":"alpha","state":"`+want.state+`"}`+"\n"; got != want {
			t.Errorf("%s: got %q; want %q", order, got, want)
		}
	}
}

func TestResolveCommand(t *testing.T) {
	h := newHarness(t)
	if got := h.run("migrate", "alpha", "--resolve", "source", "--json"); got != exitOK {
		t.Errorf("got exit code %d (%s); want 0", got, h.stderr)
	}
	if diff := cmp.Diff([]any{"alpha to source"}, h.calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if got, want := h.stdout.String(), `{"name":"alpha","state":"resolved","owner":"source"}`+"\n"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
	h = newHarness(t)
	h.failure = api.Errorf(api.CodeBadState, "vmm ps", "alpha is running")
	if got := h.run("migrate", "alpha", "--resolve", "target"); got != exitFailed || h.stdout.String() != "" {
		t.Errorf("got exit code %d, %q on stdout; want 1 and nothing", got, h.stdout)
	}
}

func TestSnapshot(t *testing.T) {
	t.Chdir("/")
	var request api.SnapshotRequest
	serve := func(h *harness, end api.Result) {
		h.serve("alpha", func(w http.ResponseWriter, r *http.Request) {
			if err := api.ReadRequest(w, r, &request); err != nil {
				t.Error(err)
			}
			stream(nil, end)(w, r)
		})
	}
	h := newHarness(t)
	serve(h, moved(api.OutcomeCompleted))
	if got := h.run("snapshot", "alpha", "some/where", "--json"); got != exitOK {
		t.Errorf("got exit code %d (%s); want 0", got, h.stderr)
	}
	if request.Dir != "/some/where" {
		t.Errorf("got %q; want an absolute path", request.Dir)
	}
	if got := h.objects()[0]; got["dir"] != "/some/where" || got["outcome"] != "completed" {
		t.Errorf("got %v; want the directory and the outcome", got)
	}
	h = newHarness(t)
	serve(h, moved(api.OutcomeCompleted))
	h.run("snapshot", "alpha", "some/where")
	if got := h.stdout.String(); !strings.HasPrefix(got, "saved alpha to /some/where in 512 ms\n") {
		t.Errorf("got %q; want it to say where", got)
	}
	h = newHarness(t)
	serve(h, moved(api.OutcomeFailed))
	if got := h.run("snapshot", "alpha", "some/where"); got != exitFailed {
		t.Errorf("got exit code %d; want 1", got)
	}
}
