package blk

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// pageSize is the most that direct I/O wants addresses to be aligned to. Guest
// memory is mapped in whole pages, so an address is aligned as far as its
// guest-physical address is.
const pageSize = 4096

// vectors appends to vec the memory of length bytes of buffers, from skip on.
func vectors(vec []unix.Iovec, buffers []virtio.Buffer, skip, length uint64) []unix.Iovec {
	for _, b := range buffers {
		p := b.Bytes[min(skip, uint64(len(b.Bytes))):]
		skip -= uint64(len(b.Bytes) - len(p))
		if p = p[:min(length, uint64(len(p)))]; len(p) == 0 {
			continue
		}
		length -= uint64(len(p))
		vec = append(vec, vector(p))
	}
	return vec
}

// vector is p for the kernel. Precondition: p is not empty.
func vector(p []byte) unix.Iovec {
	v := unix.Iovec{Base: &p[0]}
	v.SetLen(len(p))
	return v
}

// aligned tells whether direct I/O can use length bytes of buffers, from skip on:
// each piece must begin and end at a multiple of what is asked for.
func aligned(buffers []virtio.Buffer, skip, length uint64, address, size uint32) bool {
	for _, b := range buffers {
		n := uint64(len(b.Bytes))
		if skip >= n {
			skip -= n
			continue
		}
		gpa, n := b.GPA+skip, min(n-skip, length)
		if n > 0 && (gpa%uint64(address) != 0 || n%uint64(size) != 0) {
			return false
		}
		skip, length = 0, length-n
	}
	return true
}

// gather fills p from buffers, from skip on, and returns how much there was.
func gather(p []byte, buffers []virtio.Buffer, skip uint64) int {
	n := 0
	for _, b := range buffers {
		q := b.Bytes[min(skip, uint64(len(b.Bytes))):]
		skip -= uint64(len(b.Bytes) - len(q))
		n += copy(p[n:], q)
	}
	return n
}

// scatter copies p to buffers, from skip on, and returns how much there was room for.
func scatter(buffers []virtio.Buffer, skip uint64, p []byte) int {
	n := 0
	for _, b := range buffers {
		q := b.Bytes[min(skip, uint64(len(b.Bytes))):]
		skip -= uint64(len(b.Bytes) - len(q))
		n += copy(q, p[n:])
	}
	return n
}

// pages maps memory that takes no room before it is written. It begins at a page.
func pages(size int) ([]byte, error) {
	p, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("%d bytes for buffers: %w", size, err)
	}
	return p, nil
}

// Bounce buffers of a queue, for direct I/O with buffers that are not aligned.
const (
	bounceBytes = 256 << 10
	bounceCount = 4
)

// bounces are the bounce buffers of a queue that are free.
type bounces struct {
	mapping []byte
	free    [][]byte
}

func newBounces() (*bounces, error) {
	p, err := pages(bounceCount * bounceBytes)
	if err != nil {
		return nil, err
	}
	b := &bounces{mapping: p}
	for i := range bounceCount {
		b.free = append(b.free, p[i*bounceBytes:][:bounceBytes:bounceBytes])
	}
	return b, nil
}

// take returns a free buffer, or nil.
func (b *bounces) take() []byte {
	last := len(b.free) - 1
	if last < 0 {
		return nil
	}
	p := b.free[last]
	b.free = b.free[:last]
	return p
}

func (b *bounces) give(p []byte) { b.free = append(b.free, p) }

func (b *bounces) close() error { return unix.Munmap(b.mapping) }
