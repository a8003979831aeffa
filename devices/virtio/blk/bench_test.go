package blk_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio/blk"
)

// TestNoAllocation serves many requests of each kind.
func TestNoAllocation(t *testing.T) {
	onEngines(t, func(t *testing.T, open blk.Opener) {
		for name, shift := range map[string]uint32{"direct": 0, "bounced": 8} {
			c, _ := config(t, 4*mib)
			c.Engine, c.Alignment = open, 512
			p := newPoller(t, c)
			kind := uint32(0)
			work := func(n int) {
				for range n {
					kind ^= 1 // IN, OUT
					p.work(16, 8, kind, 4096, shift, func() uint64 { return 8 })
				}
			}
			work(20) // until all has the size that it needs
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			work(60)
			runtime.ReadMemStats(&after)
			if got := after.Mallocs - before.Mallocs; got > 60*16/10 { // the runtime has some of its own
				t.Errorf("%s: got %d allocations for %d requests; want next to none", name, got, 60*16)
			}
		}
	})
}

// BenchmarkRandomRead reads 4 KiB here and there, as a guest that polls, and as
// a loop of system calls for comparison.
func BenchmarkRandomRead(b *testing.B) { benchmark(b, "pread", tIn, unix.Pread) }

// BenchmarkRandomWrite is the same with writes.
func BenchmarkRandomWrite(b *testing.B) { benchmark(b, "pwrite", tOut, unix.Pwrite) }

func benchmark(b *testing.B, name string, kind uint32, call func(fd int, p []byte, offset int64) (int, error)) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + 4)) // as a machine does: a thread back from the kernel must not wait
	path, size := benchImage(b)
	for _, mode := range []struct {
		name  string
		flags int
	}{{"cached", 0}, {"direct", unix.O_DIRECT}} {
		sector := func() uint64 { return rand.Uint64N(size/4096) * 8 }
		b.Run(mode.name+"/"+name, func(b *testing.B) {
			f := openFile(b, path, os.O_RDWR|mode.flags)
			defer f.Close()
			buf, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				if _, err := call(int(f.Fd()), buf, int64(sector()*512)); err != nil {
					b.Fatal(err)
				}
			}
		})
		for _, engine := range []string{"uring", "threads"} {
			for _, depth := range []int{1, 32} {
				b.Run(fmt.Sprintf("%s/%s/depth-%d", mode.name, engine, depth), func(b *testing.B) {
					c := blk.Config{Name: "root", File: openFile(b, path, os.O_RDWR|mode.flags), Size: size, BlockSize: 512, Queues: 1, Engine: engines[engine]}
					if mode.flags != 0 {
						c.Alignment = 4096
					}
					p := newPoller(b, c)
					p.work(1000, depth, kind, 4096, 0, sector)
					b.ResetTimer()
					p.work(b.N, depth, kind, 4096, 0, sector)
				})
			}
		}
	}
}

// benchImage is one for all benchmarks, with data in it, in the page cache.
func benchImage(b *testing.B) (path string, size uint64) {
	const n = 256 << 20
	path = b.TempDir() + "/disk.img"
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	r := rand.NewChaCha8([32]byte{})
	buf := make([]byte, 1<<20)
	for range n / len(buf) {
		_, _ = r.Read(buf)
		if _, err := f.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Sync(); err != nil {
		b.Fatal(err)
	}
	return path, n
}
