package migration

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/guestmem"
)

var testHello = Hello{VersionMin: 1, VersionMax: 1, Role: RoleBulk, Move: MoveID{1, 2, 3}, Epoch: 9}

func TestHello(t *testing.T) {
	b := EncodeHello(testHello)
	got, err := ReadHello(bytes.NewReader(append(b[:], "the next frame"...)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(testHello, got); diff != "" {
		t.Errorf("hello (-want +got):\n%s", diff)
	}
	newer := testHello
	newer.VersionMin, newer.VersionMax = VersionMax+1, VersionMax+3
	stranger := testHello
	stranger.Role = 77
	both := testHello
	both.VersionMax = 9
	for name, tc := range map[string]struct {
		b    []byte
		want error
	}{
		"short":        {b[:63], ErrTruncated},
		"nothing":      {nil, ErrTruncated},
		"text":         {[]byte("GET / HTTP/1.1\r\n\r\n"), ErrNotFerry},
		"altered":      {append(append([]byte{}, b[:40]...), make([]byte, 24)...), ErrCorrupt},
		"newer":        {encoded(newer), ErrVersion},
		"unknown role": {encoded(stranger), ErrProtocol},
		"both":         {encoded(both), nil},
	} {
		h, err := ReadHello(bytes.NewReader(tc.b))
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v; want %v", name, err, tc.want)
		}
		var v *VersionError
		if name == "newer" && (!errors.As(err, &v) || v.TheirMax != VersionMax+3 || h.Move != newer.Move) {
			t.Errorf("newer: got %+v of %+v; want its versions", v, h)
		}
	}
	if v, err := both.Version(); v != VersionMax || err != nil {
		t.Errorf("got version %d, %v; want %d", v, err, VersionMax)
	}
}

func encoded(h Hello) []byte {
	b := EncodeHello(h)
	return b[:]
}

func TestHeader(t *testing.T) {
	want := header{Type: framePages, Flags: flagFinal | flagSummed, Round: 3, Count: 5, Length: 5 * 4112, Sum: 7, DataSum: 8, Seq: 9}
	var b [headerSize]byte
	want.put(b[:])
	got, err := parseHeader(b[:], 9)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("header (-want +got):\n%s", diff)
	}
	for i := range b {
		bad := b
		bad[i] ^= 4
		if _, err := parseHeader(bad[:], 9); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d altered: got %v; want ErrCorrupt", i, err)
		}
	}
	for name, tc := range map[string]struct {
		h    header
		want error
	}{
		"out of order": {header{Type: framePing, Seq: 8}, ErrCorrupt},
		"unknown type": {header{Type: 99, Seq: 9}, ErrProtocol},
		"too long":     {header{Type: framePing, Length: 1, Seq: 9}, ErrProtocol},
		"flags":        {header{Type: framePing, Flags: 0x80, Seq: 9}, ErrProtocol},
	} {
		tc.h.put(b[:])
		if _, err := parseHeader(b[:], 9); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v; want %v", name, err, tc.want)
		}
	}
	if _, err := parseHeader(make([]byte, headerSize), 0); !errors.Is(err, ErrNotFerry) {
		t.Errorf("zeros first: got %v; want ErrNotFerry", err)
	}
}

