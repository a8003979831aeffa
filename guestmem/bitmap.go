package guestmem

import (
	"math/bits"
	"sync/atomic"
)

// bitmap has one bit a page.
type bitmap []uint64

func newBitmap(pages uint64) bitmap { return make(bitmap, (pages+63)/64) }

func (b bitmap) get(p uint64) bool { return b[p/64]&(1<<(p%64)) != 0 }
func (b bitmap) set(p uint64)      { b[p/64] |= 1 << (p % 64) }
func (b bitmap) drop(p uint64)     { b[p/64] &^= 1 << (p % 64) }

// setRange sets, and dropRange clears, the bits of pages [from, to).
func (b bitmap) setRange(from, to uint64) {
	eachWord(from, to, func(w, mask uint64) { b[w] |= mask })
}

func (b bitmap) dropRange(from, to uint64) {
	eachWord(from, to, func(w, mask uint64) { b[w] &^= mask })
}

// nextSet returns the first page of [from, to) whose bit is set, or to.
func (b bitmap) nextSet(from, to uint64) uint64 {
	for from < to {
		if word := b[from/64] >> (from % 64); word != 0 {
			return min(to, from+uint64(bits.TrailingZeros64(word)))
		}
		from = from/64*64 + 64
	}
	return to
}

// atomicBitmap is a bitmap that several goroutines set.
type atomicBitmap []atomic.Uint64

// setRange always stores, also where the bits are set already: the locked instruction is what makes the caller's bytes
// visible before a tracker takes the mark. A look first could see a mark that is being taken, the bytes still on their way.
func (b atomicBitmap) setRange(from, to uint64) {
	eachWord(from, to, func(w, mask uint64) { b[w].Or(mask) })
}

// set sets the bit of one page and tells whether it was not set before.
func (b atomicBitmap) set(p uint64) bool {
	bit := uint64(1) << (p % 64)
	return b[p/64].Or(bit)&bit == 0
}

func (b atomicBitmap) get(p uint64) bool { return b[p/64].Load()&(1<<(p%64)) != 0 }

// eachWord calls f for each word that holds bits of [from, to), with the mask of those bits.
func eachWord(from, to uint64, f func(w, mask uint64)) {
	for from < to {
		n := min(64-from%64, to-from)
		mask := ^uint64(0) >> (64 - n) << (from % 64)
		f(from/64, mask)
		from += n
	}
}

func (b atomicBitmap) dropRange(from, to uint64) {
	eachWord(from, to, func(w, mask uint64) { b[w].And(^mask) })
}

// count is the number of bits that are set.
func (b atomicBitmap) count() (n uint64) {
	for w := range b {
		n += uint64(bits.OnesCount64(b[w].Load()))
	}
	return n
}

// nextSet and nextClear return the first page of [from, to) whose bit is set, or clear, or to.
func (b atomicBitmap) nextSet(from, to uint64) uint64   { return b.next(from, to, 0) }
func (b atomicBitmap) nextClear(from, to uint64) uint64 { return b.next(from, to, ^uint64(0)) }

// next finds the first bit of [from, to) that is set once flip is applied.
func (b atomicBitmap) next(from, to, flip uint64) uint64 {
	for from < to {
		if word := (b[from/64].Load() ^ flip) >> (from % 64); word != 0 {
			return min(to, from+uint64(bits.TrailingZeros64(word)))
		}
		from = from/64*64 + 64
	}
	return to
}
