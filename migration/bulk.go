package migration

import (
	"fmt"
	"net"

	"github.com/ferryvmm/ferry/guestmem"
)

// bulkReader reads the frames of one channel of a push.
type bulkReader struct {
	in    *inlet
	pages *pageReader
	blobs *blobs // nil: a channel beside bulk
}

func (b *bulkReader) begin(m *guestmem.Memory, layout guestmem.Layout, wanted *blobs) {
	b.pages = newPageReader(b.in, m, layout, newGate())
	b.blobs = wanted
}

// handle takes one bulk frame. ended says that a round is whole with it, of which round tells.
func (b *bulkReader) handle(h header) (round Round, ended bool, err error) {
	switch {
	case h.Type == framePages:
		return Round{}, false, b.pages.pages(h)
	case h.Type == frameBlob && b.blobs != nil:
		p, err := b.in.payload(h)
		if err != nil {
			return Round{}, false, err
		}
		return Round{}, false, b.blobs.take(h, p)
	case h.Type == frameRoundEnd:
		if b.blobs != nil && h.Flags&flagFinal != 0 {
			if err := b.blobs.complete(); err != nil {
				return Round{}, false, err
			}
		}
		return b.pages.roundEnd(h)
	}
	return Round{}, false, fmt.Errorf("%w: %v on the bulk connection", ErrProtocol, h.Type)
}

// read takes frames up to the end of the last round.
func (b *bulkReader) read(ended func(Round)) error {
	defer b.pages.unpack.close()
	for !b.pages.done {
		h, err := b.in.next()
		if err != nil {
			return err
		}
		round, whole, err := b.handle(h)
		if err != nil {
			return err
		}
		if whole {
			ended(round)
		}
	}
	return nil
}

// readBulk reads the bulk connection, which is one of a link, up to the end of the last round, and then what is pulled: by
// then another link may have taken its place.
func (r *receiver) readBulk(l *link, conn net.Conn) {
	defer r.wg.Done()
	if err := r.bulk.read(r.roundEnded); err != nil {
		r.fail(bulkError(err))
		return
	}
	if len(r.bulk.pages.missing) > 0 {
		r.pull.take(l, conn, r.bulk.in)
	}
}

// roundEnded brings in that a round is in place.
func (r *receiver) roundEnded(round Round) {
	event := gotRoundEnd
	if r.bulk.pages.gate.whole() {
		event = gotAllPages
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rounds.add(round)
	r.postLocked(targetInput{event: event, left: len(r.bulk.pages.missing) > 0})
}
