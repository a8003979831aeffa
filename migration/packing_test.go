package migration

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration/pack"
)

// slowly is a link for which packing is worth it, however busy the processors are.
var slowly = packingLink{func(bool) float64 { return 1e6 }, func() pack.Flow { return pack.Flow{} }, 1e6}

// ram is memory without holes: a pageSink, and what deltas are based on.
type ram []byte

func (ram) Expect(uint64, uint64) (uint64, []byte) { return 0, nil }
func (ram) Filled(uint64, uint64) error            { return nil }

func (m ram) Place(gpa uint64, p []byte) error {
	copy(m[gpa:], p)
	return nil
}

func (m ram) PlaceHole(gpa, size uint64) error {
	clear(m[gpa : gpa+size])
	return nil
}

func (m ram) ReadAt(p []byte, gpa uint64) error {
	copy(p, m[gpa:])
	return nil
}

func (m ram) layout() guestmem.Layout { return guestmem.Layout{{GPA: 0, Size: uint64(len(m))}} }

// page is that of a number.
func (m ram) page(n int) []byte { return m[n*guestmem.PageSize : (n+1)*guestmem.PageSize] }

// content fills a page with something of a kind.
func content(p []byte, kind int, r *rand.Rand) {
	switch kind {
	case 0:
		clear(p)
	case 1: // few words
		for i := 0; i < len(p); i += 8 {
			binary.LittleEndian.PutUint64(p[i:], 0x1234567812345678*uint64(r.IntN(4)))
		}
	case 2: // text
		for i := 0; i < len(p); i += 8 {
			copy(p[i:], "the page of a guest migrates"[r.IntN(20):])
			p[i] = byte('a' + r.IntN(26))
		}
	default:
		for i := 0; i < len(p); i += 8 {
			binary.LittleEndian.PutUint64(p[i:], r.Uint64())
		}
	}
}

// dirty is a pageSource of some pages of memory.
func dirty(m ram, pages map[int]bool) *script {
	var runs []guestmem.Run
	for n := range len(m) / guestmem.PageSize {
		if !pages[n] {
			continue
		}
		k := guestmem.Run{GPA: uint64(n) * guestmem.PageSize, Kind: guestmem.Data, Size: guestmem.PageSize, Bytes: m.page(n)}
		if bytes.Equal(k.Bytes, zeros[:]) {
			k.Kind, k.Bytes = guestmem.Zero, nil
			if n%2 == 0 {
				k.Kind = guestmem.Hole
			}
		}
		if l := len(runs) - 1; l >= 0 && k.Kind == guestmem.Data && runs[l].Kind == k.Kind && runs[l].GPA+runs[l].Size == k.GPA {
			runs[l].Size += k.Size
			runs[l].Bytes = m[runs[l].GPA : runs[l].GPA+runs[l].Size]
			continue
		}
		runs = append(runs, k)
	}
	var s script
	for len(runs) > 0 {
		n := min(len(runs), gather)
		s, runs = append(s, runs[:n]), runs[n:]
	}
	return &s
}

// packed is the two ends of a push with packed pages.
type packed struct {
	wire   bytes.Buffer
	packer *packing
	w      *pageWriter
	r      *pageReader
}

// newPacked packs for a target with that memory; the copies that are kept are those of a guest of some bytes.
func newPacked(how Compression, to ram, guest uint64) *packed {
	x := new(packed)
	x.w = newPageWriter(newOutlet(&x.wire))
	x.packer = newPacking(how, ourCodecs(nil), testHello.Move, guest, nil, slowly)
	x.w.packer = x.packer.packer(false)
	x.r = newPageReader(newInlet(&x.wire, bulkBuffer), to, to.layout(), newGate())
	x.r.unpack = newUnpacker(to, to.layout(), nil, testHello.Move)
	return x
}

