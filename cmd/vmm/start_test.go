package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func TestStartConfigs(t *testing.T) {
	stdio := supervisor.Console{Kind: "stdio"}
	none := supervisor.Console{Kind: "none"}
	for line, want := range map[string]any{
		"run": supervisor.RunConfig{MemoryBytes: 256 << 20, CPUs: 1, Clock: "advance", CPU: "host", Tracking: vmm.TrackAuto, Console: stdio},
		"run --json": supervisor.RunConfig{
			MemoryBytes: 256 << 20, CPUs: 1, Clock: "advance", CPU: "host", Tracking: vmm.TrackAuto, Console: none,
		},
		"run --name beta --memory 5G --cpus 8 --kernel k --initrd i --cmdline= --clock freeze --console unix:/tmp/c": supervisor.RunConfig{
			Name: "beta", MemoryBytes: 5 << 30, CPUs: 8, Kernel: "k", Initrd: "i", CmdlineSet: true, Clock: "freeze", CPU: "host", Tracking: vmm.TrackAuto,
			Console: supervisor.Console{Kind: "unix", Path: "/tmp/c"},
		},
		"run --cmdline rate=32 --memory 16M --hugepages 2M --console none": supervisor.RunConfig{
			MemoryBytes: 16 << 20, HugePages: true, CPUs: 1, Cmdline: "rate=32", CmdlineSet: true, Clock: "advance", CPU: "host", Tracking: vmm.TrackAuto, Console: none,
		},
		"receive --listen tcp:127.0.0.1:0": supervisor.ReceiveConfig{Listen: "tcp:127.0.0.1:0", Tracking: vmm.TrackAuto, Console: stdio},
		"receive --listen tcp:0.0.0.0:44 --insecure --name b --console file:/tmp/f": supervisor.ReceiveConfig{
			Listen: "tcp:0.0.0.0:44", Name: "b", Insecure: true, Tracking: vmm.TrackAuto, Console: supervisor.Console{Kind: "file", Path: "/tmp/f"},
		},
		"receive --listen tcp:0.0.0.0:44 --tls /tls --allow a.example,192.0.2.7 --allow b": supervisor.ReceiveConfig{
			Listen: "tcp:0.0.0.0:44", TLS: "/tls", Allow: []string{"a.example", "192.0.2.7", "b"}, Tracking: vmm.TrackAuto, Console: stdio,
		},
		"restore /snap": supervisor.RestoreConfig{From: "/snap", Tracking: vmm.TrackAuto, Console: stdio},
		"restore /snap --name c --json --dirty-tracking ring": supervisor.RestoreConfig{From: "/snap", Name: "c", Tracking: vmm.TrackRing, Console: none},
	} {
		h := newHarness(t)
		if got := h.run(strings.Fields(line)...); got != exitOK {
			t.Errorf("%s: got exit code %d (%s); want 0", line, got, h.stderr)
		}
		ignored := cmpopts.IgnoreFields(want, "Dir", "Started")
		if _, ok := want.(supervisor.ReceiveConfig); ok {
			ignored = cmpopts.IgnoreFields(want, "Dir", "Started", "Listening")
		}
		if diff := cmp.Diff([]any{want}, h.calls, ignored); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
	}
}

