package e2e

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// TestImagePages has a guest read a disk that it only can read, and moves it there and back over a slow link: what it has in memory of
// the disk goes by reference to the image, which both hosts have. It is paused meanwhile, for otherwise it would read on and on.
func TestImagePages(t *testing.T) {
	const size = 4 << 20
	content := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(content)
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, cache := range []string{"none", "writeback"} {
		t.Run(cache, func(t *testing.T) {
			ctx := within(t, time.Minute)
			w := newWorld(t, 2)
			trip := boot(t, ctx, w, drive.Guest{
				Cmdline: "fill=4 blkload=seqread blksize=65536 blkdepth=64", // all of it at once, again and again
				Args:    []string{"--disk", "data=" + path + ",ro,cache=" + cache},
			})
			for range 2 {
				site := w.Sites[trip.At]
				until(t, ctx, "the guest has read each of its buffers full", func() bool {
					i, err := site.Info(ctx, "alpha")
					return err == nil && len(i.Devices) == 1 && i.Devices[0].Reads > 1000
				})
				exec(t, ctx, site, 0, "pause", "alpha")
				target, err := w.Sites[1-trip.At].Receive(trip.Observer, "")
				if err != nil {
					t.Fatal(err)
				}
				m, err := site.Migrate(ctx, "alpha", target.Listening, "--mode", "precopy", "--compress", "auto", "--bandwidth", "200M")
				if err != nil || m.Outcome != "completed" {
					t.Fatalf("got %+v, %v; want it completed", m, err)
				}
				pages := uint64(0)
				for _, c := range m.Compress.Codecs {
					if c.Codec == "image" {
						pages = c.Pages
					}
				}
				t.Logf("%d KiB of pages sent of %d KiB: %+v", m.PageBytes>>10, m.ResidentBytes>>10, m.Compress)
				if pages < size/4096*3/4 || m.PageBytes > m.ResidentBytes-size/2 {
					t.Errorf("got %d pages by reference to the image; want most of %d", pages, size/4096)
				}
				trip.Arrived(target)
				exec(t, ctx, w.Sites[trip.At], 0, "resume", "alpha")
			}
			stop(t, ctx, trip)
		})
	}
}