func TestReserveIsChecked(t *testing.T) {
	good := Description{Name: "g", Layout: guestmem.Layout{{GPA: 0, Size: 64 << 20}}, MemoryBytes: 64 << 20, Modes: []Mode{Precopy},
		Blobs: []BlobInfo{{ID: "kernel", Size: 5, SHA256: [32]byte{1}}}}
	b, err := canonical.Marshal(good.message())
	if err != nil {
		t.Fatal(err)
	}
	var m reserveMessage
	if err := decode(frameReserve, b, &m); err != nil {
		t.Fatal(err)
	}
	got, err := m.description()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(good, got); diff != "" {
		t.Errorf("description (-want +got):\n%s", diff)
	}
	for name, alter := range map[string]func(*reserveMessage){
		"no name":      func(m *reserveMessage) { m.Name = "" },
		"no memory":    func(m *reserveMessage) { m.Layout = nil },
		"unaligned":    func(m *reserveMessage) { m.Layout = [][2]uint64{{1, 64 << 20}} },
		"overlapping":  func(m *reserveMessage) { m.Layout = [][2]uint64{{0, 64 << 20}, {4096, 64 << 20}} },
		"endless":      func(m *reserveMessage) { m.Layout = [][2]uint64{{0, 1 << 63}} },
		"wrapping":     func(m *reserveMessage) { m.Layout = [][2]uint64{{1<<64 - 4096, 8192}} },
		"twin blobs":   func(m *reserveMessage) { m.Blobs = append(m.Blobs, m.Blobs[0]) },
		"endless blob": func(m *reserveMessage) { m.Blobs = []blobMessage{{ID: "x", Size: 1 << 63}} },
	} {
		bad := m
		alter(&bad)
		if _, err := bad.description(); !errors.Is(err, ErrProtocol) {
			t.Errorf("%s: got %v; want ErrProtocol", name, err)
		}
	}
}

func TestStateIsStrict(t *testing.T) {
	one := Section{ID: "a", Version: 1, Data: []byte{0x01}}
	if _, err := EncodeState([]Section{one, one}); !errors.Is(err, ErrSection) {
		t.Errorf("twins: got %v; want ErrSection", err)
	}
	for name, v := range map[string]any{
		"twins":         State{Format: StateFormat, Sections: []Section{one, one}},
		"newer format":  State{Format: StateFormat + 1},
		"unknown field": map[string]any{"format": StateFormat, "sections": []Section{}, "extra": 1},
	} {
		b, err := canonical.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeState(b); err == nil {
			t.Errorf("%s: got %v; want an error", name, got)
		}
	}
	optional := Section{ID: "b", Optional: true, Data: []byte{0x01}}
	if m, err := Pick([]Section{one, optional}, "a"); err != nil || len(m) != 2 {
		t.Errorf("got %v, %v; want both sections", m, err)
	}
	optional.Optional = false
	if _, err := Pick([]Section{one, optional}, "a"); !errors.Is(err, ErrSection) {
		t.Errorf("unknown section: got %v; want ErrSection", err)
	}
	if _, err := Pick([]Section{one}, "a", "b"); !errors.Is(err, ErrSection) {
		t.Errorf("missing section: got %v; want ErrSection", err)
	}
}

// sink counts what is placed.
type sink struct{ placed, holes uint64 }

func (*sink) Expect(uint64, uint64) (uint64, []byte) { return 0, nil }
func (*sink) Filled(uint64, uint64) error            { return nil }

func (s *sink) Place(_ uint64, p []byte) error {
	s.placed += uint64(len(p))
	return nil
}

func (s *sink) PlaceHole(_, size uint64) error {
	s.holes += size
	return nil
}

// script is a pageSource of given runs.
type script [][]guestmem.Run

func (s *script) Next(into []guestmem.Run) (int, error) {
	if len(*s) == 0 {
		return 0, nil
	}
	n := copy(into, (*s)[0])
	*s = (*s)[1:]
	return n, nil
}

var testLayout = guestmem.Layout{{GPA: 0, Size: 32 << 20}, {GPA: 4 << 30, Size: 32 << 20}}

