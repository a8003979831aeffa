package migration

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/ferryvmm/ferry/guestmem"
)

// roomy is memory with room for whole blocks, as where there are huge pages for them.
type roomy struct {
	ram
	block  uint64
	filled uint64 // bytes
}

func (m *roomy) Expect(gpa, size uint64) (uint64, []byte) {
	from, to := (gpa+m.block-1)/m.block*m.block, (gpa+size)/m.block*m.block
	if from >= to {
		return 0, nil
	}
	return from, m.ram[from:to]
}

func (m *roomy) Filled(_, size uint64) error {
	m.filled += size
	return nil
}

// TestPlaceWhereItBelongs sends runs of all lengths, of which whole blocks have room of their own, and cuts the stream anywhere.
func TestPlaceWhereItBelongs(t *testing.T) {
	const pages, block = 4000, 64 * guestmem.PageSize
	r := rand.New(rand.NewPCG(2, 3))
	from := make(ram, pages*guestmem.PageSize)
	change := make(map[int]bool)
	for n, some := 0, true; n < pages; some = !some {
		for range 1 + r.IntN(400) {
			if n < pages && some {
				content(from.page(n), 3, r)
				change[n] = true
			}
			n++
		}
	}
	for _, final := range []bool{false, true} { // with sums
		var wire bytes.Buffer
		sent, err := newPageWriter(newOutlet(&wire)).round(0, final, dirty(from, change))
		if err != nil {
			t.Fatal(err)
		}
		whole := bytes.Clone(wire.Bytes())
		to := &roomy{ram: make(ram, len(from)), block: block}
		got, err := readRound(newPageReader(newInlet(&wire, bulkBuffer), to, to.layout(), newGate()))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(from, to.ram) || got.Pages != sent.pages() {
			t.Errorf("got other memory, or %d pages of %d", got.Pages, sent.pages())
		}
		if to.filled < uint64(len(from))/4 || to.filled%block != 0 {
			t.Errorf("got %d bytes filled where they belong; want most of them, in whole blocks", to.filled)
		}
		for range 20 {
			cut := whole[:r.IntN(len(whole))]
			to := &roomy{ram: make(ram, len(from)), block: block}
			_, err := readRound(newPageReader(newInlet(bytes.NewReader(cut), bulkBuffer), to, to.layout(), newGate()))
			if err == nil || to.filled > uint64(len(cut)) {
				t.Errorf("cut at %d: got %v, %d bytes filled; want an error, and no more filled than came", len(cut), err, to.filled)
			}
		}
		bad := bytes.Clone(whole)
		bad[len(bad)/2] ^= 4
		to = &roomy{ram: make(ram, len(from)), block: block}
		if _, err := readRound(newPageReader(newInlet(bytes.NewReader(bad), bulkBuffer), to, to.layout(), newGate())); final && !errors.Is(err, ErrCorrupt) {
			t.Errorf("altered: got %v; want ErrCorrupt", err)
		}
	}
}
