package main

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func TestPs(t *testing.T) {
	machines := []api.Machine{
		{Name: "beta", State: api.StateReceiving, Socket: "/x"},
		{Name: "alpha", State: api.StateRunning, PID: 42, CPUs: 2, MemoryBytes: 4 << 30, UptimeMS: 61_500.5, Kernel: "loadgen"},
	}
	h := newHarness(t)
	h.machines = machines
	if got := h.run("ps", "--json"); got != exitOK {
		t.Errorf("got exit code %d; want 0", got)
	}
	want := `{"machines":[{"name":"alpha","state":"running","pid":42,"cpus":2,"memory_bytes":4294967296,"uptime_ms":61500.5},` +
		`{"name":"beta","state":"receiving","pid":0,"cpus":0,"memory_bytes":0,"uptime_ms":0}]}` + "\n"
	if diff := cmp.Diff(want, h.stdout.String()); diff != "" {
		t.Errorf("json (-want +got):\n%s", diff)
	}
	h = newHarness(t)
	h.machines = machines
	h.run("ps")
	want = "NAME    STATE       PID   CPUS   MEMORY   UPTIME\n" +
		"alpha   running     42    2      4G       1m1s\n" +
		"beta    receiving   -     -      -        -\n"
	if diff := cmp.Diff(want, h.stdout.String()); diff != "" {
		t.Errorf("table (-want +got):\n%s", diff)
	}
	h = newHarness(t)
	h.run("ps", "--json")
	if got, want := h.stdout.String(), `{"machines":[]}`+"\n"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestInfo(t *testing.T) {
	ready := 84.5
	m := api.Machine{Name: "alpha", State: api.StateRunning, PID: 42, MemoryBytes: 256 << 20, ReadyMS: &ready, Moves: 3}
	h := newHarness(t)
	h.serve("alpha", func(w http.ResponseWriter, r *http.Request) { api.WriteAnswer(w, m) })
	if got := h.run("info", "alpha", "--json"); got != exitOK {
		t.Errorf("got exit code %d (%s); want 0", got, h.stderr)
	}
	if got := h.objects()[0]; got["name"] != "alpha" || got["ready_ms"] != 84.5 || got["memory_bytes"] != float64(256<<20) {
		t.Errorf("got %v; want the machine", got)
	}
	h.app.json, h.app.stdout = false, &buffer{}
	h.run("info", "alpha")
	got := h.app.stdout.(*buffer).String()
	for _, want := range []string{"name:         alpha\n", "memory:       256M\n", "ready after:  84.5 ms\n", "moves:        3\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q; want it to contain %q", got, want)
		}
	}
}

// someDevices is one of each kind.
func someDevices() []api.Device {
	return []api.Device{
		{Kind: "blk", ID: "root", Path: "/root.img", Queues: 1, Disk: &api.Disk{SizeBytes: 1 << 30, ReadOnly: true, Cache: "none", Reads: 1, ReadBytes: 4096, Errors: 2}},
		{Kind: "net", ID: "eth", Queues: 2, Network: &api.Network{MAC: "02:00:00:00:00:01", Bridge: "br0", MTU: 1500, TxPackets: 3, TxBytes: 180, RxDrops: 1, TxDrops: 1}},
		{Kind: "net", ID: "lan", Queues: 1, Network: &api.Network{MAC: "02:00:00:00:00:02", Tap: "t", MTU: 1500, IPs: []string{"10.0.0.5", "fd00::5"},
			NetworkPolicy: api.NetworkPolicy{Rate: 15e5, Packets: 20e3, AntiSpoof: true}, TxLimited: 2, RxLimited: 3, TxSpoofed: 1}},
		{Kind: "rng"},
		{Kind: "balloon", Balloon: &api.Balloon{TargetBytes: 64 << 20, ActualBytes: 32 << 20}},
		{Kind: "console", Console: &api.Console{Spec: "stdio"}},
		{Kind: "vsock", Path: "/v.sock", Vsock: &api.Vsock{CID: 3}},
	}
}

func TestInfoOfDevices(t *testing.T) {
	h := newHarness(t)
	h.serve("alpha", func(w http.ResponseWriter, r *http.Request) {
		api.WriteAnswer(w, api.Machine{Name: "alpha", CPU: "baseline", Devices: someDevices()})
	})
	h.run("info", "alpha")
	got := h.stdout.String()
	for _, want := range []string{
		"cpu:             baseline\n",
		"disk root:       /root.img, 1.00 GiB, read only, cache none, 1 queue, 1 read (4.0 KiB), 0 writes (0 B), 0 flush requests, 2 errors\n",
		"network eth:     bridge br0, 02:00:00:00:00:01, 2 queue pairs, MTU 1500, received 0 packets (0 B), sent 3 packets (180 B), 2 dropped\n",
		"network lan:     tap t, 02:00:00:00:00:02, 1 queue pair, MTU 1500, 10.0.0.5, fd00::5, at most 1.5M bits/s, at most 20k packets/s, " +
			"received 0 packets (0 B), sent 0 packets (0 B), 0 dropped, 5 over its limits, 1 frame in a false name\n",
		"virtio-rng:      yes\n",
		"virtio-balloon:  asked for 64.0 MiB, holds 32.0 MiB\n",
		"virtio-console:  stdio\n",
		"virtio-vsock:    /v.sock, context id 3\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q; want it to contain %q", got, want)
		}
	}
}