func TestPagesRoundTrip(t *testing.T) {
	big := make([]byte, 9<<20) // longer than a frame
	src := script{
		{{GPA: 4096, Kind: guestmem.Data, Size: 4096, Bytes: big[:4096]}, {GPA: 8192, Kind: guestmem.Zero, Size: 8192}},
		{{GPA: 1 << 20, Kind: guestmem.Data, Size: uint64(len(big)), Bytes: big}},
		{{GPA: 4 << 30, Kind: guestmem.Hole, Size: 32 << 20}},
	}
	for _, final := range []bool{false, true} {
		var wire bytes.Buffer
		cp := append(script{}, src...)
		want, err := newPageWriter(newOutlet(&wire)).round(0, final, &cp)
		if err != nil {
			t.Fatal(err)
		}
		s := new(sink)
		p := newPageReader(newInlet(&wire, bulkBuffer), s, testLayout, newGate())
		got, err := readRound(p)
		if err != nil {
			t.Fatal(err)
		}
		if got.Pages != want.pages() || got.Bytes != want.bytes() {
			t.Errorf("got %+v; want %+v", got, want)
		}
		if s.placed != 4096+9<<20 || s.holes != 8192+32<<20 || p.done != final || want.pages() != 2305+2+8192 {
			t.Errorf("got %+v, done %v, %d pages", s, p.done, want.pages())
		}
	}
}

// readRound reads frames to the end of a round.
func readRound(p *pageReader) (Round, error) {
	for {
		h, err := p.in.next()
		if err != nil {
			return Round{}, err
		}
		if h.Type == frameRoundEnd {
			round, _, err := p.roundEnd(h)
			return round, err
		}
		if err := p.pages(h); err != nil {
			return Round{}, err
		}
	}
}

// TestFinalPagesAreSummed: a page altered on its way does not pass.
func TestFinalPagesAreSummed(t *testing.T) {
	var wire bytes.Buffer
	src := script{{{GPA: 0, Kind: guestmem.Data, Size: 4096, Bytes: make([]byte, 4096)}}}
	if _, err := newPageWriter(newOutlet(&wire)).round(0, true, &src); err != nil {
		t.Fatal(err)
	}
	b := wire.Bytes()
	b[headerSize+runSize+1000] ^= 1
	if _, err := readRound(newPageReader(newInlet(&wire, bulkBuffer), new(sink), testLayout, newGate())); !errors.Is(err, ErrCorrupt) {
		t.Errorf("got %v; want ErrCorrupt", err)
	}
}

