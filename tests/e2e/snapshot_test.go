package e2e

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// restored starts a guest from a snapshot on a site and waits until it beats.
func restored(t *testing.T, ctx context.Context, s *drive.Site, dir string, args ...string) (*lab.Observer, *drive.Process) {
	t.Helper()
	o := lab.NewObserver(drive.Period)
	p, err := s.Start(o, "restored", append([]string{"restore", dir}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	if err := o.WaitBeats(ctx, "restored", 1, 40); err != nil {
		t.Fatalf("%v\nstderr: %s", err, p.Stderr())
	}
	return o, p
}

// ends stops a guest and wants that it counted nothing wrong.
func ends(t *testing.T, ctx context.Context, s *drive.Site, name string, o *lab.Observer, p *drive.Process) {
	t.Helper()
	before := o.Stat().Verified
	stat, err := o.WaitStat(ctx, func(s lab.Stat) bool { return s.Verified >= before+16<<20/4096 })
	if err != nil || stat.Corrupt+stat.Doubled+stat.Lost != 0 {
		t.Errorf("got %+v, %v; want all verified and nothing wrong", stat, err)
	}
	exec(t, ctx, s, 0, "stop", name)
	if code, err := p.Wait(ctx); err != nil || code != 0 {
		t.Errorf("got exit %d, %v; want 0\n%s", code, err, p.Stderr())
	}
}

func TestSnapshotAndRestore(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{CPUs: 2, Cmdline: "fill=16 wss=8 rate=4 countreg=1"})
	dir := filepath.Join(t.TempDir(), "snap")
	var m drive.Move
	d, err := w.Sites[0].Object(ctx, &m, "snapshot", "alpha", dir)
	if err != nil || d.Code != 0 || m.Outcome != "completed" {
		t.Fatalf("got %+v, %v; want it completed\n%s", m, err, d)
	}
	stays(t, ctx, trip)
	if left, err := filepath.Glob(filepath.Join(filepath.Dir(dir), ".*")); err != nil || len(left) != 0 {
		t.Errorf("got %q beside the snapshot; want nothing", left)
	}
	if size := diskSize(t, dir); size > m.ResidentBytes*3/2 {
		t.Errorf("got %d KiB on disk for %d KiB of data; want it sparse", size>>10, m.ResidentBytes>>10)
	}

	// A copy, beside the guest that goes on, takes another name. It can be made
	// again and again.
	o, p := restored(t, ctx, w.Sites[0], dir)
	list, err := w.Sites[0].PS(ctx)
	if err != nil || len(list) != 2 || list[0].Name != "alpha" || list[1].Name != "alpha-2" {
		t.Errorf("got %+v, %v; want alpha and alpha-2", list, err)
	}
	ends(t, ctx, w.Sites[0], "alpha-2", o, p)
	o, p = restored(t, ctx, w.Sites[1], dir, "--name", "gamma")
	ends(t, ctx, w.Sites[1], "gamma", o, p)

	// A folder that is there already is not touched.
	d = exec(t, ctx, w.Sites[0], 1, "snapshot", "alpha", dir, "--json")
	failure(t, d)
	if err := trip.Check(ctx); err != nil {
		t.Error(err)
	}
	stop(t, ctx, trip)
}

// diskSize is what the files of a folder occupy.
func diskSize(t *testing.T, dir string) uint64 {
	t.Helper()
	var total uint64
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		st, err := f.Info()
		if err != nil {
			t.Fatal(err)
		}
		total += blocks(st)
	}
	return total
}

func TestRestoredGuestMoves(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{CPUs: 2, Cmdline: busy})
	dir := filepath.Join(t.TempDir(), "snap")
	exec(t, ctx, w.Sites[0], 0, "snapshot", "alpha", dir)
	stop(t, ctx, trip)
	o, source := restored(t, ctx, w.Sites[0], dir)
	target, err := w.Sites[1].Receive(o, "target")
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening)
	if err != nil || m.Outcome != "completed" {
		t.Fatalf("got %+v, %v; want it completed", m, err)
	}
	if code, err := source.Wait(ctx); err != nil || code != 0 {
		t.Errorf("got exit %d, %v; want 0", code, err)
	}
	ends(t, ctx, w.Sites[1], "alpha", o, target)
}

func TestRestoreRefuses(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	w := newWorld(t, 1)
	trip := boot(t, ctx, w, drive.Guest{})
	dir := filepath.Join(t.TempDir(), "snap")
	exec(t, ctx, w.Sites[0], 0, "snapshot", "alpha", dir)
	stop(t, ctx, trip)
	name, good := largest(t, dir)

	change := func(at int, to func(byte) byte) func([]byte) []byte {
		return func(b []byte) []byte {
			b[at] = to(b[at])
			return b
		}
	}
	flip := func(b byte) byte { return b ^ 0x40 }
	for _, tt := range []struct {
		name string
		edit func([]byte) []byte
	}{
		{"empty", func([]byte) []byte { return nil }},
		{"cut in the header", func(b []byte) []byte { return b[:20] }},
		{"cut in the middle", func(b []byte) []byte { return b[:len(b)/2] }},
		{"without its last byte", func(b []byte) []byte { return b[:len(b)-1] }},
		{"longer", func(b []byte) []byte { return append(b, 0) }},
		{"another version", change(8, func(byte) byte { return 99 })},
		{"something else", func(b []byte) []byte { return append([]byte("#!/bin/sh\n"), b...) }},
		{"altered near the start", change(200, flip)},
		{"altered in the middle", change(len(good)/2, flip)},
		{"altered near the end", change(len(good)-6, flip)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bad := t.TempDir()
			if err := os.WriteFile(filepath.Join(bad, name), tt.edit(append([]byte{}, good...)), 0o600); err != nil {
				t.Fatal(err)
			}
			d := exec(t, ctx, w.Sites[0], 1, "restore", bad, "--json")
			t.Log(failure(t, d))
		})
	}
	for _, missing := range []string{t.TempDir(), filepath.Join(dir, "nothing")} {
		failure(t, exec(t, ctx, w.Sites[0], 1, "restore", missing, "--json"))
	}
	// And the one that nobody touched is good.
	o, p := restored(t, ctx, w.Sites[0], dir)
	ends(t, ctx, w.Sites[0], "alpha", o, p)
}

// largest returns the name and the bytes of the largest file of a folder.
func largest(t *testing.T, dir string) (string, []byte) {
	t.Helper()
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var name string
	var text []byte
	for _, f := range files {
		b, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > len(text) {
			name, text = f.Name(), b
		}
	}
	if len(text) < 1<<20 {
		t.Fatalf("got a largest file %q of %d bytes; want the guest's memory", name, len(text))
	}
	return name, text
}

func TestSnapshotFails(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	trip := boot(t, ctx, w, drive.Guest{})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"/nonexistent/snap", file, "/dev/full", filepath.Join(file, "snap")} {
		t.Log(failure(t, exec(t, ctx, w.Sites[0], 1, "snapshot", "alpha", dir, "--json")))
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "mine" {
		t.Errorf("got %q, %v; want the file untouched", text, err)
	}
	stays(t, ctx, trip)
	stop(t, ctx, trip)
}