// TestPacking sends memory that changes in rounds, some of it by other ways than packed pages, and compares after each.
func TestPacking(t *testing.T) {
	const pages, rounds = 2000, 6
	for _, how := range compressions {
		t.Run(string(how), func(t *testing.T) {
			r := rand.New(rand.NewPCG(5, 6))
			from, to := make(ram, pages*guestmem.PageSize), make(ram, pages*guestmem.PageSize)
			x := newPacked(how, to, uint64(len(to)))
			defer x.r.unpack.close()
			all, bytesSent := make(map[int]bool), uint64(0)
			for n := range pages {
				all[n] = true
				content(from.page(n), r.IntN(4), r)
				if n > 0 && r.IntN(4) == 0 {
					copy(from.page(n), from.page(r.IntN(n)))
				}
			}
			for round := range uint32(rounds) {
				change := all
				if round > 0 {
					change = make(map[int]bool)
					for range pages / 4 {
						n := r.IntN(pages / 2)
						change[n] = true
						switch r.IntN(6) {
						case 0:
							content(from.page(n), r.IntN(4), r)
						case 1: // written, and the same
						case 2:
							copy(from.page(n), from.page(r.IntN(pages)))
						default:
							from.page(n)[r.IntN(guestmem.PageSize)]++
						}
					}
				}
				sent, err := x.w.round(round, round == rounds-1, dirty(from, change))
				if err != nil {
					t.Fatal(err)
				}
				got, err := readRound(x.r)
				if err != nil {
					t.Fatalf("round %d: %v", round, err)
				}
				bytesSent += got.Bytes
				if got.Pages != sent.pages() || got.Bytes != sent.payload() || sent.payload() > sent.bytes() {
					t.Errorf("round %d: got %+v; want %+v", round, got, sent)
				}
				if !bytes.Equal(from, to) {
					t.Fatalf("round %d: the memory is another", round)
				}
				if round > 0 && (how == CompressDelta || how == CompressAuto) && sent.payload() > sent.bytes()*9/10 {
					t.Errorf("round %d: %d bytes sent of %d; want a tenth less", round, sent.payload(), sent.bytes())
				}
			}
			if how == CompressOff {
				return
			}
			if bytesSent == 0 || bytesSent > pages*guestmem.PageSize*3/2 {
				t.Errorf("got %d bytes of payload", bytesSent)
			}
			for c := pack.Words; c < pack.Codecs; c++ {
				some := x.packer.counts[c].Pages > 0
				if want := string(how) == c.String(); how != CompressAuto && some != want || how == CompressAuto && c != pack.S2 && c != pack.Zstd && c != pack.Image && !some {
					t.Errorf("got %d pages by %v", x.packer.counts[c].Pages, c)
				}
			}
		})
	}
}

// TestPackedPagesAreSummed: no altered byte of what is packed makes another page, and the error names it.
func TestPackedPagesAreSummed(t *testing.T) {
	const pages = 40
	r := rand.New(rand.NewPCG(7, 8))
	for how, kind := range map[Compression]int{CompressS2: 2, CompressZstd: 2, CompressDelta: 2, CompressAuto: 1} {
		from, all := make(ram, pages*guestmem.PageSize), make(map[int]bool)
		for n := range pages {
			all[n] = true
			content(from.page(n), kind, r)
		}
		to := make(ram, len(from))
		x := newPacked(how, to, 64<<20)
		x.w.packer.begin(0, false)
		if how == CompressDelta { // what came before
			if _, err := x.w.round(0, false, dirty(from, all)); err != nil {
				t.Fatal(err)
			}
			if _, err := readRound(x.r); err != nil {
				t.Fatal(err)
			}
			for n := range pages {
				from.page(n)[77]++
			}
		}
		round, seq := x.r.next, x.r.in.seq
		if _, err := x.w.round(round, false, dirty(from, all)); err != nil {
			t.Fatal(err)
		}
		good := bytes.Clone(x.wire.Bytes())
		before := bytes.Clone(to)
		for range 300 {
			bad := bytes.Clone(good)
			at := r.IntN(len(bad))
			bad[at] ^= 1 << r.IntN(8)
			target := ram(bytes.Clone(before))
			p := newPageReader(newInlet(bytes.NewReader(bad), bulkBuffer), target, x.r.layout, newGate())
			p.unpack, p.gate.round, p.in.seq = newUnpacker(target, target.layout(), nil, testHello.Move), round, seq
			_, err := readRound(p)
			p.unpack.close()
			if err == nil && bytes.Equal(target, from) { // bits that mean nothing
				continue
			}
			if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrTruncated) && !errors.Is(err, io.EOF) {
				t.Fatalf("%s: byte %d of %d: got %v; want ErrCorrupt", how, at, len(bad), err)
			}
			if errors.Is(err, pack.ErrDamaged) && !strings.Contains(err.Error(), "pages at 0x") {
				t.Errorf("%s: %v names no page", how, err)
			}
		}
	}
}

