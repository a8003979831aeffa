package qemu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guests/loadgen"
	"github.com/ferryvmm/ferry/internal/lab"
)

// hosts makes a lab, and skips where that or KVM cannot be had (in CI, fails).
func hosts(t *testing.T, n int) []*lab.Host {
	t.Helper()
	kvm, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	var l *lab.Lab
	if err == nil {
		kvm.Close()
		l, err = lab.New(n)
	}
	switch {
	case err == nil:
	case os.Getenv("CI") != "true" && (l == nil || errors.Is(err, lab.ErrNeedsRoot)):
		t.Skip(err)
	default:
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l.Hosts
}

// TestMove boots loadgen in QEMU and has QEMU move it: the comparison that
// Ferry is measured against, and a check of the observer on a VMM not ours.
func TestMove(t *testing.T) {
	b := Require(t)
	h := hosts(t, 2)
	ctx := t.Context()
	kernel := filepath.Join(t.TempDir(), "loadgen.elf")
	if err := os.WriteFile(kernel, loadgen.ELF(), 0o600); err != nil {
		t.Fatal(err)
	}
	o := lab.NewObserver(500 * time.Microsecond)
	start := func(name string, host *lab.Host, incoming bool) *Machine {
		t.Helper()
		m, err := Start(ctx, Config{
			Binary: b, Host: host, Kernel: kernel, Cmdline: "fill=16 rate=4", Memory: 128, CPUs: 1, Incoming: incoming,
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
		o.Watch(name, m.Serial)
		return m
	}
	source := start("source", h[0], false)
	if err := errors.Join(o.WaitReady(ctx), o.WaitBeats(ctx, "source", 1, 100)); err != nil {
		t.Fatal(err)
	}
	uri := fmt.Sprintf("tcp:%s:4444", h[1].Addr)
	target := start("target", h[1], true)
	how := MigrateOptions{DowntimeLimit: 5, MaxBandwidth: Unlimited}
	if err := target.Listen(ctx, uri, how); err != nil {
		t.Fatal(err)
	}
	begin := lab.Now()
	moved, err := source.Migrate(ctx, uri, how)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.WaitBeats(ctx, "target", 1, 100); err != nil {
		t.Fatal(err)
	}
	before := o.Stat().Verified
	stat, err := o.WaitStat(ctx, func(s lab.Stat) bool { return s.Verified >= before+16<<20/4096 })
	if err != nil || stat.Corrupt != 0 {
		t.Errorf("got %+v, %v; want all verified and nothing corrupt", stat, err)
	}
	r := o.ReportSince(begin)
	t.Logf("QEMU %s: observed %v, reported %d ms, total %d ms; %d beats, %d lost, %d extra",
		b.Version, r.Longest.Downtime, moved.DowntimeMS, moved.TotalMS, r.CPUs[0].Beats, r.Lost, r.Extra)
	if r.Longest.From == "" || r.CPUs[0].Beats < 101 {
		t.Errorf("got %+v; want heartbeats of both sides", r)
	}
}
