package migration

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration/pack"
)

// library is one disk image, number 2, and which pages came from it.
type library struct {
	image ram

	mu   sync.Mutex // guards from
	from map[uint64]Origin
}

func newLibrary(pages int) *library {
	l := &library{image: make(ram, pages*guestmem.PageSize), from: make(map[uint64]Origin)}
	r := rand.New(rand.NewPCG(7, 8))
	for n := range pages {
		content(l.image.page(n), 3, r)
	}
	return l
}

func (l *library) Origin(gpa uint64) (Origin, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o, ok := l.from[gpa]
	return o, ok
}

func (l *library) Note(gpa uint64, from Origin) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.from[gpa] = from
}

func (l *library) ReadPage(page []byte, from Origin) error {
	if from.Image != 2 {
		return fmt.Errorf("no image %d", from.Image)
	}
	if from.Offset >= uint64(len(l.image)) {
		return fmt.Errorf("image 2 has no page at %d", from.Offset)
	}
	return l.image.ReadAt(page, from.Offset)
}

// read has the guest read pages of the image.
func (l *library) read(m ram, at, first, pages int) {
	for n := range pages {
		copy(m.page(at+n), l.image.page(first+n))
		l.Note(uint64(at+n)*guestmem.PageSize, Origin{Image: 2, Offset: uint64(first+n) * guestmem.PageSize})
	}
}

// TestImagePages: pages that were read from an image go by reference while they are what it has, in every round but the last, and not in a pull; the target knows
// then where they came from. In between they are written, become differences, and are read again.
func TestImagePages(t *testing.T) {
	const pages = 300
	source, target := newLibrary(200), newLibrary(200)
	from, to := make(ram, pages*guestmem.PageSize), make(ram, pages*guestmem.PageSize)
	x := newPacked(CompressAuto, to, uint64(len(to)))
	x.packer = newPacking(CompressAuto, ourCodecs(source), testHello.Move, uint64(len(to)), source, slowly)
	x.w.packer = x.packer.packer(false)
	x.r.unpack = newUnpacker(to, to.layout(), target, testHello.Move)
	defer x.r.unpack.close()
	r := rand.New(rand.NewPCG(1, 1))
	all := make(map[int]bool)
	for n := range pages {
		content(from.page(n), 3, r)
		all[n] = true
	}
	source.read(from, 50, 0, 200)
	some := func(first, n int) map[int]bool {
		m := make(map[int]bool)
		for i := range n {
			m[first+i] = true
		}
		return m
	}
	for round, tc := range []struct {
		change func()
		dirty  map[int]bool
		want   uint64 // pages by reference
	}{
		{func() {}, all, 200},
		{func() { from.page(60)[9]++ }, some(55, 10), 9},
		{func() { from.page(60)[9]-- }, some(60, 1), 1},
		{func() { from.page(60)[9]++ }, some(60, 1), 0},
		{func() { source.read(from, 0, 100, 20) }, some(0, 20), 20},
		{func() {}, some(0, 20), 0}, // the last
	} {
		tc.change()
		x.packer.counts[pack.Image] = CodecCount{}
		if _, err := x.w.round(uint32(round), round == 5, dirty(from, tc.dirty)); err != nil {
			t.Fatal(err)
		}
		if _, err := readRound(x.r); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
		if !bytes.Equal(from, to) {
			t.Fatalf("round %d: the memory is another", round)
		}
		if got := x.packer.counts[pack.Image].Pages; got != tc.want {
			t.Errorf("round %d: got %d pages by reference; want %d", round, got, tc.want)
		}
	}
	if len(target.from) < 200 {
		t.Errorf("the target knows of %d pages where they came from; want 200", len(target.from))
	}
	if k := x.packer.packer(true); k.using.images {
		t.Error("a pull refers to images")
	}
	for what, a := range map[string]*packing{
		"a target without": newPacking(CompressAuto, ourCodecs(nil), testHello.Move, 1<<20, source, slowly),
		"a source without": newPacking(CompressAuto, ourCodecs(source), testHello.Move, 1<<20, nil, slowly),
		"another codec":    newPacking(CompressS2, ourCodecs(source), testHello.Move, 1<<20, source, slowly),
	} {
		if k := a.packer(false); k.using.images {
			t.Errorf("%s: images are referred to", what)
		}
	}
}

// TestImageThatDiffers: a page that an image does not have here makes none.
func TestImageThatDiffers(t *testing.T) {
	const differs, protocol = "image_differs", "protocol"
	for name, tc := range map[string]struct {
		images Images
		from   Origin
		want   string
	}{
		"there":         {newLibrary(4), Origin{Image: 2}, ""},
		"another page":  {newLibrary(4), Origin{Image: 2, Offset: guestmem.PageSize}, differs},
		"behind it":     {newLibrary(4), Origin{Image: 2, Offset: 4 * guestmem.PageSize}, differs},
		"far behind it": {newLibrary(4), Origin{Image: 2, Offset: 1<<64 - guestmem.PageSize}, differs},
		"no such image": {newLibrary(4), Origin{Image: 3}, differs},
		"within a page": {newLibrary(4), Origin{Image: 2, Offset: 8}, protocol},
		"no images":     {nil, Origin{Image: 2}, protocol},
	} {
		page := newLibrary(4).image.page(0)
		u := newUnpacker(nil, nil, tc.images, testHello.Move)
		packed := tc.from.append(binary.LittleEndian.AppendUint32(nil, crc32.Checksum(page, castagnoli)), u.print.Print(page))
		if !u.take(run{size: guestmem.PageSize, kind: wireKind(pack.Image), packed: uint32(len(packed))}) {
			t.Fatal("the block has no end")
		}
		_, pages, err := u.unpack(packed)
		if err == nil && !bytes.Equal(pages, page) {
			t.Errorf("%s: got another page", name)
		}
		got := ""
		if r, ok := errors.AsType[*Refusal](err); ok {
			got = r.Code
		} else if errors.Is(err, ErrProtocol) {
			got = protocol
		}
		if got != tc.want {
			t.Errorf("%s: got %v; want %q", name, err, tc.want)
		}
	}
}
