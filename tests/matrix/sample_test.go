package main

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/tests/drive"
)

// vmm is the command under test.
var vmm string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "ferry-matrix-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if vmm, err = drive.Build(context.Background(), dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// need skips the test where the host has no such device, and in CI fails it.
func need(t *testing.T, device string) {
	t.Helper()
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	switch {
	case err == nil:
		f.Close()
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// needRoot skips the test where no host can be made, and in CI fails it.
func needRoot(t *testing.T) {
	t.Helper()
	l, err := lab.New(1)
	switch {
	case err == nil:
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
}

// TestSample runs cells whose place every move comes to: one of each end, and those
// that have found something.
func TestSample(t *testing.T) {
	const before, after = false, true
	urgent := drive.Boundary{Role: migration.RoleUrgent, Type: drive.FramePages}
	for _, tc := range []struct {
		mode  string
		at    drive.Boundary
		fault string
	}{
		{"precopy", control(drive.FrameRoundAck, true, before), "target-machine"},
		{"stopcopy", control(drive.FrameCommit, false, before), "source-machine"},
		{"precopy", control(drive.FrameCommit, false, before), "target-both"},
		{"auto", control(drive.FrameCommit, false, before), "half-open"},
		{"auto", control(drive.FramePrepared, true, before), "silence"},
		{"stopcopy", control(drive.FrameRunning, true, before), "target-machine"},
		{"stopcopy", control(drive.FrameRunning, true, after), "target-supervisor"},
		{"stopcopy", control(drive.FrameRelease, false, before), "source-supervisor"},
		{"postcopy", urgent, "half-open"},
		{"postcopy", control(drive.FrameRunning, true, before), "source-both"},
		{"postcopy", control(drive.FrameRunning, true, after), "source-machine"},
		{"postcopy", control(drive.FramePulled, true, before), "target-machine"},
		{"hybrid", control(drive.FrameRunning, true, after), "reset"},
		{"remote", control(drive.FrameRunning, true, after), "silence"},
		{"network", control(drive.FrameCommit, false, before), "half-open"},
		{"network", control(drive.FrameDrained, false, before), "reset"},
		{"network", control(drive.FrameDelivered, true, before), "source-both"},
		{"network-pull", control(drive.FrameDelivered, true, before), "silence"},
	} {
		c := cell{mode: named(modes, tc.mode), place: place{Boundary: tc.at}, fault: named(faults, tc.fault)}
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			need(t, "/dev/kvm")
			if c.mode.net {
				needRoot(t)
			}
			if c.mode.pulls {
				need(t, "/dev/userfaultfd")
			}
			if v := run(t.Context(), vmm, c); v.err != nil {
				t.Errorf("phase %v: %v\n%s", v.phase, v.err, v.logs)
			}
		})
	}
}

// named picks by name.
func named[T fmt.Stringer](all []T, name string) T {
	for _, one := range all {
		if one.String() == name {
			return one
		}
	}
	panic(name)
}

// TestExpected: there is an expectation for each fault in each phase that a mode can
// come to, and no other.
func TestExpected(t *testing.T) {
	for _, m := range modes {
		for p := pushing; p <= over; p++ {
			may := m.pulls || p != pulling && p != tail && p != pulled
			for _, f := range faults {
				want := expected(m, p, f)
				if got := len(want) > 0; got != may {
					t.Errorf("%v, %v, %v: got an expectation %v; want %v", m, p, f, got, may)
				}
				for _, e := range want {
					if len(codes(m, p, f, e)) == 0 {
						t.Errorf("%v, %v, %v, %v: got no exit code; want one", m, p, f, e)
					}
				}
			}
		}
	}
}
