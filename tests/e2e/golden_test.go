package e2e

import (
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// Each file in testdata is a snapshot by the first vmm of a format: loadgen in
// the middle of its work (vmm run --memory 16M --cpus 2 --cmdline "fill=1 wss=1
// rate=1 data=text heartbeat=10000 cpus=2 countreg=1"), that vmm having been
// given the baseline CPU that a later one has, so that hosts with another CPU
// can restore it too. A format that a vmm says it knows must restore and go on
// counting nothing wrong.
func TestGoldenSnapshots(t *testing.T) {
	files, err := filepath.Glob("testdata/format-*.ferry.gz")
	if err != nil || len(files) == 0 {
		t.Fatalf("got %q, %v; want a snapshot of each format", files, err)
	}
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			ctx := within(t, time.Minute)
			w := newWorld(t, 1)
			dir := unzip(t, f)
			o := lab.NewObserver(drive.Period)
			p, err := w.Sites[0].Start(o, "golden", "restore", dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := o.WaitBeats(ctx, "golden", 2, 5); err != nil {
				if p.Stream.Wait(ctx) == nil { // what it says to people comes after its output has ended
					_, _ = p.Wait(ctx)
				}
				if said := p.Stderr(); strings.Contains(said, "CPU cannot stand in") || strings.Contains(said, "MSR refused") {
					// This host's CPU is another vendor's or generation's; what can be
					// told without running the guest has been told.
					t.Skipf("the golden guest wants another CPU: %s", said)
				}
				t.Fatalf("%v\nstderr: %s", err, p.Stderr())
			}
			// 256 pages: all of them are checked twice over.
			stat, err := o.WaitStat(ctx, func(s lab.Stat) bool { return s.Verified >= 512 })
			if err != nil || stat.Corrupt+stat.Doubled+stat.Lost != 0 {
				t.Errorf("got %+v, %v; want all verified and nothing wrong", stat, err)
			}
			exec(t, ctx, w.Sites[0], 0, "stop", "golden")
			if code, err := p.Wait(ctx); err != nil || code != 0 {
				t.Errorf("got exit %d, %v; want 0\n%s", code, err, p.Stderr())
			}
		})
	}
}

// unzip makes a snapshot's folder of a golden file.
func unzip(t *testing.T, path string) string {
	t.Helper()
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "guest.ferry"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := io.Copy(out, z); err != nil {
		t.Fatal(err)
	}
	return dir
}
