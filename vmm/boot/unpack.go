package boot

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/klauspost/compress/zstd"
)

// Limits of what is unpacked, in bytes.
const (
	maxUnpacked = 512 << 20 // what Linux reserves for its image
	maxWindow   = 128 << 20 // of zstd, as Linux's build makes it
	headCache   = 4 << 10   // holds an ELF header with its program headers
	tailSize    = 4         // the unpacked size, behind what is packed; of gzip, its own
)

// errBackwards: the kernel's headers name what was read already. Such a file is
// no kernel: its parts are in order and do not overlap.
var errBackwards = fmt.Errorf("%w: its parts overlap", ErrTruncated)

// unpacker reads what is packed as it goes: forwards only, so that the work that
// a file can ask for is bounded, and nothing but the start is kept in memory. A
// read of what was passed fails, except of the start, until rewind.
type unpacker struct {
	packed *io.SectionReader
	stream io.Reader
	done   func() // gives the stream's memory back
	pos    int64  // of the stream
	head   []byte // the first bytes of it
}

// newUnpacker returns nil if the payload's compression is none that is known here.
func newUnpacker(packed *io.SectionReader) (*unpacker, error) {
	u := &unpacker{packed: packed, done: func() {}}
	known, err := u.open()
	if !known || err != nil {
		return nil, err
	}
	head := make([]byte, headCache)
	n, err := io.ReadFull(u.stream, head)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		u.close()
		return nil, fmt.Errorf("%w: unpacking: %w", ErrTruncated, err)
	}
	u.head, u.pos = head[:n], int64(n)
	return u, nil
}

// open starts unpacking from the beginning.
func (u *unpacker) open() (known bool, err error) {
	var magic [4]byte
	if err := readFull(u.packed, magic[:], 0); err != nil {
		return false, fmt.Errorf("%w: payload: %w", ErrTruncated, err)
	}
	switch {
	case bytes.HasPrefix(magic[:], []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(io.NewSectionReader(u.packed, 0, u.packed.Size()))
		if err != nil {
			return true, fmt.Errorf("%w: unpacking: %w", ErrTruncated, err)
		}
		z.Multistream(false)
		u.stream = z
	case string(magic[:]) == "\x28\xb5\x2f\xfd":
		z, err := zstd.NewReader(io.NewSectionReader(u.packed, 0, u.packed.Size()-tailSize),
			zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return true, fmt.Errorf("%w: unpacking: %w", ErrTruncated, err)
		}
		u.stream, u.done = z, z.Close
	default:
		return false, nil
	}
	u.stream = io.LimitReader(u.stream, maxUnpacked)
	u.pos = 0
	return true, nil
}

// rewind makes everything readable again.
func (u *unpacker) rewind() error {
	u.close()
	_, err := u.open()
	return err
}

// finish reads what is left, which checks the sums behind it, and closes.
func (u *unpacker) finish() error {
	defer debug.FreeOSMemory() // zstd's window is as large as the kernel
	defer u.close()
	if _, err := io.Copy(io.Discard, u.stream); err != nil {
		return fmt.Errorf("%w: unpacking: %w", ErrTruncated, err)
	}
	return nil
}

// close gives the stream's memory back.
func (u *unpacker) close() {
	u.done()
	u.stream, u.done = nil, func() {}
}

// ReadAt reads forwards, or within the start.
func (u *unpacker) ReadAt(p []byte, offset int64) (int, error) {
	n := 0
	if offset < int64(len(u.head)) {
		n = copy(p, u.head[offset:])
		if n == len(p) {
			return n, nil
		}
		offset += int64(n)
	}
	if offset < u.pos {
		return n, errBackwards
	}
	if _, err := io.CopyN(io.Discard, u.stream, offset-u.pos); err != nil {
		return n, u.failed(err)
	}
	m, err := io.ReadFull(u.stream, p[n:])
	u.pos = offset + int64(m)
	return n + m, u.failed(err)
}

// failed tells the end of what is packed from damage.
func (u *unpacker) failed(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: unpacking: %w", ErrTruncated, err)
}
