package migration

import (
	"encoding/binary"
	"hash/crc32"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration/pack"
)

// gatherer takes runs into the frame that it gathers. There is room for them: who calls page sees to that.
type gatherer interface {
	// put adds runs, of which the last has data.
	put(runs []run, data []byte)
}

// packer packs pages for the frames of one connection. A page of a running guest is copied before anything else, and only the copy is
// looked at, compressed, summed, kept and sent: a page that is torn in it is dirty again. One goroutine uses it; it
// allocates with its first page, and nothing afterwards. A nil packer does nothing.
type packer struct {
	all   *packing
	pull  bool     // pages of a stopped guest that follow it: the target has none of them, or writes them
	using packWays // for the frame that is gathered
	first bool     // the first round: most of what it sends is not sent again

	print  *pack.Printer
	copies pack.Copies // of the pages of this round that were sent from here
	arena  []byte      // what the frame sends of ours; its address does not change
	lanes  []lane      // blocks that are compressed at once
	at     int         // the lane that is filled
	one    [1]run
	bytes  uint64                  // of pages in the frame
	counts [pack.Codecs]CodecCount // of these
}

// packWays is what is done to pages.
type packWays struct {
	words, deltas, copies, images, sample bool
	block                                 pack.Codec // Raw: none
	probe                                 bool       // nothing, in small frames: the link is to be known soon
}

// packedBytes is after how many bytes a frame with packed pages is sent: packing the next goes on while the network takes this one.
const packedBytes = 256 << 10

var noSum [blockSum]byte

// begin begins a round of a push.
func (k *packer) begin(round uint32, final bool) {
	if k == nil {
		return
	}
	k.first = round == 0
	k.copies.Forget()
	k.all.round(final)
	k.choose()
}

// choose decides how the next frame is packed.
func (k *packer) choose() {
	k.using = k.all.ways(k.bytes)
	k.bytes = 0
	if k.pull {
		k.using.deltas, k.using.copies, k.using.images = false, false, false // nor images: one that differs could not be refused any more
	}
	if k.active() && !k.using.probe && k.arena == nil {
		k.lanes = newLanes()
		// Room for all that a frame gets before it is sent, and for what the lanes still hold then.
		k.arena = make([]byte, 0, packedBytes+(len(k.lanes)+2)*pack.MaxBlock)
	}
}

// active says whether pages of this frame are to come by page.
func (k *packer) active() bool { return k != nil && k.using != packWays{} }

// held is how many runs are held back.
func (k *packer) held() (n int) {
	if k == nil {
		return 0
	}
	for i := range k.lanes {
		n += len(k.lanes[i].runs)
	}
	return n
}

// flag is that of a frame whose pages may be packed.
func (k *packer) flag() uint8 {
	if k.active() {
		return flagPacked
	}
	return 0
}

// pass is told of bytes of pages that are sent as they are.
func (k *packer) pass(bytes uint64) {
	if k != nil {
		k.bytes += bytes
	}
}

// forget is told of pages that are sent otherwise.
func (k *packer) forget(gpa, size uint64) {
	if k != nil && !k.pull {
		k.all.history.Drop(gpa, size)
	}
}

// page packs one page. What it puts may be earlier pages, together with this one.
//
// Precondition: active; fewer than packedBytes are in the frame.
func (k *packer) page(g gatherer, gpa uint64, live []byte) {
	k.bytes += guestmem.PageSize
	if k.using.images && k.origin(g, gpa, live) {
		return
	}
	dense := k.using.sample && pack.Dense(live)
	compress := k.using.block != pack.Raw && !dense
	if !k.using.deltas && !k.using.copies && !compress {
		k.forget(gpa, guestmem.PageSize)
		k.raw(g, gpa, live)
		return
	}
	start := len(k.arena)
	page := append(k.arena, live...)[start:]
	packed := k.arena[:start+guestmem.PageSize][start+guestmem.PageSize:]
	sum := append(packed, noSum[:]...)
	if k.using.deltas {
		if d, ok := k.all.history.Swap(sum, gpa, page, guestmem.PageSize/2, k.first); ok {
			k.alone(g, pack.Delta, gpa, d)
			return
		}
	}
	if k.using.words && !dense {
		if w, ok := pack.AppendWords(sum, page); ok {
			k.alone(g, pack.Words, gpa, w)
			return
		}
	}
	var print pack.Print
	if k.using.copies {
		print = k.print.Print(page)
		if from, ok := k.copies.Find(print); ok {
			k.alone(g, pack.Copy, gpa, binary.LittleEndian.AppendUint64(append(sum, print[:]...), from))
			return
		}
	}
	if !compress {
		k.arena = k.arena[:start+guestmem.PageSize]
		k.raw(g, gpa, page)
		if k.using.copies {
			k.copies.Add(print, gpa)
		}
		return
	}
	l := &k.lanes[k.at]
	l.codec = k.using.block
	l.add(gpa, page, print)
	if !l.full() {
		return
	}
	if k.at++; k.at == len(k.lanes) {
		k.finish(g)
	}
}

