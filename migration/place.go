package migration

import (
	"fmt"
	"hash/crc32"

	"github.com/ferryvmm/ferry/guestmem"
)

// pageSink takes the pages of a guest that arrives. *guestmem.Memory is one.
type pageSink interface {
	Expect(gpa, size uint64) (at uint64, room []byte)
	Filled(gpa, size uint64) error
	Place(gpa uint64, p []byte) error
	PlaceHole(gpa, size uint64) error
}

var _ pageSink = (*guestmem.Memory)(nil)

// pullSink is what takes pages after the guest has started. *guestmem.Pull is one.
type pullSink interface {
	Map(gpa, size uint64) error
	Miss([]guestmem.Range) error
}

var _ pullSink = (*guestmem.Pull)(nil)

// pageReader places the pages of Pages frames and checks the rounds.
type pageReader struct {
	in     *inlet
	sink   pageSink
	layout guestmem.Layout
	table  []byte
	pull   pullSink  // nil: no page may be missing
	unpack *unpacker // nil: no page may be packed
	// missing, in ascending order, is what the source left for the target to pull.
	missing []guestmem.Range

	gate   *gate  // of all channels
	branch bool   // a channel beside bulk: it leaves nothing to be pulled
	next   uint32 // the first round that this channel has not ended
	done   bool   // it has ended the final round
	totals roundTotals
}

func newPageReader(in *inlet, sink pageSink, layout guestmem.Layout, g *gate) *pageReader {
	return &pageReader{in: in, sink: sink, layout: layout, table: make([]byte, 0, maxRuns*runSize), gate: g}
}

// pages places one Pages frame.
func (p *pageReader) pages(h header) error {
	if err := p.gate.pass(h, p.next); err != nil {
		return err
	}
	var err error
	if p.table, err = p.in.runTable(h, p.table, p.layout); err != nil {
		return err
	}
	if h.Flags&flagPacked != 0 && p.unpack == nil {
		return fmt.Errorf("%w: packed pages, which were not agreed on", ErrProtocol)
	}
	sum := uint32(0)
	for t := p.table; len(t) > 0; t = t[runSize:] {
		r := parseRun(t)
		p.totals.add(r.kind, r.size)
		if r.kind == wireMissing {
			if err := p.miss(r); err != nil {
				return err
			}
			continue
		}
		if r.kind >= wirePacked {
			if err := p.block(h, r, &sum); err != nil {
				return err
			}
			continue
		}
		if r.kind != wireData {
			if err := p.sink.PlaceHole(r.gpa, r.size); err != nil {
				return &localError{err}
			}
			continue
		}
		if err := p.data(h, r, &sum); err != nil {
			return err
		}
	}
	if h.Flags&flagSummed != 0 && sum != h.DataSum {
		return fmt.Errorf("%w: pages of frame %d", ErrCorrupt, h.Seq)
	}
	p.totals.Frames++
	return nil
}

// data places a run of pages that follow as they are: those for which there are huge pages right where they belong.
func (p *pageReader) data(h header, r run, sum *uint32) error {
	at, room := p.sink.Expect(r.gpa, r.size)
	if len(room) == 0 {
		return p.buffered(h, r.gpa, r.size, sum)
	}
	if err := p.buffered(h, r.gpa, at-r.gpa, sum); err != nil {
		return err
	}
	if err := p.in.into(room); err != nil {
		return err
	}
	if h.Flags&flagSummed != 0 {
		*sum = crc32.Update(*sum, castagnoli, room)
	}
	if err := p.filled(at, uint64(len(room))); err != nil {
		return err
	}
	behind := at + uint64(len(room))
	return p.buffered(h, behind, r.gpa+r.size-behind, sum)
}

// buffered places pages by way of the buffer.
func (p *pageReader) buffered(h header, gpa, size uint64, sum *uint32) error {
	for size > 0 {
		b, err := p.in.pages(size)
		if err != nil {
			return err
		}
		if h.Flags&flagSummed != 0 {
			*sum = crc32.Update(*sum, castagnoli, b)
		}
		if err := p.place(gpa, b); err != nil {
			return err
		}
		gpa, size = gpa+uint64(len(b)), size-uint64(len(b))
	}
	return nil
}

// place puts pages in place.
func (p *pageReader) place(gpa uint64, b []byte) error {
	if err := p.sink.Place(gpa, b); err != nil {
		return &localError{err}
	}
	return p.mapped(gpa, uint64(len(b)))
}

// filled is told of pages that are in place.
func (p *pageReader) filled(gpa, size uint64) error {
	if err := p.sink.Filled(gpa, size); err != nil {
		return &localError{err}
	}
	return p.mapped(gpa, size)
}

// mapped lets the guest have pages.
func (p *pageReader) mapped(gpa, size uint64) error {
	if p.pull != nil {
		if err := p.pull.Map(gpa, size); err != nil {
			return &localError{err}
		}
	}
	return nil
}

// miss notes a run that is to be pulled. Ascending order bounds their number.
func (p *pageReader) miss(r run) error {
	if p.pull == nil || p.branch {
		return fmt.Errorf("%w: pages are left to pull, which was not agreed on", ErrProtocol)
	}
	n := len(p.missing)
	if n > 0 && r.gpa < p.missing[n-1].End() {
		return fmt.Errorf("%w: missing pages at %#x behind those at %#x", ErrProtocol, r.gpa, p.missing[n-1].GPA)
	}
	if n > 0 && r.gpa == p.missing[n-1].End() && within(p.layout, p.missing[n-1].GPA, p.missing[n-1].Size+r.size) {
		p.missing[n-1].Size += r.size
		return nil
	}
	p.missing = append(p.missing, guestmem.Range{GPA: r.gpa, Size: r.size})
	return nil
}

// roundEnd checks a RoundEnd frame against what came over this channel. whole says that the round is whole with it, over
// all channels.
func (p *pageReader) roundEnd(h header) (round Round, whole bool, err error) {
	if err := p.gate.pass(h, p.next); err != nil {
		return Round{}, false, err
	}
	b, err := p.in.payload(h)
	if err != nil {
		return Round{}, false, err
	}
	want, err := parseRoundTotals(b)
	if err != nil {
		return Round{}, false, err
	}
	if want.Saved = p.totals.Saved; p.totals != want {
		return Round{}, false, fmt.Errorf("%w: round %d: %+v came of %+v", ErrProtocol, h.Round, p.totals, want)
	}
	p.next = h.Round + 1
	p.done = h.Flags&flagFinal != 0
	p.totals = roundTotals{}
	others := -1
	if !p.branch {
		others = int(min(h.Count, MaxChannels))
	}
	return p.gate.end(others, want)
}