func TestHostilePages(t *testing.T) {
	page := make([]byte, 4096)
	for name, tc := range map[string]struct {
		frames []Frame
		want   error
	}{
		"outside":        {[]Frame{PagesFrame(0, false, 32<<20, 4096, wireData, page)}, ErrProtocol},
		"over the end":   {[]Frame{PagesFrame(0, false, 32<<20-4096, 8192, wireHole, nil)}, ErrProtocol},
		"wrapping":       {[]Frame{PagesFrame(0, false, 4096, 1<<64-4096, wireHole, nil)}, ErrProtocol},
		"unaligned":      {[]Frame{PagesFrame(0, false, 0, 100, wireHole, nil)}, ErrProtocol},
		"empty run":      {[]Frame{PagesFrame(0, false, 0, 0, wireHole, nil)}, ErrProtocol},
		"unknown kind":   {[]Frame{PagesFrame(0, false, 0, 4096, 3, nil)}, ErrProtocol},
		"far kind":       {[]Frame{PagesFrame(0, false, 0, 4096, 0x101, nil)}, ErrProtocol},
		"too little":     {[]Frame{PagesFrame(0, false, 0, 8192, wireData, page)}, ErrProtocol},
		"too much":       {[]Frame{PagesFrame(0, false, 0, 4096, wireHole, page)}, ErrProtocol},
		"no runs":        {[]Frame{{Type: byte(framePages)}}, ErrProtocol},
		"too many runs":  {[]Frame{{Type: byte(framePages), Count: maxRuns + 1, Payload: make([]byte, (maxRuns+1)*runSize)}}, ErrProtocol},
		"another round":  {[]Frame{PagesFrame(1, false, 0, 4096, wireHole, nil)}, ErrProtocol},
		"wrong totals":   {[]Frame{PagesFrame(0, false, 0, 4096, wireHole, nil), EndOfRound(0, false, 1, 0, 1, 0)}, ErrProtocol},
		"turning final":  {[]Frame{PagesFrame(0, false, 0, 4096, wireHole, nil), EndOfRound(0, true, 1, 0, 0, 1)}, ErrProtocol},
		"after the end":  {[]Frame{EndOfRound(0, true, 0, 0, 0, 0), EndOfRound(1, true, 0, 0, 0, 0)}, ErrProtocol},
		"late":           {[]Frame{EndOfRound(0, false, 0, 0, 0, 0), PagesFrame(0, false, 0, 4096, wireHole, nil)}, ErrProtocol},
		"too late":       {[]Frame{EndOfRound(0, true, 0, 0, 0, 0), PagesFrame(1, true, 0, 4096, wireHole, nil)}, ErrProtocol},
		"twice":          {[]Frame{PagesFrame(0, false, 0, 4096, wireData, page), PagesFrame(0, false, 0, 4096, wireData, page), EndOfRound(0, false, 2, 2, 0, 0)}, nil},
		"a good round":   {[]Frame{PagesFrame(0, false, 4<<30, 4096, wireData, page), EndOfRound(0, false, 1, 1, 0, 0)}, nil},
		"rounds, a last": {[]Frame{EndOfRound(0, false, 0, 0, 0, 0), EndOfRound(1, true, 0, 0, 0, 0)}, nil},
	} {
		in := newInlet(bytes.NewReader(BuildStream(tc.frames)), bulkBuffer)
		if err := in.fill(streamHeaderSize); err != nil {
			t.Fatal(err)
		}
		in.take(streamHeaderSize)
		p := newPageReader(in, new(sink), testLayout, newGate())
		var err error
		for range tc.frames {
			var h header
			if h, err = in.next(); err != nil {
				break
			}
			if h.Type == frameRoundEnd {
				_, _, err = p.roundEnd(h)
			} else {
				err = p.pages(h)
			}
			if err != nil {
				break
			}
		}
		if !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v; want %v", name, err, tc.want)
		}
	}
}

// endless is a pageSource without an end.
type endless struct {
	runs []guestmem.Run
	left int
}

func (e *endless) Next(into []guestmem.Run) (int, error) {
	if e.left == 0 {
		return 0, nil
	}
	e.left--
	return copy(into, e.runs), nil
}

// TestPagesAllocateNothing: a round costs no allocation, however many pages it has.
func TestPagesAllocateNothing(t *testing.T) {
	page := make([]byte, 4096)
	e := &endless{}
	for i := range uint64(gather) {
		e.runs = append(e.runs, guestmem.Run{GPA: i * 8192, Kind: guestmem.Data, Size: 4096, Bytes: page})
	}
	w := newPageWriter(newOutlet(io.Discard))
	got := testing.AllocsPerRun(10, func() {
		e.left = 16
		if _, err := w.round(0, true, e); err != nil {
			t.Fatal(err)
		}
	})
	if got > 1 {
		t.Errorf("sending 4096 pages: got %v allocations; want at most 1", got)
	}
	var wire bytes.Buffer
	w.out.w = &wire
	e.left = 16
	if _, err := w.round(0, true, e); err != nil {
		t.Fatal(err)
	}
	r := bytes.NewReader(nil)
	p := newPageReader(newInlet(r, bulkBuffer), new(sink), testLayout, newGate())
	seq := w.out.seq
	got = testing.AllocsPerRun(10, func() {
		r.Reset(wire.Bytes())
		p.in.seq, p.next, p.done, *p.gate = seq-17, 0, false, gate{others: -1}
		if _, err := readRound(p); err != nil {
			t.Fatal(err)
		}
	})
	if got > 2 { // the totals' payload
		t.Errorf("receiving 4096 pages: got %v allocations; want at most 2", got)
	}
}
