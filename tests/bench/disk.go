package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

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
	disk := func(cache, aio string) devices {
		return devices{disk: &qemu.Disk{Path: image, Cache: cache, AIO: aio}}
	}
	for _, c := range []struct {
		cache string
		aios  []string
		into  *[]comparison
	}{
		{"none", []string{"io_uring", "native"}, &r.DiskDirect},
		{"writeback", []string{"io_uring", "threads"}, &r.DiskCached},
	} {
		ways := []way{b.ferryWay(disk(c.cache, ""))}
		for _, aio := range c.aios {
			if b.qemu.Path != "" {
				ways = append(ways, b.qemuWay(" "+aio, disk(c.cache, aio)))
			}
		}
		if *c.into, err = b.compare(ctx, l.Hosts[0], "virtio-blk, one queue, cache="+c.cache, slices.Clone(diskLoads), ways); err != nil {
			return err
		}
	}
	return nil
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
