package pack

import (
	"encoding/binary"
	"fmt"
)

// AppendDelta appends what makes the page out of base, an older version of it: for each stretch of words (u64) that differ, how
// many words before it are the same and how many it has (uvarint each), and the words. It is false, with nothing appended,
// if that takes more than limit bytes. Neither may change meanwhile.
//
// Precondition: both have 4 KiB.
func AppendDelta(dst, base, page []byte, limit int) ([]byte, bool) {
	start := len(dst)
	for at := 0; ; {
		from := at
		for from < pageWords && word(base, from) == word(page, from) {
			from++
		}
		if from == pageWords {
			return dst, true
		}
		end := from + 1
		for end < pageWords && word(base, end) != word(page, end) {
			end++
		}
		dst = binary.AppendUvarint(dst, uint64(from-at))
		dst = binary.AppendUvarint(dst, uint64(end-from))
		if len(dst)-start+(end-from)*wordSize > limit {
			return dst[:start], false
		}
		dst = append(dst, page[from*wordSize:end*wordSize]...)
		at = end
	}
}

// word is the word of that number.
func word(page []byte, i int) uint64 {
	return binary.LittleEndian.Uint64(page[i*wordSize : (i+1)*wordSize])
}

// ApplyDelta makes of the base that page holds the page that AppendDelta was given. The error is ErrDamaged; the page is
// then of no use.
//
// Precondition: the page has 4 KiB.
func ApplyDelta(page, src []byte) error {
	for at := uint64(0); len(src) > 0; {
		same, n := binary.Uvarint(src)
		if n <= 0 || same > pageWords {
			return fmt.Errorf("%w: a difference begins nowhere", ErrDamaged)
		}
		src = src[n:]
		count, n := binary.Uvarint(src)
		if n <= 0 || count == 0 || count > pageWords {
			return fmt.Errorf("%w: a difference has no length", ErrDamaged)
		}
		src = src[n:]
		at += same
		if at+count > pageWords || uint64(len(src)) < count*wordSize {
			return fmt.Errorf("%w: a difference of %d words at word %d, with %d bytes", ErrDamaged, count, at, len(src))
		}
		copy(page[at*wordSize:(at+count)*wordSize], src)
		src, at = src[count*wordSize:], at+count
	}
	return nil
}