// TestCopyOfAnotherPage: a reference to a page that is not in place makes no page.
func TestCopyOfAnotherPage(t *testing.T) {
	for name, tc := range map[string]struct {
		from uint64 // address
		want error
	}{
		"there": {0, nil}, "altered": {0, ErrCorrupt}, "not sent": {2 * guestmem.PageSize, ErrCorrupt}, "within a page": {8, ErrProtocol},
		"outside": {9 * guestmem.PageSize, ErrProtocol},
	} {
		to := make(ram, 4*guestmem.PageSize)
		content(to.page(0), 3, rand.New(rand.NewPCG(1, 1)))
		u := newUnpacker(to, to.layout(), nil, testHello.Move)
		p := u.print.Print(to.page(0))
		packed := binary.LittleEndian.AppendUint32(nil, crc32.Checksum(to.page(0), castagnoli))
		packed = binary.LittleEndian.AppendUint64(append(packed, p[:]...), tc.from)
		if name == "altered" {
			to[0]++
		}
		if !u.take(run{gpa: guestmem.PageSize, size: guestmem.PageSize, kind: wireKind(pack.Copy), packed: copySize}) {
			t.Fatal("the block has no end")
		}
		if _, pages, err := u.unpack(packed); !errors.Is(err, tc.want) || err == nil && !bytes.Equal(pages, to.page(0)) {
			t.Errorf("%s: got %v; want %v", name, err, tc.want)
		}
	}
}

// TestDeltaOfAnotherBase: a difference to what is not in place makes no page.
func TestDeltaOfAnotherBase(t *testing.T) {
	from, to := make(ram, guestmem.PageSize), make(ram, guestmem.PageSize)
	content(from, 3, rand.New(rand.NewPCG(1, 1)))
	x := newPacked(CompressDelta, to, 64<<20)
	for round := range uint32(2) {
		if _, err := x.w.round(round, false, dirty(from, map[int]bool{0: true})); err != nil {
			t.Fatal(err)
		}
		_, err := readRound(x.r)
		if round == 0 && err != nil || round == 1 && !errors.Is(err, ErrCorrupt) {
			t.Errorf("round %d: got %v; want ErrCorrupt in round 1", round, err)
		}
		from[8]++
		to[800]++
	}
}

func TestHostileBlocks(t *testing.T) {
	block := func(c pack.Codec, gpa, size uint64, packed int) run {
		return run{gpa: gpa, size: size, kind: wireKind(c), packed: uint32(packed)}
	}
	page := uint64(guestmem.PageSize)
	for name, tc := range map[string]struct {
		runs []run
		ok   bool
	}{
		"good":               {[]run{block(pack.S2, 0, page, 0), block(pack.S2, 3*page, page, 100)}, true},
		"a delta of nothing": {[]run{block(pack.Delta, 0, page, 4)}, true},
		"no end":             {[]run{block(pack.S2, 0, page, 0)}, false},
		"another kind":       {[]run{block(pack.S2, 0, page, 0), block(pack.Zstd, page, page, 100)}, false},
		"data within":        {[]run{block(pack.S2, 0, page, 0), {gpa: page, size: page}}, false},
		"too long":           {[]run{block(pack.Zstd, 0, pack.MaxBlock+page, 100)}, false},
		"too long together":  {[]run{block(pack.Zstd, 0, pack.MaxBlock, 0), block(pack.Zstd, 1<<20, page, 100)}, false},
		"two words":          {[]run{block(pack.Words, 0, 2*page, 100)}, false},
		"two deltas":         {[]run{block(pack.Delta, 0, page, 0), block(pack.Delta, page, page, 100)}, false},
		"larger than pages":  {[]run{block(pack.S2, 0, page, 4097)}, false},
		"less than a sum":    {[]run{block(pack.Delta, 0, page, 3)}, false},
		"nothing":            {[]run{block(pack.S2, 0, page, 4)}, false},
		"unknown codec":      {[]run{block(pack.Codecs, 0, page, 100)}, false},
		"half a page":        {[]run{block(pack.S2, 0, page/2, 100)}, false},
		"outside":            {[]run{block(pack.S2, 32<<20, page, 100)}, false},
	} {
		var table []byte
		data := 0
		for _, r := range tc.runs {
			b := make([]byte, runSize)
			r.put(b)
			table = append(table, b...)
			data += int(r.packed)
			if r.kind == wireData {
				data += int(r.size)
			}
		}
		h := header{Type: framePages, Flags: flagPacked, Count: uint32(len(tc.runs)), Length: uint32(len(table) + data)}
		if err := checkRuns(h, table, testLayout); (err == nil) != tc.ok || err != nil && !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: got %v; want it good: %v", name, err, tc.ok)
		}
		h.Flags = 0
		if err := checkRuns(h, table, testLayout); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s, without the flag: got %v; want ErrProtocol", name, err)
		}
	}
	// What was not agreed on.
	to := make(ram, guestmem.PageSize)
	x := newPacked(CompressS2, to, 64<<20)
	x.r.unpack = nil
	if _, err := x.w.round(0, false, dirty(ram(bytes.Repeat([]byte("abcdefgh"), 512)), map[int]bool{0: true})); err != nil {
		t.Fatal(err)
	}
	if _, err := readRound(x.r); !errors.Is(err, ErrProtocol) {
		t.Errorf("not agreed on: got %v; want ErrProtocol", err)
	}
}

