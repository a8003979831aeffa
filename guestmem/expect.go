package guestmem

import (
	"errors"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// thickness is how a region fares with huge pages for what is placed in it.
type thickness struct {
	vain   atomic.Int32 // attempts in a row that failed or were slow
	skip   atomic.Int32 // blocks to go without an attempt
	single atomic.Int64 // what 512 single pages take, in ns; 0: unknown
}

const (
	maxVain   = 4  // in a row, after which
	skipSmall = 32 // blocks are left to single pages, or one, if nothing is known of those
	// weighty is how many pages placed at once say what single ones take.
	weighty = 16
)

// slowBlock is what a huge page may always take, about as much as 512 single ones of a host that has them at hand. One that must move other pages
// out of the way takes longer. One that gets memory from a host of its own takes longer, too, but for single pages as well. Tests change it.
var slowBlock = time.Millisecond

// Expect tells that whole pages are about to be placed, all of them data. For those blocks of 2 MiB that they fill, and of
// which nothing is here yet, it takes a huge page each, where the host has them to spare: that costs a tenth of 512 single pages, and
// the guest runs faster on it. Nothing becomes data that would not be anyway. It asks the kernel for that block by block
// (MADV_COLLAPSE, Linux 6.1, madvise(2)), whatever the host's setting of huge pages for shared memory is, short of deny.
// Without one all is as without Expect, and so it is while a mapping is registered for missing pages: see Pull.
//
// What it returns is the memory itself of the first blocks in a row that it took one for, at their address: they can be filled there, instead of
// by Place, which costs one copy less. Who does says so by Filled.
func (m *Memory) Expect(gpa, size uint64) (at uint64, room []byte) {
	r, off, err := m.findPages(gpa, size)
	if err != nil || r.huge() {
		return 0, nil
	}
	var from, to uint64 // of the first blocks in a row
	const block = hugePages * PageSize
	for at, end := (off+block-1)/block*block, (off+size)/block*block; at < end; at += block {
		if r.thick.skip.Load() > 0 {
			r.thick.skip.Add(-1)
			continue
		}
		if data, err := r.data(at / PageSize); err != nil || data < at/PageSize+hugePages {
			continue
		}
		began := time.Now()
		err := r.thicken(at, block)
		r.thick.note(err, time.Since(began))
		switch {
		case err != nil:
		case from == to:
			from, to = at, at+block
		case to == at:
			to += block
		}
	}
	return gpa - off + from, r.host.bytes[from:to]
}

// Filled notes pages as received that have been filled where Expect said. Errors: ErrAlign, ErrOutside.
func (m *Memory) Filled(gpa, size uint64) error {
	r, off, err := m.findPages(gpa, size)
	if err != nil {
		return err
	}
	r.received.setRange(off/PageSize, (off+size)/PageSize)
	return nil
}

// note says how an attempt went.
func (t *thickness) note(err error, took time.Duration) {
	switch {
	case errors.Is(err, unix.EINVAL): // this kernel has none for us
		t.skip.Store(math.MaxInt32)
	case err == nil && took < max(slowBlock, time.Duration(t.single.Load())):
		t.vain.Store(0)
	case t.vain.Add(1) < maxVain:
	case t.single.Load() == 0:
		t.skip.Store(1)
	default:
		t.vain.Store(0)
		t.skip.Store(skipSmall)
	}
}

// placed says how long it took to place that many single pages where nothing was.
func (t *thickness) placed(pages uint64, took time.Duration) {
	now := int64(took) * hugePages / int64(pages)
	was := t.single.Load()
	if was == 0 {
		was = now
	}
	t.single.Store(was + (now-was)/4) // of two at once one may be lost: it is an estimate
}

// thicken makes one huge page of a block that is a hole. The kernel takes what has at least one page for it.
func (r *region) thicken(off, block uint64) error {
	if err := r.allocate(off / PageSize); err != nil {
		return err
	}
	for {
		err := unix.Madvise(r.host.bytes[off:off+block], unix.MADV_COLLAPSE)
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}
