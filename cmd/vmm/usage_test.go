package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// wrong is every way to get the command line wrong that has a rule of its own.
var wrong = []string{
	"",
	"frobnicate",
	"--frobnicate",
	"run extra",
	"run --frobnicate",
	"run --name",
	"run --name=a/b",
	"run --name=",
	"run --memory 256",
	"run --memory 256K",
	"run --memory -1M",
	"run --memory M",
	"run --memory 15M",
	"run --memory 99999999999G",
	"run --memory 1.5G",
	"run --cpus 0",
	"run --cpus 256",
	"run --cpus two",
	"run --kernel=",
	"run --initrd i",
	"run --clock stop",
	"run --hugepages 1G",
	"run --dirty-tracking log",
	"run --console tty",
	"run --console unix:",
	"run --console file:",
	"run --console none:x",
	"run --detach --console stdio",
	"run --console stdio --json",
	"run --detach=maybe",
	"receive",
	"receive extra --listen tcp:127.0.0.1:1",
	"receive --listen",
	"receive --listen 127.0.0.1:1",
	"receive --listen unix:",
	"receive --listen tcp:127.0.0.1",
	"receive --listen tcp:127.0.0.1:65536",
	"receive --listen tcp::1",
	"receive --listen tcp:0.0.0.0:1",
	"receive --listen tcp:10.77.0.1:1",
	"receive --listen tcp:127.0.0.1:1 --name ..",
	"receive --listen tcp:127.0.0.1:1 --console stdio --json",
	"receive --listen tcp:127.0.0.1:1 --detach --console stdio",
	"receive --listen tcp:127.0.0.1:1 --tls=",
	"receive --listen tcp:127.0.0.1:1 --tls x --insecure",
	"receive --listen unix:/tmp/x --tls x",
	"receive --listen tcp:127.0.0.1:1 --allow a",
	"receive --listen tcp:127.0.0.1:1 --tls x --allow a,",
	"receive --listen tcp:127.0.0.1:1 --tls x --allow=*.example",
	"run --tls x",
	"restore",
	"restore dir extra",
	"restore dir --name .",
	"restore dir --console x",
	"restore dir --json --console stdio",
	"migrate",
	"migrate alpha",
	"migrate alpha tcp:127.0.0.1:1 extra",
	"migrate a/b tcp:127.0.0.1:1",
	"migrate alpha 127.0.0.1:1",
	"migrate alpha unix:",
	"migrate alpha unix:/tmp/x --mode remote",
	"migrate alpha unix:/" + strings.Repeat("x", 107),
	"migrate alpha tcp:127.0.0.1:0",
	"migrate alpha tcp::1 --insecure",
	"migrate alpha tcp:10.77.0.2:1",
	"migrate alpha tcp:host.test:1",
	"migrate alpha tcp:host.test:1 --tls x --insecure",
	"migrate alpha unix:/tmp/x --tls x",
	"migrate alpha --cancel --tls x",
	"certs",
	"certs dir",
	"certs dir extra --host a",
	"certs dir --host a/b",
	"certs dir --host a --valid 1s",
	"migrate alpha tcp:127.0.0.1:1 --mode lazycopy",
	"migrate alpha tcp:127.0.0.1:1 --downtime-limit 50",
	"migrate alpha tcp:127.0.0.1:1 --downtime-limit 0",
	"migrate alpha tcp:127.0.0.1:1 --downtime-limit -5ms",
	"migrate alpha tcp:127.0.0.1:1 --timeout -5s",
	"migrate alpha tcp:127.0.0.1:1 --timeout soon",
	"migrate --cancel",
	"migrate --continue",
	"migrate alpha tcp:127.0.0.1:1 --continue",
	"migrate alpha --continue --cancel",
	"migrate alpha --cancel --report /tmp/x",
	"migrate alpha --cancel --bandwidth 1G",
	"migrate alpha tcp:127.0.0.1:1 --bandwidth 0",
	"migrate alpha tcp:127.0.0.1:1 --bandwidth 99k",
	"migrate alpha tcp:127.0.0.1:1 --bandwidth 10m",
	"migrate alpha tcp:127.0.0.1:1 --bandwidth -1G",
	"migrate alpha tcp:127.0.0.1:1 --bandwidth NaN",
	"migrate alpha tcp:127.0.0.1:1 --bandwidth Inf",
	"migrate alpha tcp:127.0.0.1:1 --bandwidth G",
	"migrate alpha --continue --pause-before-switchover",
	"migrate alpha tcp:127.0.0.1:1 --cancel",
	"migrate alpha --cancel --mode precopy",
	"migrate alpha --resolve",
	"migrate alpha --resolve nobody",
	"migrate --resolve source",
	"migrate alpha tcp:127.0.0.1:1 --resolve source",
	"migrate alpha --resolve source --cancel",
	"migrate alpha --resolve target --mode precopy",
	"migrate alpha --cancel --timeout 1s",
	"migrate alpha --cancel --insecure",
	"migrate alpha --cancel --downtime-limit 1s",
	"snapshot",
	"snapshot alpha",
	"snapshot alpha dir extra",
	"snapshot a/b dir",
	"ps alpha",
	"info",
	"info alpha beta",
	"info ../alpha",
	"dirty-rate",
	"dirty-rate alpha beta",
	"dirty-rate ../alpha",
	"dirty-rate alpha --duration 1",
	"dirty-rate alpha --duration 0s",
	"migrate alpha tcp:127.0.0.1:1 --compress gzip",
	"migrate alpha --cancel --compress s2",
	"migrate alpha tcp:127.0.0.1:1 --throttle 100",
	"migrate alpha tcp:127.0.0.1:1 --throttle -1",
	"migrate alpha tcp:127.0.0.1:1 --throttle 50 --mode hybrid",
	"migrate alpha tcp:127.0.0.1:1 --throttle some",
	"migrate alpha tcp:127.0.0.1:1 --channels 0",
	"migrate alpha tcp:127.0.0.1:1 --channels 17",
	"migrate alpha tcp:127.0.0.1:1 --channels all",
	"balloon",
	"balloon alpha",
	"balloon alpha 128M extra",
	"balloon ../alpha 128M",
	"balloon alpha 128",
	"balloon alpha 15M",
	"man",
	"man a b",
	"inspect alpha",
	"inspect --cpus 0",
	"inspect --detach",
	"events",
	"events alpha beta",
	"top alpha",
	"top --interval 1",
	"top --interval 1ms",
	"top --count -1",
	"balloon alpha little",
	"pause",
	"pause ../alpha",
	"resume",
	"resume ../alpha",
	"stop",
	"stop ../alpha",
	"kill",
	"kill alpha beta",
	"kill ../alpha",
	"console",
	"console ../alpha",
	"console alpha --json",
	"logs",
	"logs ../alpha",
	"logs alpha --json",
	"demo extra",
	"demo --memory 1",
	"demo --rate -1",
	"demo --rate fast",
	"demo --moves 0",
	"cpu --frobnicate",
	"version extra",
}