// TestPackingAgrees: what the target does not unpack is not used.
func TestPackingAgrees(t *testing.T) {
	for _, tc := range []struct {
		how   Compression
		names []string
		want  string
	}{
		{CompressZstd, []string{"s2", "delta", "words"}, ""},
		{CompressZstd, []string{"zstd", "lz5"}, "zstd"},
		{CompressAuto, nil, ""},
		{CompressAuto, []string{"s2", "delta"}, "delta s2"},
		{CompressOff, ourCodecs(nil), ""},
	} {
		var got []string
		if a := newPacking(tc.how, tc.names, testHello.Move, 64<<20, nil, slowly); a != nil {
			for c, known := range a.knows {
				if known {
					got = append(got, pack.Codec(c).String())
				}
			}
			if w := a.ways(0); !a.knows[w.block] && w.block != pack.Raw || w.words && !a.knows[pack.Words] {
				t.Errorf("%s with %v: got %+v", tc.how, tc.names, w)
			}
		}
		if got := strings.Join(got, " "); got != tc.want {
			t.Errorf("%s with %v: got %q; want %q", tc.how, tc.names, got, tc.want)
		}
	}
}

// TestPackingAllocatesNothing: a round of packed pages costs no allocation a page at either end.
// A link of which nothing is known yet gets small frames only until it has taken more than a slow one could.
func TestSmallFramesEnd(t *testing.T) {
	for _, c := range []struct {
		name  string
		taken uint64 // in each millisecond
		small int    // frames
	}{
		{"quick", 1 << 20, 2},
		{"a burst, then slow", 0, probeFrames},
		{"slow", 125_000, probeFrames},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				flow := pack.Flow{}
				a := newPacking(CompressAuto, ourCodecs(nil), MoveID{1}, 1<<30, nil, packingLink{rate: func(bool) float64 { return 0 }, flow: func() pack.Flow { return flow }})
				a.round(false)
				small := 0
				for range 2 * probeFrames {
					if a.ways(packedBytes).probe {
						small++
					}
					if flow.Acked += c.taken; c.taken == 0 {
						flow.Acked = burst - 1
					}
					time.Sleep(time.Millisecond)
				}
				if small != c.small {
					t.Errorf("got %d small frames; want %d", small, c.small)
				}
			})
		})
	}
}

