package supervisor

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// newHooks makes a folder with these hooks, each a shell script.
func newHooks(t *testing.T, scripts map[string]string) *netHooks {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return &netHooks{dir: dir, within: 10 * time.Second, log: slog.New(slog.DiscardHandler)}
}

// TestNetHookReads shows what a hook is told, and in which order hooks run.
func TestNetHookReads(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	h := newHooks(t, map[string]string{
		"20-second": "echo second >>" + out, "10-first": "cat >>" + out, "30-off": "echo off >>" + out, ".hidden": "echo hidden >>" + out,
	})
	if err := os.Chmod(filepath.Join(h.dir, "30-off"), 0o600); err != nil {
		t.Fatal(err)
	}
	a := &attachments{networks: networks{hooks: h, move: "m1"}}
	a.told = append(a.told, describeNet(vmm.Net{
		NIC:        netmig.NIC{ID: "eth", MAC: netmig.MAC{2, 0, 0, 0, 0, 1}, MTU: 1500, Queues: 2},
		Attachment: netmig.Attachment{Bridge: "br0", VLAN: 7}, Link: "ferry0",
	}))
	if err := a.network().reserve("web"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	told, rest, _ := strings.Cut(string(got), "\n")
	var call map[string]any
	if err := json.Unmarshal([]byte(told), &call); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"version": 1.0, "event": "reserve", "guest": "web", "move_id": "m1",
		"networks": []any{map[string]any{
			"id": "eth", "mac": "02:00:00:00:00:01", "ips": []any{}, "mtu": 1500.0, "queues": 2.0, "link": "ferry0", "bridge": "br0", "vlan": 7.0,
		}},
	}
	if diff := cmp.Diff(want, call); diff != "" {
		t.Errorf("what the first was told (-want +got):\n%s", diff)
	}
	if rest != "second\n" {
		t.Errorf("behind it: got %q; want the second alone", rest)
	}
}

// TestNetHookEvents wants a host to hear of a guest's coming and going once each.
func TestNetHookEvents(t *testing.T) {
	for _, tt := range []struct {
		name string
		life func(*networks)
		want string
	}{
		{"runs and ends", func(n *networks) { n.activate("web", slog.New(slog.DiscardHandler)) }, "reserve activate release "},
		{"does not come", func(*networks) {}, "reserve fail "},
		{"is handed over", func(n *networks) { n.activate("web", slog.New(slog.DiscardHandler)); n.telling.Wait(); n.leave() }, "reserve activate "},
	} {
		out := filepath.Join(t.TempDir(), "out")
		h := newHooks(t, map[string]string{"log": `sed 's/.*"event":"\([a-z]*\)".*/\1 /' | tr -d '\n' >>` + out})
		n := &networks{hooks: h, told: []hookNetwork{{ID: "eth"}}}
		if err := n.reserve("web"); err != nil {
			t.Fatal(err)
		}
		tt.life(n)
		for range 2 { // it may be called again
			n.close()
		}
		if got, err := os.ReadFile(out); err != nil || string(got) != tt.want {
			t.Errorf("%s: got %q, %v; want %q", tt.name, got, err, tt.want)
		}
	}
}

// TestNetHookFails wants a guest refused, with what the hook said, and the hook's
// children ended with it.
func TestNetHookFails(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		want         string // in the message
	}{
		{"fails", "echo no room for it >&2; exit 3", "no room for it"},
		{"says much", "head -c 100000 /dev/zero | tr '\\0' x >&2; exit 1", "xxx"},
		{"hangs", "sleep 60 & sleep 60", "ended after"},
	} {
		h := newHooks(t, map[string]string{"10-bad": tt.script, "20-never": "touch " + filepath.Join(t.TempDir(), "ran")})
		if tt.name == "hangs" {
			h.within = 300 * time.Millisecond
		}
		n := &networks{hooks: h, told: []hookNetwork{{ID: "eth"}}}
		began := time.Now()
		err := n.reserve("web")
		e, ok := errors.AsType[*api.Error](err)
		if !ok || e.Code != netmig.CodeHook || e.Remedy == "" || !strings.Contains(e.Message, tt.want) || !strings.Contains(e.Message, "10-bad") || len(e.Message) > 600 {
			t.Errorf("%s: got %v; want %s that names the hook, and %q", tt.name, err, netmig.CodeHook, tt.want)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s: got an answer after %v; want it in time", tt.name, took)
		}
	}
}

// TestNetHookOfOthers wants nothing run that others may have written.
func TestNetHookOfOthers(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	for _, spoil := range []func(dir string) error{
		func(dir string) error { return os.Chmod(filepath.Join(dir, "hook"), 0o777) },
		func(dir string) error { return os.Chmod(dir, 0o777) },
	} {
		h := newHooks(t, map[string]string{"hook": "touch " + ran})
		if err := spoil(h.dir); err != nil {
			t.Fatal(err)
		}
		n := &networks{hooks: h, told: []hookNetwork{{ID: "eth"}}}
		if e, ok := errors.AsType[*api.Error](n.reserve("web")); !ok || e.Code != netmig.CodeHook {
			t.Errorf("got %v; want %s", e, netmig.CodeHook)
		}
		if _, err := os.Stat(ran); err == nil {
			t.Error("a hook that others may write: got it run; want it refused")
		}
	}
}

// TestNoNetHooks wants neither a folder nor hooks to be needed, and a guest without
// networks to concern none.
func TestNoNetHooks(t *testing.T) {
	bad := newHooks(t, map[string]string{"hook": "exit 1"})
	for name, n := range map[string]*networks{
		"no place":     {hooks: &netHooks{}, told: []hookNetwork{{ID: "eth"}}},
		"no folder":    {hooks: &netHooks{dir: filepath.Join(t.TempDir(), "none")}, told: []hookNetwork{{ID: "eth"}}},
		"an empty one": {hooks: newHooks(t, nil), told: []hookNetwork{{ID: "eth"}}},
		"no networks":  {hooks: bad},
	} {
		if err := n.reserve("web"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
