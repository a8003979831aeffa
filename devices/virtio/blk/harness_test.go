package blk_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/blk"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
	"github.com/ferryvmm/ferry/internal/uring"
)

// Types and answers of requests, VIRTIO 1.2 section 5.2.6.
const (
	tIn, tOut, tFlush, tGetID, tDiscard, tWriteZeroes = 0, 1, 4, 8, 11, 13

	ok, ioError, unsupported = 0, 1, 2
)

const mib = 1 << 20

// engines are those that every test of requests runs on.
var engines = map[string]blk.Opener{"uring": blk.Ring, "threads": blk.Threads}

// onEngines runs a test with each engine.
func onEngines(t *testing.T, test func(t *testing.T, open blk.Opener)) {
	for name, open := range engines {
		t.Run(name, func(t *testing.T) {
			if r, err := uring.New(1); name == "uring" && errors.Is(err, uring.ErrUnavailable) && os.Getenv("CI") != "true" {
				t.Skip(err)
			} else if err == nil {
				_ = r.Close()
			}
			test(t, open)
		})
	}
}

// config is that of a disk of some size in a new file of pseudo-random bytes,
// which are returned too.
func config(t testing.TB, size int) (blk.Config, []byte) {
	t.Helper()
	content := make([]byte, size)
	r := rand.NewChaCha8([32]byte{1})
	_, _ = r.Read(content)
	path := filepath.Join(t.TempDir(), "disk.img")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return blk.Config{Name: "root", File: openFile(t, path, os.O_RDWR), Size: uint64(size), BlockSize: 512, Queues: 1}, content
}

func openFile(t testing.TB, path string, flags int) *os.File {
	t.Helper()
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), path)
}

// disk is a guest's driver of a disk.
type disk struct {
	*virtiotest.Driver
	t   testing.TB
	dev *blk.Device
	mem *virtiotest.Memory
	q   *virtiotest.Queue
}

func newDisk(t testing.TB, c blk.Config, o virtiotest.Options) *disk {
	t.Helper()
	dev, err := blk.New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	mem := virtiotest.NewMemory(t, 4*mib)
	d := virtiotest.Run(t, dev, mem, o)
	return &disk{Driver: d, t: t, dev: dev, mem: mem, q: d.Queue(0)}
}

// move moves the disk to a device that sees the same image.
func (d *disk) move(c blk.Config) {
	d.t.Helper()
	d.Move(func() virtio.Device {
		s := d.dev.Save()
		dev, err := blk.New(c, &s)
		if err != nil {
			d.t.Fatal(err)
		}
		d.dev = dev
		return dev
	})
}

func header(kind uint32, sector uint64) []byte {
	h := make([]byte, 16)
	binary.LittleEndian.PutUint32(h, kind)
	binary.LittleEndian.PutUint64(h[8:], sector)
	return h
}

// status is the last byte of what a device wrote.
func (d *disk) status(written []byte) byte {
	d.t.Helper()
	if len(written) == 0 {
		d.t.Fatal("the device wrote no status")
	}
	return written[len(written)-1]
}

// do makes a request that has data to be read by the device, and returns its status.
func (d *disk) do(kind uint32, sector uint64, data ...[]byte) byte {
	d.t.Helper()
	return d.status(d.q.Do(append([][]byte{header(kind, sector)}, data...), 1))
}

// write writes and wants that to succeed.
func (d *disk) write(sector uint64, data []byte) {
	d.t.Helper()
	if got := d.do(tOut, sector, data); got != ok {
		d.t.Fatalf("write at sector %d: got status %d; want ok", sector, got)
	}
}

// read reads into buffers of some sizes, and wants that to succeed.
func (d *disk) read(sector uint64, sizes ...int) []byte {
	d.t.Helper()
	got := d.q.Do([][]byte{header(tIn, sector)}, append(sizes, 1)...)
	if s := d.status(got); s != ok {
		d.t.Fatalf("read at sector %d: got status %d; want ok", sector, s)
	}
	return got[:len(got)-1]
}

// ranges describes ranges of a DISCARD or WRITE_ZEROES: sector, count, flags each.
func ranges(words ...uint64) []byte {
	var b []byte
	for i := 0; i < len(words); i += 3 {
		b = binary.LittleEndian.AppendUint64(b, words[i])
		b = binary.LittleEndian.AppendUint32(b, uint32(words[i+1]))
		b = binary.LittleEndian.AppendUint32(b, uint32(words[i+2]))
	}
	return b
}

// want compares without printing megabytes.
func want(t testing.TB, what string, want, got []byte) {
	t.Helper()
	if bytes.Equal(want, got) {
		return
	}
	n := 0
	for n < len(want) && n < len(got) && want[n] == got[n] {
		n++
	}
	t.Errorf("%s: got %d bytes, want %d, different from byte %d on: got %x; want %x", what, len(got), len(want), n, got[n:min(n+16, len(got))], want[n:min(n+16, len(want))])
}