// unbuilt are the contract's flags that later issues build.
var unbuilt = []string{
	"allow-tsc-mismatch",
}

func TestUsageErrors(t *testing.T) {
	lines := slices.Clone(wrong)
	for _, flag := range unbuilt {
		lines = append(lines,
			"run --"+flag+" x",
			"receive --listen tcp:127.0.0.1:1 --"+flag+" x",
			"migrate alpha tcp:127.0.0.1:1 --"+flag+" x",
		)
	}
	for _, line := range lines {
		t.Run(line, func(t *testing.T) {
			h := newHarness(t)
			if got := h.run(strings.Fields(line)...); got != exitUsage {
				t.Errorf("got exit code %d; want %d", got, exitUsage)
			}
			if got := h.stdout.String(); !strings.Contains(line, "--json") && got != "" {
				t.Errorf("got %q on stdout; want nothing", got)
			}
			if got := h.stderr.String(); !strings.Contains(line, "--json") &&
				(!strings.HasPrefix(got, "vmm: ") || strings.Count(got, "\n") != 2 || !strings.Contains(got, "\ntry: ")) {
				t.Errorf("got %q on stderr; want a message and a remedy", got)
			}
			if h.calls != nil {
				t.Errorf("got the call %v; want none", h.calls)
			}
			if h.told == nil {
				t.Error("a parent in Detach would wait for ever")
			}
		})
		if strings.HasSuffix(line, "--listen") || strings.HasSuffix(line, "--name") {
			continue // --json would be the flag's value
		}
		if strings.Contains(line, "--json") || strings.HasPrefix(line, "console") || strings.HasPrefix(line, "logs") {
			continue
		}
		t.Run(line+" --json", func(t *testing.T) {
			h := newHarness(t)
			if got := h.run(append(strings.Fields(line), "--json")...); got != exitUsage {
				t.Errorf("got exit code %d; want %d", got, exitUsage)
			}
			objects := h.objects()
			if len(objects) != 1 || len(objects[0]) != 1 {
				t.Fatalf("got %v on stdout; want one error", objects)
			}
			failure, _ := objects[0]["error"].(map[string]any)
			if code := failure["code"]; code != api.CodeUsage && code != api.CodeInsecure {
				t.Errorf("got code %v; want usage or insecure", code)
			}
			if failure["message"] == "" || failure["remedy"] == "" {
				t.Errorf("got %v; want a message and a remedy", failure)
			}
		})
	}
}

