package migration

import (
	"bytes"
	"hash/crc32"

	"github.com/ferryvmm/ferry/guestmem"
)

// pieceWriter sends pages of a stopped guest as Pages frames of their own. One
// goroutine uses it; it allocates nothing once it is made.
type pieceWriter struct {
	out    *outlet
	memory *guestmem.Memory
	round  uint32
	table  []byte
	data   [][]byte
	size   uint64      // of data
	counts roundTotals // of all that was added
	packer *packer     // nil: pages go as they are
}

func newPieceWriter(out *outlet, m *guestmem.Memory, round uint32) *pieceWriter {
	return &pieceWriter{out: out, memory: m, round: round, table: make([]byte, 0, maxRuns*runSize), data: make([][]byte, 0, maxRuns)}
}

var zeros [guestmem.PageSize]byte

// add gathers pages, which must fit: maxPullData at the most between two sends.
func (w *pieceWriter) add(gpa, size uint64) error {
	all, err := w.memory.View(gpa, size)
	if err != nil {
		return err
	}
	for off := uint64(0); off < size; {
		from, zero := off, w.zero(all, off)
		for off < size && w.zero(all, off) == zero {
			off += guestmem.PageSize
		}
		r := run{gpa: gpa + from, size: off - from, kind: wireZero}
		if !zero && w.packer.active() {
			for ; from < off; from += guestmem.PageSize {
				w.packer.page(w, gpa+from, all[from:from+guestmem.PageSize])
			}
			continue
		}
		if !zero {
			r.kind = wireData
			w.data = append(w.data, all[from:off])
			w.packer.pass(off - from)
			w.size += off - from
		}
		w.counts.add(r.kind, r.size)
		w.table = w.table[:len(w.table)+runSize]
		r.put(w.table[len(w.table)-runSize:])
	}
	return nil
}

// put implements gatherer.
func (w *pieceWriter) put(runs []run, data []byte) {
	w.size += uint64(len(data))
	w.table, w.data = appendRuns(w.table, w.data, &w.counts, runs, data)
}

func (w *pieceWriter) zero(all []byte, off uint64) bool {
	return bytes.Equal(all[off:off+guestmem.PageSize], zeros[:])
}

// send sends what was gathered, if anything was.
func (w *pieceWriter) send() error {
	if len(w.table) == 0 {
		return nil
	}
	h := header{Type: framePages, Flags: flagSummed | flagFinal | w.packer.flag(), Round: w.round, Count: uint32(len(w.table) / runSize)}
	h.Length = uint32(len(w.table)) + uint32(w.size)
	for _, d := range w.data {
		h.DataSum = crc32.Update(h.DataSum, castagnoli, d)
	}
	err := w.out.pagesFrame(h, w.table, w.data, nil, nil)
	w.table, w.data, w.size = w.table[:0], w.data[:0], 0
	w.packer.sent()
	return err
}
