package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/qemu"
)

// imageSize in bytes.
const imageSize = 256 << 20

// diskLoads are for one disk.
var diskLoads = []load{
	{name: "random read, 4 KiB, depth 1", words: "blkload=randread blksize=4096 blkdepth=1", field: "blk_iops", unit: "IOPS"},
	{name: "random read, 4 KiB, depth 32", words: "blkload=randread blksize=4096 blkdepth=32", field: "blk_iops", unit: "IOPS"},
	{name: "random write, 4 KiB, depth 32", words: "blkload=randwrite blksize=4096 blkdepth=32", field: "blk_iops", unit: "IOPS"},
	{name: "read, 128 KiB, depth 8", words: "blkload=seqread blksize=131072 blkdepth=8", field: "blk_mib_s", unit: "MiB/s"},
	{name: "write, 128 KiB, depth 8", words: "blkload=seqwrite blksize=131072 blkdepth=8", field: "blk_mib_s", unit: "MiB/s"},
}

// disk measures a guest's virtio-blk, on one image, past the host's page cache and through it.
func (b bench) disk(ctx context.Context, r *results) (err error) {
	l, err := lab.New(1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	dir, err := os.MkdirTemp("", "ferry-disk-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	image := filepath.Join(dir, "image")
	if err := writeImage(image, imageSize); err != nil {
		return err
	}
	for _, c := range []struct {
		cache string
		into  *[]comparison
	}{
		{"none", &r.DiskDirect},
		{"writeback", &r.DiskCached},
	} {
		d := devices{disk: &qemu.Disk{Path: image, Cache: c.cache, AIO: "io_uring"}} // as Ferry does it
		ways := []way{b.ferryWay(d)}
		if b.qemu.Path != "" {
			ways = append(ways, b.qemuWay("", d))
			d.fd = true
			ways = append(ways, b.qemuWay(", memfd", d))
		}
		settle := func() error { return settleImage(image, c.cache) }
		if *c.into, err = b.compare(ctx, l.Hosts[0], "virtio-blk, one queue, io_uring, cache="+c.cache, slices.Clone(diskLoads), ways, settle); err != nil {
			return err
		}
	}
	return nil
}

// settleImage leaves an image as each sample should find it: nothing of it to be written yet, for which the next
// sample would pay, and all of it read once, in the way in which the guest will: what storage has below may cache too.
func settleImage(path, cache string) error {
	flags := unix.O_RDWR | unix.O_CLOEXEC
	if cache == "none" {
		flags |= unix.O_DIRECT
	}
	fd, err := unix.Open(path, flags, 0)
	if err != nil {
		return fmt.Errorf("open the image: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Fsync(fd); err != nil {
		return fmt.Errorf("sync the image: %w", err)
	}
	buf, err := unix.Mmap(-1, 0, 1<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS) // aligned
	if err != nil {
		return err
	}
	defer func() { _ = unix.Munmap(buf) }()
	for {
		if n, err := unix.Read(fd, buf); n == 0 || err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// writeImage writes a file of size bytes that has no holes and does not compress.
func writeImage(path string, size int64) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	_, err = io.CopyN(w, rand.NewChaCha8([32]byte{}), size)
	return errors.Join(err, w.Flush(), f.Sync(), f.Close())
}
