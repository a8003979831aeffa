package boot

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/ferryvmm/ferry/guestmem"
)

// copyTo copies size bytes at offset of r to guest memory, leaving out pages
// that are zero: fresh memory is zero and should stay a hole.
func copyTo(m Memory, r io.ReaderAt, offset, size, gpa uint64) error {
	buf := make([]byte, min(256<<10, size+guestmem.PageSize))
	for size > 0 {
		// Chunks end at page boundaries, so that whole zero pages are seen.
		n := min(uint64(len(buf))-gpa%guestmem.PageSize, size)
		err := readFull(r, buf[:n], int64(offset))
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("%w: it ends before byte %d", ErrTruncated, offset+n)
		}
		if err != nil {
			return err
		}
		if err := writeData(m, buf[:n], gpa); err != nil {
			return err
		}
		offset, gpa, size = offset+n, gpa+n, size-n
	}
	return nil
}

var zeroPage [guestmem.PageSize]byte

// writeData writes p but for its zero pages, as few pieces.
func writeData(m Memory, p []byte, gpa uint64) error {
	from := 0 // start of the piece that ends at to
	for to := 0; to < len(p); {
		n := min(guestmem.PageSize-int((gpa+uint64(to))%guestmem.PageSize), len(p)-to)
		if bytes.Equal(p[to:to+n], zeroPage[:n]) {
			if err := writePiece(m, p[from:to], gpa+uint64(from)); err != nil {
				return err
			}
			from = to + n
		}
		to += n
	}
	return writePiece(m, p[from:], gpa+uint64(from))
}

func writePiece(m Memory, p []byte, gpa uint64) error {
	if len(p) == 0 {
		return nil
	}
	return m.WriteAt(p, gpa)
}