// TestFlags holds the whole of what is offered: a new flag belongs in docs/cli.md and here.
func TestFlags(t *testing.T) {
	want := map[string][]string{
		"run":        {"file", "name", "memory", "hugepages", "cpus", "cpu", "kernel", "initrd", "cmdline", "clock", "dirty-tracking", "disk", "net", "balloon", "rng", "virtio-console", "vsock", "console", "user", "fence-hook", "shared-records", "unconfined", "detach", "json"},
		"inspect":    {"file", "name", "memory", "hugepages", "cpus", "cpu", "kernel", "initrd", "cmdline", "clock", "dirty-tracking", "disk", "net", "balloon", "rng", "virtio-console", "vsock", "console", "user", "fence-hook", "shared-records"},
		"receive":    {"listen", "name", "tls", "insecure", "allow", "dirty-tracking", "disk", "net", "console", "user", "fence-hook", "shared-records", "unconfined", "detach", "json"},
		"restore":    {"dirty-tracking", "disk", "net", "name", "console", "user", "fence-hook", "shared-records", "unconfined", "detach", "json"},
		"migrate":    {"mode", "downtime-limit", "timeout", "bandwidth", "channels", "throttle", "compress", "tls", "insecure", "pause-before-switchover", "report", "cancel", "continue", "pull", "resolve", "json"},
		"adopt":      {"detach", "json"},
		"snapshot":   {"json"},
		"demo":       {"memory", "rate", "moves", "mode", "json"},
		"ps":         {"json"},
		"info":       {"json"},
		"balloon":    {"json"},
		"dirty-rate": {"duration", "json"},
		"doctor":     {"peer", "tls", "insecure", "json"},
		"certs":      {"host", "valid", "json"},
		"events":     {"json"},
		"top":        {"interval", "count", "no-dirty-rate", "json"},
		"pause":      {"json"},
		"resume":     {"json"},
		"stop":       {"json"},
		"kill":       {"json"},
		"cpu":        {"json"},
		"version":    {"json"},
		"man":        nil,
		"console":    nil,
		"logs":       {"follow"},
	}
	got := map[string][]string{}
	for _, c := range newHarness(t).root().Commands() {
		var flags []string
		c.LocalFlags().VisitAll(func(f *pflag.Flag) { flags = append(flags, f.Name) })
		got[c.Name()] = flags
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("commands (-want +got):\n%s", diff)
	}
}

func TestHelp(t *testing.T) {
	commands := [][]string{{"--help"}}
	for _, c := range newHarness(t).root().Commands() {
		commands = append(commands, []string{c.Name(), "--help"})
	}
	for _, args := range commands {
		h := newHarness(t)
		if got := h.run(args...); got != exitOK {
			t.Errorf("%v: got exit code %d; want 0", args, got)
		}
		if h.stderr.String() != "" || h.stdout.String() == "" {
			t.Errorf("%v: got %q on stderr; want the help on stdout only", args, h.stderr)
		}
		for _, flag := range unbuilt {
			if strings.Contains(h.stdout.String(), "--"+flag+" ") {
				t.Errorf("%v: the help offers --%s, which is not built", args, flag)
			}
		}
	}
}

func TestEveryCommandHasHelp(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(c *cobra.Command) {
		if c.Short == "" {
			t.Errorf("%s: got no short help; want some", c.CommandPath())
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s: got no help; want some", c.CommandPath(), f.Name)
			}
		})
		for _, sub := range c.Commands() {
			walk(sub)
		}
	}
	walk(newHarness(t).root())
}