// TestInfoIsPrintable has a guest come from a host that would like to have a word with the terminal.
func TestInfoIsPrintable(t *testing.T) {
	h := newHarness(t)
	h.serve("alpha", func(w http.ResponseWriter, r *http.Request) {
		api.WriteAnswer(w, api.Machine{Name: "alpha", Cmdline: "a\x1b[2Jb\tc\nd", Kernel: "Grüße \u202e", Devices: []api.Device{
			{Kind: "console\r", Console: &api.Console{Spec: "\u009bm"}},
		}})
	})
	h.run("info", "alpha")
	got := h.stdout.String()
	for _, want := range []string{`a\x1b[2Jb\tc\nd` + "\n", `Grüße \u202e` + "\n", `virtio-console\r:`, `\u009bm` + "\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("got %q; want it to contain %q", got, want)
		}
	}
	if strings.ContainsAny(got, "\x1b\r\t\u202e\u009b") {
		t.Errorf("got %q; want nothing in it that a terminal obeys", got)
	}
}

func TestBalloon(t *testing.T) {
	h := newHarness(t)
	var got []string
	h.serve("alpha", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = append(got, r.Method+" "+r.URL.Path+" "+string(body))
		api.WriteAnswer(w, nil)
	})
	for _, args := range [][]string{{"balloon", "alpha", "128M"}, {"balloon", "alpha", "1G", "--json"}} {
		if code := h.run(args...); code != exitOK {
			t.Errorf("%v: got exit code %d (%s); want 0", args, code, h.stderr)
		}
	}
	want := []string{`POST /v1/machine/balloon {"memory_bytes":134217728}`, `POST /v1/machine/balloon {"memory_bytes":1073741824}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if got, want := h.stdout.String(), "alpha\n"+`{"name":"alpha","memory_bytes":1073741824}`+"\n"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}
}

func TestDirtyRate(t *testing.T) {
	h := newHarness(t)
	var got []string
	h.serve("alpha", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got = append(got, r.Method+" "+r.URL.Path+" "+string(body))
		api.WriteAnswer(w, api.DirtyRate{
			Name: "alpha", DurationMS: 500, DirtyPages: 128, DirtyMiBS: 1, VCPUs: []api.CPUDirtyRate{{CPU: 0, Pages: 128, MiBS: 1}},
		})
	})
	for _, args := range [][]string{{"dirty-rate", "alpha"}, {"dirty-rate", "alpha", "--duration", "500ms", "--json"}} {
		if code := h.run(args...); code != exitOK {
			t.Errorf("%v: got exit code %d (%s); want 0", args, code, h.stderr)
		}
	}
	want := []string{`POST /v1/machine/dirty-rate {"duration_ms":1000}`, `POST /v1/machine/dirty-rate {"duration_ms":500}`}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	const text = "alpha:     1.0 MiB/s  128 pages in 500 ms\n  vCPU 0:  1.0 MiB/s  128 pages\n"
	const object = `{"name":"alpha","duration_ms":500,"dirty_pages":128,"dirty_mib_s":1,"vcpus":[{"cpu":0,"pages":128,"mib_s":1}]}` + "\n"
	if got := h.stdout.String(); got != text+object {
		t.Errorf("got %q; want %q", got, text+object)
	}
}

func TestInfoOfOrphan(t *testing.T) {
	h := newHarness(t)
	h.openErr = api.Errorf(api.CodeOrphaned, "vmm kill alpha", "the supervisor died")
	h.machines = []api.Machine{{Name: "alpha", State: api.StateOrphaned, PID: 42}}
	if got := h.run("info", "alpha", "--json"); got != exitOK {
		t.Errorf("got exit code %d; want 0", got)
	}
	if got := h.objects()[0]; got["state"] != "orphaned" || got["pid"] != 42.0 {
		t.Errorf("got %v; want an orphan", got)
	}
}

func TestActs(t *testing.T) {
	for command, test := range map[string]struct {
		path, state string
		waits       bool
	}{
		"pause":  {api.PathPause, "paused", false},
		"resume": {api.PathResume, "running", false},
		"stop":   {api.PathStop, "stopped", true},
	} {
		h := newHarness(t)
		var path string
		h.serve("alpha", func(w http.ResponseWriter, r *http.Request) {
			path = r.Method + " " + r.URL.Path
			api.WriteAnswer(w, nil)
		})
		if got := h.run(command, "alpha", "--json"); got != exitOK {
			t.Errorf("%s: got exit code %d (%s); want 0", command, got, h.stderr)
		}
		if path != "POST "+test.path {
			t.Errorf("%s: got %s; want POST %s", command, path, test.path)
		}
		if got, want := h.stdout.String(), `{"name":"alpha","state":"`+test.state+`"}`+"\n"; got != want {
			t.Errorf("%s: got %q; want %q", command, got, want)
		}
		if h.waited != test.waits {
			t.Errorf("%s: got waited = %v; want %v", command, h.waited, test.waits)
		}
	}
}

func TestKill(t *testing.T) {
	h := newHarness(t)
	if got := h.run("kill", "alpha"); got != exitOK {
		t.Errorf("got exit code %d; want 0", got)
	}
	if diff := cmp.Diff([]any{"alpha"}, h.calls); diff != "" {
		t.Errorf("kills (-want +got):\n%s", diff)
	}
	if got := h.stdout.String(); got != "alpha\n" {
		t.Errorf("got %q; want the name", got)
	}
}

func TestErrorsOfMachines(t *testing.T) {
	for _, command := range []string{"pause", "resume", "stop", "info", "console"} {
		h := newHarness(t)
		h.openErr = api.Errorf(api.CodeNoSuchMachine, "vmm ps", "there is no machine named alpha")
		if got := h.run(command, "alpha"); got != exitFailed {
			t.Errorf("%s: got exit code %d; want 1", command, got)
		}
		if got, want := h.stderr.String(), "vmm: there is no machine named alpha\ntry: vmm ps\n"; got != want {
			t.Errorf("%s: got %q; want %q", command, got, want)
		}
	}
}

func TestVersion(t *testing.T) {
	h := newHarness(t)
	if got := h.run("version", "--json"); got != exitOK || h.objects()[0]["version"] == "" {
		t.Errorf("got exit code %d and %s; want a version", got, h.stdout)
	}
}

func TestLogs(t *testing.T) {
	h := newHarness(t)
	if got := h.run("logs", "alpha"); got != exitFailed || !strings.Contains(h.stderr.String(), "try: vmm ps") {
		t.Errorf("got exit code %d and %q; want 1 and a remedy", got, h.stderr)
	}
	if err := os.WriteFile(filepath.Join(h.state, "alpha.log"), []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"logs", "alpha"}, {"logs", "alpha", "-f"}} { // nothing runs: nothing to follow
		h.stdout = &buffer{}
		h.app.stdout = h.stdout
		if got := h.run(args...); got != exitOK || h.stdout.String() != "one\n" {
			t.Errorf("%v: got exit code %d and %q; want 0 and the log", args, got, h.stdout)
		}
	}
}

func TestLogsFollow(t *testing.T) {
	h := newHarness(t)
	log, err := os.Create(filepath.Join(h.state, "alpha.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	socket := filepath.Join(h.state, "alpha.sock")
	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if _, err := log.WriteString(text); err != nil {
			t.Error(err)
		}
	}
	ended := make(chan int)
	write("one\n")
	go func() { ended <- h.run("logs", "alpha", "--follow") }()
	h.stdout.wait(t, "one\n")
	write("two\n")
	h.stdout.wait(t, "two\n")
	write("three\n")
	if err := os.Remove(socket); err != nil {
		t.Fatal(err)
	}
	if got := <-ended; got != exitOK {
		t.Errorf("got exit code %d; want 0", got)
	}
	if got, want := h.stdout.String(), "one\ntwo\nthree\n"; got != want {
		t.Errorf("got %q; want %q", got, want)
	}

	if err := os.WriteFile(socket, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.stdout = &buffer{}
	h.app.stdout = h.stdout
	go func() { ended <- h.run("logs", "alpha", "--follow") }()
	h.stdout.wait(t, "three\n")
	h.sent <- os.Interrupt
	if got := <-ended; got != exitOK {
		t.Errorf("interrupted: got exit code %d; want 0", got)
	}
}

func TestCompletion(t *testing.T) {
	h := newHarness(t)
	h.machines = []api.Machine{{Name: "alpha"}, {Name: "beta"}}
	h.run("__complete", "migrate", "")
	if got := h.stdout.String(); !strings.HasPrefix(got, "alpha\nbeta\n") {
		t.Errorf("got %q; want the machines' names", got)
	}
}
