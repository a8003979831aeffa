package migration

import (
	"bytes"
	"errors"
	"testing"

	"github.com/ferryvmm/ferry/guestmem"
)

// TestGate plays frames of several channels in order; bulk is 0.
func TestGate(t *testing.T) {
	type step struct {
		channel int
		frame   Frame
		whole   bool
		want    error
	}
	page := make([]byte, 4096)
	pages := func(round uint32, final bool) Frame { return PagesFrame(round, final, 0, 4096, wireData, page) }
	end := func(round uint32, final bool, frames uint64, others uint32) Frame {
		f := EndOfRound(round, final, frames, frames, 0, 0)
		f.Count = others
		return f
	}
	for name, steps := range map[string][]step{
		"bulk ends first": {{0, pages(0, false), false, nil}, {1, pages(0, false), false, nil}, {0, end(0, false, 1, 1), false, nil},
			{1, end(0, false, 1, 0), true, nil}, {0, end(1, true, 0, 0), true, nil}},
		"bulk ends last": {{1, pages(0, true), false, nil}, {1, end(0, true, 1, 0), false, nil}, {2, end(0, true, 0, 0), false, nil}, {0, end(0, true, 0, 2), true, nil}},
		"bulk ahead":     {{1, pages(0, false), false, nil}, {0, end(0, false, 0, 1), false, nil}, {0, pages(1, false), false, ErrProtocol}},
		"another ahead":  {{1, end(0, false, 0, 0), false, nil}, {1, pages(1, false), false, ErrProtocol}},
		"behind its end": {{1, end(0, false, 0, 0), false, nil}, {1, pages(0, false), false, ErrProtocol}},
		"too late":       {{0, end(0, false, 0, 0), true, nil}, {1, pages(0, false), false, ErrProtocol}},
		"one too many":   {{1, end(0, false, 0, 0), false, nil}, {0, end(0, false, 0, 0), false, ErrProtocol}},
		"far too many":   {{0, end(0, false, 0, MaxChannels), false, ErrProtocol}},
		"of two kinds":   {{0, pages(0, false), false, nil}, {1, pages(0, true), false, ErrProtocol}},
		"left to pull":   {{1, PagesFrame(0, true, 0, 4096, wireMissing, nil), false, ErrProtocol}},
		"a blob":         {{1, Frame{Type: byte(frameBlob), Flags: flagLast}, false, ErrProtocol}},
		"after the last": {{0, end(0, true, 0, 0), true, nil}, {1, pages(1, true), false, ErrProtocol}},
	} {
		g := newGate()
		readers := make([]*bulkReader, 3)
		for i := range readers {
			readers[i] = &bulkReader{pages: newPageReader(nil, new(sink), testLayout, g)}
			readers[i].pages.pull, readers[i].pages.branch = nothing{}, i > 0
		}
		readers[0].blobs = new(blobs)
		for i, s := range steps {
			in := newInlet(bytes.NewReader(BuildStream([]Frame{s.frame})), bulkBuffer)
			if err := in.fill(streamHeaderSize); err != nil {
				t.Fatal(err)
			}
			in.take(streamHeaderSize)
			r := readers[s.channel]
			r.in, r.pages.in = in, in
			h, err := in.next()
			if err != nil {
				t.Fatal(err)
			}
			_, whole, err := r.handle(h)
			if whole != s.whole || !errors.Is(err, s.want) {
				t.Errorf("%s, step %d: got %v, %v; want %v, %v", name, i, whole, err, s.whole, s.want)
			}
		}
	}
}

// nothing is a pullSink that does nothing.
type nothing struct{}

func (nothing) Map(uint64, uint64) error    { return nil }
func (nothing) Miss([]guestmem.Range) error { return nil }
