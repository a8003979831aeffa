package migration

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/ferryvmm/ferry/guestmem"
)

// inlet reads frames in order. Its buffer is reused for everything: it stays in
// the cache, and from it pages are placed.
type inlet struct {
	r      io.Reader
	buf    []byte
	lo, hi int // buf[lo:hi] is read and not yet consumed
	seq    uint32

	summing bool   // a file: sum is kept
	sum     uint32 // of all that was consumed
	total   uint64 // bytes consumed
}

const (
	controlBuffer = 16 << 10
	bulkBuffer    = 512 << 10
	// frontBuffer is how much is read at once of a frame of which nothing is known yet: its pages may have a better place than the buffer.
	frontBuffer = 16 << 10
)

func newInlet(r io.Reader, size int) *inlet { return &inlet{r: r, buf: make([]byte, size)} }

// fill reads until n bytes, at most the buffer's size, are there.
func (in *inlet) fill(n int) error { return in.fillTo(n, len(in.buf)) }

// fillTo is fill, with at most so many bytes there.
func (in *inlet) fillTo(n, most int) error {
	if in.hi-in.lo >= n {
		return nil
	}
	if in.lo > 0 {
		copy(in.buf, in.buf[in.lo:in.hi])
		in.lo, in.hi = 0, in.hi-in.lo
	}
	for in.hi < n {
		m, err := in.r.Read(in.buf[in.hi:most])
		in.hi += m
		if err != nil && in.hi < n {
			if errors.Is(err, io.EOF) {
				return fmt.Errorf("%w: %d bytes missing", ErrTruncated, n-in.hi)
			}
			return err
		}
	}
	return nil
}

// take consumes n bytes that were filled. The slice is valid until the next fill.
func (in *inlet) take(n int) []byte {
	b := in.buf[in.lo : in.lo+n]
	in.lo += n
	in.total += uint64(n)
	if in.summing {
		in.sum = crc32.Update(in.sum, castagnoli, b)
	}
	return b
}

// next reads a frame's header. io.EOF: the stream ended between two frames.
func (in *inlet) next() (header, error) {
	if in.hi == in.lo {
		if err := in.fillTo(1, min(frontBuffer, len(in.buf))); err != nil {
			if errors.Is(err, ErrTruncated) {
				return header{}, io.EOF
			}
			return header{}, err
		}
	}
	if err := in.fill(headerSize); err != nil {
		return header{}, err
	}
	h, err := parseHeader(in.take(headerSize), in.seq)
	if err != nil {
		return header{}, err
	}
	in.seq++
	return h, nil
}

// payload reads and checks the payload of a frame other than Pages. Memory
// grows only with what has really come. The slice is the caller's.
func (in *inlet) payload(h header) ([]byte, error) {
	left := int(h.Length)
	p := make([]byte, 0, min(left, len(in.buf)))
	for left > 0 {
		if err := in.fill(1); err != nil {
			return nil, err
		}
		b := in.take(min(left, in.hi-in.lo))
		p = append(p, b...)
		left -= len(b)
	}
	return p, h.checkSum(p)
}

// pages returns at least one whole page and at most n bytes, consumed. The
// slice is valid until the next call.
func (in *inlet) pages(n uint64) ([]byte, error) {
	if err := in.fill(guestmem.PageSize); err != nil {
		return nil, err
	}
	have := uint64(in.hi-in.lo) &^ pageMask
	return in.take(int(min(n, have))), nil
}

// into fills room with what comes next, consumed.
func (in *inlet) into(room []byte) error {
	n := copy(room, in.buf[in.lo:in.hi])
	in.take(n)
	rest := room[n:]
	m, err := io.ReadFull(in.r, rest)
	if in.total += uint64(m); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: %d bytes missing", ErrTruncated, len(rest)-m)
		}
		return err
	}
	if in.summing {
		in.sum = crc32.Update(in.sum, castagnoli, rest)
	}
	return nil
}

// runTable reads and checks the run table of a Pages frame into table, whose room it
// uses: the buffer is needed for the pages.
func (in *inlet) runTable(h header, table []byte, layout guestmem.Layout) ([]byte, error) {
	if h.Count == 0 || h.Count > maxRuns || h.Length < h.Count*runSize {
		return table, fmt.Errorf("%w: %d runs in %d bytes", ErrProtocol, h.Count, h.Length)
	}
	if err := in.fill(int(h.Count * runSize)); err != nil {
		return table, err
	}
	table = append(table[:0], in.take(int(h.Count*runSize))...)
	if err := h.checkSum(table); err != nil {
		return table, err
	}
	return table, checkRuns(h, table, layout)
}
