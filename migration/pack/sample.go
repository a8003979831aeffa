package pack

import "math/bits"

const (
	sampled = 128 // bytes of a page that are looked at
	stride  = 31  // between them: odd, so that they lie differently in their words
	// manyValues is how many different values among the bytes sampled make a page dense. Bytes by chance have 101 of them, of
	// 256, with a deviation of 4; text has about 30, machine code 60.
	manyValues = 86
)

// Dense guesses, for a tenth of a microsecond, that compressing a page is in vain: its bytes look random. The page may change meanwhile.
//
// Precondition: the page has 4 KiB.
func Dense(page []byte) bool {
	var seen [4]uint64
	page = page[:pageSize]
	for i := 0; i < sampled*stride; i += stride {
		b := page[i]
		seen[b>>6] |= 1 << (b & 63)
	}
	n := 0
	for _, s := range seen {
		n += bits.OnesCount64(s)
	}
	return n >= manyValues
}
