package migration

import (
	"hash/crc32"
	"sync/atomic"

	"github.com/ferryvmm/ferry/guestmem"
)

// pageSource yields the pages of a round. *guestmem.Tracker is one.
type pageSource interface {
	Next([]guestmem.Run) (int, error)
}

var _ pageSource = (*guestmem.Tracker)(nil)

const (
	gather     = 256     // runs asked for at a time
	batchBytes = 1 << 20 // of pages after which a frame is sent
)

// pageWriter turns the runs of a pageSource into Pages frames. It allocates
// nothing once it is made.
type pageWriter struct {
	out   *outlet
	runs  []guestmem.Run
	table []byte
	data  [][]byte
	bytes uint64 // of data

	header header
	totals roundTotals
	tail   [roundTotalsSize]byte // totals, encoded
	// after, if set, is called after each frame.
	after func()
	// cut ends the round early: what was not sent stays pending.
	cut atomic.Bool
	// others, if set, lets no other channel join the round, which is about to end, and returns how many have.
	others func() int
	// leave, if set, is called with data instead of sending it: it is left for
	// the target to pull.
	leave func(gpa, size uint64)
	// packer, if set, makes data small where that is of use.
	packer *packer
}

func newPageWriter(out *outlet) *pageWriter {
	return &pageWriter{
		out:   out,
		runs:  make([]guestmem.Run, gather),
		table: make([]byte, 0, maxRuns*runSize),
		data:  make([][]byte, 0, maxRuns),
	}
}

// round sends what src yields, and the end of the round. In the final round
// the guest is stopped, so the pages are summed.
func (w *pageWriter) round(n uint32, final bool, src pageSource) (roundTotals, error) {
	w.totals = roundTotals{}
	w.header = header{Type: framePages, Round: n}
	if final {
		w.header.Flags = flagSummed | flagFinal
	}
	w.packer.begin(n, final)
	for !w.cut.Load() || final {
		k, err := src.Next(w.runs)
		if err != nil {
			return w.totals, err
		}
		if k == 0 {
			break
		}
		for _, r := range w.runs[:k] {
			if err := w.add(r); err != nil {
				return w.totals, err
			}
		}
		if w.bytes >= batchBytes {
			if err := w.flush(); err != nil {
				return w.totals, err
			}
		}
	}
	return w.totals, w.end()
}

// end sends what is gathered and the end of the round, in one write.
func (w *pageWriter) end() error {
	w.packer.finish(w)
	h := header{Type: frameRoundEnd, Round: w.header.Round, Flags: w.header.Flags & flagFinal}
	if w.others != nil {
		h.Count = uint32(w.others())
	}
	if len(w.table) == 0 {
		w.totals.put(w.tail[:])
		return w.out.frame(h, w.tail[:])
	}
	return w.send(&h)
}

// add puts a run into the frame being gathered, in pieces that fit.
func (w *pageWriter) add(r guestmem.Run) error {
	kind, size := uint16(wireData), uint64(len(r.Bytes))
	switch {
	case r.Kind == guestmem.Data && w.leave != nil:
		w.leave(r.GPA, r.Size)
		kind, size = wireMissing, r.Size
	case r.Kind == guestmem.Zero:
		kind, size = wireZero, r.Size
	case r.Kind == guestmem.Hole:
		kind, size = wireHole, r.Size
	}
	if kind == wireData && w.packer.active() {
		return w.pack(r)
	}
	w.packer.forget(r.GPA, r.Size)
	w.totals.add(kind, size)
	for gpa, left := r.GPA, r.Bytes; size > 0; {
		n := size
		full := false
		if kind == wireData { // in one frame, if it fits one: what is cut is no huge page at the target
			full = n > maxFrameData-w.bytes && w.bytes > 0
			n = min(n, maxFrameData)
		}
		if full || len(w.table)+w.packer.held()*runSize >= cap(w.table) {
			if err := w.flush(); err != nil {
				return err
			}
			continue
		}
		w.table = w.table[:len(w.table)+runSize]
		run{gpa: gpa, size: n, kind: kind}.put(w.table[len(w.table)-runSize:])
		if kind == wireData {
			w.data = append(w.data, left[:n])
			w.packer.pass(n)
			left = left[n:]
			w.bytes += n
		}
		gpa, size = gpa+n, size-n
	}
	return nil
}

// flush sends the frame that was gathered.
func (w *pageWriter) flush() error {
	w.packer.finish(w)
	if len(w.table) == 0 {
		return nil
	}
	return w.send(nil)
}

// send sends the frame that was gathered, and behind it the round's end if
// that is not nil.
func (w *pageWriter) send(end *header) error {
	h := w.header
	h.Flags |= w.packer.flag()
	h.Count = uint32(len(w.table) / runSize)
	h.Length = uint32(len(w.table)) + uint32(w.bytes)
	if h.Flags&flagSummed != 0 {
		for _, d := range w.data {
			h.DataSum = crc32.Update(h.DataSum, castagnoli, d)
		}
	}
	w.totals.Frames++
	w.totals.put(w.tail[:])
	err := w.out.pagesFrame(h, w.table, w.data, end, w.tail[:])
	w.table, w.data, w.bytes = w.table[:0], w.data[:0], 0
	w.packer.sent()
	if w.after != nil {
		w.after()
	}
	return err
}
