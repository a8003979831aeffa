package migration

import (
	"fmt"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
)

// bulkReader reads the bulk frames of a move.
type bulkReader struct {
	in    *inlet
	pages *pageReader
	blobs *blobs
	began time.Time // the round
}

func (b *bulkReader) begin(m *guestmem.Memory, layout guestmem.Layout, wanted *blobs) {
	b.pages = newPageReader(b.in, m, layout)
	b.blobs = wanted
	b.began = time.Now()
}

// handle takes one bulk frame. ended says that it ended a round, of which round tells.
func (b *bulkReader) handle(h header) (round Round, ended bool, err error) {
	switch h.Type {
	case framePages:
		return Round{}, false, b.pages.pages(h)
	case frameBlob:
		p, err := b.in.payload(h)
		if err != nil {
			return Round{}, false, err
		}
		return Round{}, false, b.blobs.take(h, p)
	case frameRoundEnd:
		t, err := b.pages.roundEnd(h)
		if err != nil {
			return Round{}, false, err
		}
		if b.pages.done {
			if err := b.blobs.complete(); err != nil {
				return Round{}, false, err
			}
		}
		now := time.Now()
		round = Round{Pages: t.pages(), Bytes: t.payload(), MS: milliseconds(now.Sub(b.began))}
		b.began = now
		return round, true, nil
	}
	return Round{}, false, fmt.Errorf("%w: %v on the bulk connection", ErrProtocol, h.Type)
}

// readBulk reads the bulk connection up to the end of the last round.
func (r *receiver) readBulk() {
	defer r.wg.Done()
	defer r.bulk.pages.unpack.close()
	for !r.bulk.pages.done {
		h, err := r.bulk.in.next()
		var round Round
		var ended bool
		if err == nil {
			round, ended, err = r.bulk.handle(h)
		}
		if err != nil {
			r.fail(bulkError(err))
			return
		}
		if ended {
			r.roundEnded(round)
		}
	}
	if len(r.bulk.pages.missing) > 0 {
		r.pull.take(r.link, r.Bulk, r.bulk.in)
	}
}

// roundEnded brings in that a round is in place.
func (r *receiver) roundEnded(round Round) {
	event := gotRoundEnd
	if r.bulk.pages.done {
		event = gotAllPages
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rounds.add(round)
	r.postLocked(targetInput{event: event, left: len(r.bulk.pages.missing) > 0})
}