func TestStartJSON(t *testing.T) {
	for line, want := range map[string]string{
		"run --json": `{"name":"alpha","pid":42,"socket":"/run/x/alpha.sock"}
{"exit":4,"reason":"triple fault"}
`,
		"receive --listen tcp:127.0.0.1:0 --json": `{"listening":"tcp:127.0.0.1:4444"}
{"name":"alpha","pid":42,"socket":"/run/x/alpha.sock"}
{"exit":4,"reason":"triple fault"}
`,
		"restore /snap --json": `{"name":"alpha","pid":42,"socket":"/run/x/alpha.sock"}
{"exit":4,"reason":"triple fault"}
`,
	} {
		h := newHarness(t)
		h.end = supervisor.Exit{Code: 4, Reason: "triple fault"}
		if got := h.run(strings.Fields(line)...); got != 4 {
			t.Errorf("%s: got exit code %d; want 4", line, got)
		}
		if diff := cmp.Diff(want, h.stdout.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
		if h.stderr.String() != "" {
			t.Errorf("%s: got %q on stderr; want nothing", line, h.stderr)
		}
	}
}

func TestStartForPeople(t *testing.T) {
	for line, want := range map[string][2]string{
		"run":                              {"", "vmm: moved to tcp:10.77.0.2:1\n"},
		"run --console none":               {"", "vmm: alpha runs (process 42)\nvmm: moved to tcp:10.77.0.2:1\n"},
		"receive --listen tcp:127.0.0.1:0": {"listening tcp:127.0.0.1:4444\n", "vmm: moved to tcp:10.77.0.2:1\n"},
	} {
		h := newHarness(t)
		h.end = supervisor.Exit{Reason: "moved to tcp:10.77.0.2:1"}
		if got := h.run(strings.Fields(line)...); got != exitOK {
			t.Errorf("%s: got exit code %d; want 0", line, got)
		}
		if diff := cmp.Diff(want, [2]string{h.stdout.String(), h.stderr.String()}); diff != "" {
			t.Errorf("%s: stdout and stderr (-want +got):\n%s", line, diff)
		}
	}
}

func TestStartFailures(t *testing.T) {
	for _, line := range []string{"run", "receive --listen tcp:127.0.0.1:0", "restore /snap", "run --detach"} {
		h := newHarness(t)
		h.failure = api.Errorf(api.CodeNameInUse, "choose another --name", "alpha is in use")
		if got := h.run(strings.Fields(line)...); got != exitFailed {
			t.Errorf("%s: got exit code %d; want 1", line, got)
		}
		if got, want := h.stderr.String(), "vmm: alpha is in use\ntry: choose another --name\n"; got != want {
			t.Errorf("%s: got %q on stderr; want %q", line, got, want)
		}
		if h.told == nil {
			t.Errorf("%s: a parent in Detach would wait for ever", line)
		}
		h = newHarness(t)
		h.failure = errTest
		if got := h.run(append(strings.Fields(line), "--json")...); got != exitFailed {
			t.Errorf("%s: got exit code %d; want 1", line, got)
		}
		if got, want := h.stdout.String(), `{"error":{"code":"internal","message":"it broke"}}`+"\n"; got != want {
			t.Errorf("%s: got %q on stdout; want %q", line, got, want)
		}
	}
}

func TestDetach(t *testing.T) {
	for _, test := range []struct {
		line   string
		begun  api.Started
		args   []string
		people string
	}{
		{
			"run --detach --name=alpha --memory 1024M --cmdline=a\tb", api.Started{Name: "alpha", PID: 42, Socket: "s"},
			[]string{"run", "--console=none", "--name=alpha", "--memory=1G", "--cmdline=a\tb", "--"}, "alpha\n",
		},
		{
			"receive --listen tcp:127.0.0.1:0 --detach --console file:x",
			api.Started{Name: "receive-9", PID: 0, Socket: "s", Listening: "tcp:127.0.0.1:9"},
			[]string{"receive", "--console=file:x", "--listen=tcp:127.0.0.1:0", "--"}, "listening tcp:127.0.0.1:9\n",
		},
		{
			"restore --detach dir", api.Started{Name: "alpha", PID: 42, Socket: "s"},
			[]string{"restore", "--console=none", "--", "dir"}, "alpha\n",
		},
	} {
		args := strings.Split(test.line, " ")
		h := newHarness(t)
		h.begun = test.begun
		if got := h.run(args...); got != exitOK {
			t.Errorf("%s: got exit code %d (%s); want 0", test.line, got, h.stderr)
		}
		if diff := cmp.Diff([]any{test.args}, h.calls); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.line, diff)
		}
		if got := h.stdout.String(); got != test.people {
			t.Errorf("%s: got %q; want %q", test.line, got, test.people)
		}
		// What is passed on must be understood.
		again := newHarness(t)
		if got := again.run(test.args...); got != exitOK {
			t.Errorf("%q: got exit code %d (%s); want 0", test.args, got, again.stderr)
		}
		h = newHarness(t)
		h.begun = test.begun
		if got := h.run(append(args, "--json")...); got != exitOK {
			t.Errorf("%s: got exit code %d; want 0", test.line, got)
		}
		var got api.Started
		if err := json.Unmarshal([]byte(h.stdout.String()), &got); err != nil || got != test.begun {
			t.Errorf("%s: got %s, %v; want %v", test.line, h.stdout, err, test.begun)
		}
	}
}