func TestPackingAllocatesNothing(t *testing.T) {
	const pages = 1024
	r := rand.New(rand.NewPCG(9, 9))
	from, to, all := make(ram, pages*guestmem.PageSize), make(ram, pages*guestmem.PageSize), make(map[int]bool)
	for n := range pages {
		all[n] = true
		content(from.page(n), 1+n%3, r)
	}
	for _, how := range compressions[:1] {
		x := newPacked(how, to, 64<<20)
		x.w.packer.begin(0, false)
		src, round := *dirty(from, all), uint32(0)
		got := testing.AllocsPerRun(5, func() {
			for n := range pages {
				from.page(n)[0]++
			}
			s := src
			if _, err := x.w.round(round, false, &s); err != nil {
				t.Fatal(err)
			}
			round++
			if _, err := readRound(x.r); err != nil {
				t.Fatal(err)
			}
		})
		x.r.unpack.close()
		if got > pages/32 {
			t.Errorf("%s: got %v allocations for %d pages there and back; want a few", how, got, pages)
		}
	}
}

// FuzzUnpack feeds blocks with right sums of their tables to the reader of pages: it places what fits, or says why not.
func FuzzUnpack(f *testing.F) {
	for c := pack.Words; c < pack.Codecs; c++ {
		f.Add(uint8(c), uint8(2), []byte{1, 2, 3, 4, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	}
	f.Fuzz(func(t *testing.T, codec, pages uint8, b []byte) {
		size := max(uint64(pages)%maxBlockRuns, 1) * guestmem.PageSize
		if codec <= uint8(pack.Delta) || codec == uint8(pack.Copy) || codec == uint8(pack.Image) {
			size = guestmem.PageSize
		}
		r := run{gpa: guestmem.PageSize, size: size, kind: wireKind(pack.Codec(codec)) & pageMask, packed: uint32(len(b))}
		table := make([]byte, runSize)
		r.put(table)
		var wire bytes.Buffer
		h := header{Type: framePages, Flags: flagPacked, Count: 1, Length: uint32(runSize + len(b))}
		if h.Length > maxRuns*runSize+maxFrameData || newOutlet(&wire).pagesFrame(h, table, [][]byte{b}, nil, nil) != nil {
			return
		}
		to := make(ram, pack.MaxBlock+2*guestmem.PageSize)
		p := newPageReader(newInlet(&wire, bulkBuffer), to, to.layout(), newGate())
		p.unpack = newUnpacker(to, to.layout(), newLibrary(2), testHello.Move)
		defer p.unpack.close()
		got, err := p.in.next()
		if err == nil {
			err = p.pages(got)
		}
		if err != nil && !errors.Is(err, ErrProtocol) && !errors.Is(err, ErrCorrupt) && !errors.As(err, new(*Refusal)) {
			t.Errorf("got %v; want an error of the codec", err)
		}
		if !bytes.Equal(to[:guestmem.PageSize], zeros[:]) || !bytes.Equal(to[len(to)-guestmem.PageSize:], zeros[:]) {
			t.Error("pages beside the block were written")
		}
	})
}

// BenchmarkPack sends and places pages; an operation is a page there and back. It says how much of the processors that takes, too.
func BenchmarkPack(b *testing.B) {
	for _, how := range compressions {
		for kind, name := range []string{"mixed", "words", "text", "random"} {
			b.Run(string(how)+"/"+name, func(b *testing.B) { benchPack(b, how, kind) })
		}
	}
}

func benchPack(b *testing.B, how Compression, kind int) {
	const pages = 2048
	r := rand.New(rand.NewPCG(3, 3))
	from, to, all := make(ram, pages*guestmem.PageSize), make(ram, pages*guestmem.PageSize), make(map[int]bool)
	for n := range pages {
		all[n] = true
		if k := kind; k > 0 {
			content(from.page(n), k, r)
		} else {
			content(from.page(n), 1+n%3, r)
		}
	}
	x := newPacked(how, to, 0) // next to no history: the first round again and again
	defer x.r.unpack.close()
	src, runs, round := *dirty(from, all), script(nil), uint32(0)
	move := func() {
		runs = src
		if _, err := x.w.round(round, false, &runs); err != nil {
			b.Fatal(err)
		}
		if _, err := readRound(x.r); err != nil {
			b.Fatal(err)
		}
		round++
	}
	move() // allocates
	b.SetBytes(guestmem.PageSize)
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime()
	for n := 0; n < b.N; n += pages {
		move()
	}
	b.ReportMetric(float64(processorTime()-before)/float64((b.N+pages-1)/pages*pages), "cpu-ns/op")
}

// processorTime is what this process has used.
func processorTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		panic(err) // nothing can be wrong with it
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