// alone puts a page that is packed by itself. Its bytes stand in the arena behind its copy, and take the place of that.
func (k *packer) alone(g gatherer, c pack.Codec, gpa uint64, packed []byte) {
	start := len(k.arena)
	binary.LittleEndian.PutUint32(packed, crc32.Checksum(k.arena[start:start+guestmem.PageSize], castagnoli))
	k.arena = append(k.arena, packed...)
	k.one[0] = run{gpa: gpa, size: guestmem.PageSize, kind: wireKind(c), packed: uint32(len(packed))}
	k.count(c, guestmem.PageSize, len(packed))
	g.put(k.one[:], k.arena[start:])
}

// raw puts pages as they are.
func (k *packer) raw(g gatherer, gpa uint64, pages []byte) {
	k.one[0] = run{gpa: gpa, size: uint64(len(pages)), kind: wireData}
	g.put(k.one[:], pages)
}

// finish puts what is held back.
func (k *packer) finish(g gatherer) {
	if k == nil || len(k.lanes) == 0 || len(k.lanes[0].runs) == 0 {
		return
	}
	lanes := k.lanes[:min(k.at+1, len(k.lanes))]
	if last := len(lanes) - 1; len(lanes[last].runs) == 0 {
		lanes = lanes[:last]
	}
	began := time.Now()
	compress(lanes)
	took := time.Since(began)
	in, out := 0, 0
	for i := range lanes {
		l := &lanes[i]
		in += len(l.block)
		out += l.size()
		start := len(k.arena)
		if l.smaller {
			k.arena = append(k.arena, l.packed...)
			l.runs[len(l.runs)-1].packed = uint32(len(l.packed))
			k.count(l.codec, len(l.block), len(l.packed))
			g.put(l.runs, k.arena[start:])
		} else {
			k.arena = append(k.arena, l.block...)
			for _, r := range l.runs {
				k.raw(g, r.gpa, k.arena[start:start+int(r.size)])
				start += int(r.size)
			}
		}
	}
	k.all.note(lanes[0].codec, in, out, took)
	for i := range lanes {
		if k.using.copies { // only what was put can be referred to
			lanes[i].remember(&k.copies)
		}
		lanes[i].reset()
	}
	k.at = 0
}

// count counts pages that were packed.
func (k *packer) count(c pack.Codec, in, out int) {
	k.counts[c].Pages += uint64(in) / guestmem.PageSize
	k.counts[c].InBytes += uint64(in)
	k.counts[c].OutBytes += uint64(out)
}

// sent is told that the frame has been written, and that the next one is gathered.
func (k *packer) sent() {
	if k == nil {
		return
	}
	k.all.add(&k.counts)
	k.arena = k.arena[:0]
	k.choose()
}

// appendRun appends a run, or makes the last one longer.
func appendRun(runs []run, r run) []run {
	if n := len(runs); n > 0 && runs[n-1].gpa+runs[n-1].size == r.gpa {
		runs[n-1].size += r.size
		return runs
	}
	return append(runs, r)
}

// pack adds a run of data page by page.
func (w *pageWriter) pack(r guestmem.Run) error {
	for left := r.Bytes; len(left) > 0; left = left[guestmem.PageSize:] {
		if !w.packer.active() { // from a frame on
			r.GPA, r.Size, r.Bytes = r.GPA+r.Size-uint64(len(left)), uint64(len(left)), left
			return w.add(r)
		}
		w.packer.page(w, r.GPA+r.Size-uint64(len(left)), left[:guestmem.PageSize])
		if w.bytes >= packedBytes || len(w.table)+2*maxLanes*maxBlockRuns*runSize > cap(w.table) {
			if err := w.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// put implements gatherer.
func (w *pageWriter) put(runs []run, data []byte) {
	w.bytes += uint64(len(data))
	w.table, w.data = appendRuns(w.table, w.data, &w.totals, runs, data)
}

// appendRuns adds runs, of which the last has data, to a frame, and counts them. Where data goes on in memory as in the guest, its run is made
// longer.
func appendRuns(table []byte, all [][]byte, t *roundTotals, runs []run, data []byte) ([]byte, [][]byte) {
	for _, r := range runs {
		t.add(r.kind, r.size)
		if r.kind >= wirePacked {
			t.Saved += r.size
		}
	}
	if last := runs[len(runs)-1]; last.kind >= wirePacked {
		t.Saved -= uint64(len(data))
	} else if n, m := len(table), len(all); n > 0 && m > 0 {
		before, bytes := parseRun(table[n-runSize:]), all[m-1]
		if before.kind == wireData && before.gpa+before.size == last.gpa && cap(bytes) >= len(bytes)+len(data) &&
			&bytes[:len(bytes)+1][len(bytes)] == &data[0] {
			before.size += last.size
			before.put(table[n-runSize:])
			all[m-1] = bytes[:len(bytes)+len(data)]
			return table, all
		}
	}
	for _, r := range runs {
		n := len(table)
		table = table[:n+runSize]
		r.put(table[n:])
	}
	return table, append(all, data)
}
