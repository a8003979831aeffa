package pack

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/ferryvmm/ferry/guestmem"
)

const (
	pageSize  = guestmem.PageSize
	wordSize  = 8
	pageWords = pageSize / wordSize
	maxWords  = 16 // distinct words of a page; an index has four bits then
)

// ErrDamaged is what cannot be unpacked: it was altered, or packed for something else. The caller must not use the page.
var ErrDamaged = errors.New("packed pages are damaged")

// indexBits is how many bits an index among n distinct words has: 0, 1, 2 or 4.
func indexBits(n int) int {
	switch {
	case n <= 1:
		return 0
	case n <= 2:
		return 1
	case n <= 4:
		return 2
	}
	return 4
}

// AppendWords appends a page that consists of at most 16 distinct words: their number less one (u8), the words (u64,
// little-endian), and the index of each word of the page, of 0, 1, 2 or 4 bits, the first in the lowest bits. It is false,
// with nothing appended, for any other page; for most that is known after a few words. The page must not change meanwhile.
//
// Precondition: the page has 4 KiB.
func AppendWords(dst, page []byte) ([]byte, bool) {
	var words [maxWords]uint64
	var index [pageWords]uint8
	n, last := 0, 0
	for i := range index {
		w := binary.LittleEndian.Uint64(page[i*wordSize:])
		if n == 0 || words[last] != w {
			for last = 0; last < n && words[last] != w; last++ {
			}
			if last == maxWords {
				return dst, false
			}
			if last == n {
				words[n] = w
				n++
			}
		}
		index[i] = uint8(last)
	}
	dst = append(dst, byte(n-1))
	for _, w := range words[:n] {
		dst = binary.LittleEndian.AppendUint64(dst, w)
	}
	if bits := indexBits(n); bits > 0 {
		per := 8 / bits
		for i := 0; i < pageWords; i += per {
			b := byte(0)
			for j := range per {
				b |= index[i+j] << (j * bits)
			}
			dst = append(dst, b)
		}
	}
	return dst, true
}

// ExpandWords makes the page that AppendWords was given. The error is ErrDamaged; the page is then of no use.
//
// Precondition: the page has 4 KiB.
func ExpandWords(page, src []byte) error {
	if len(src) == 0 || src[0] >= maxWords {
		return fmt.Errorf("%w: no number of distinct words", ErrDamaged)
	}
	n := int(src[0]) + 1
	bits := indexBits(n)
	if want := 1 + n*wordSize + pageWords*bits/8; len(src) != want {
		return fmt.Errorf("%w: %d bytes of a page of %d distinct words; want %d", ErrDamaged, len(src), n, want)
	}
	words, indices := src[1:1+n*wordSize], src[1+n*wordSize:]
	for i := range pageWords {
		k := 0
		if bits > 0 {
			k = int(indices[i*bits/8] >> (i * bits % 8) & (1<<bits - 1))
		}
		if k >= n {
			return fmt.Errorf("%w: word %d of %d", ErrDamaged, k, n)
		}
		copy(page[i*wordSize:(i+1)*wordSize], words[k*wordSize:])
	}
	return nil
}
