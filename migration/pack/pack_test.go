package pack

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// randomPage is of bytes by chance; the same for the same seed.
func randomPage(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 1))
	p := make([]byte, pageSize)
	for i := 0; i < pageSize; i += wordSize {
		binary.LittleEndian.PutUint64(p[i:], r.Uint64())
	}
	return p
}

// textPage is of words of a small dictionary.
func textPage(seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, 2))
	var p []byte
	for len(p) < pageSize {
		p = append(p, []string{"the page ", "of guest ", "memory ", "migrates ", "and is ", "sent again. "}[r.IntN(6)]...)
		p = append(p, byte('a'+r.IntN(26)))
	}
	return p[:pageSize]
}

// wordsPage has n distinct words.
func wordsPage(n int) []byte {
	p := make([]byte, pageSize)
	for i := range pageWords {
		binary.LittleEndian.PutUint64(p[i*wordSize:], uint64(i*7%n)*0x0123456789abcdef)
	}
	return p
}

// TestNames: they stand on the wire and in results (docs/cli.md).
func TestNames(t *testing.T) {
	var got []string
	for c := Raw; c < Codecs; c++ {
		got = append(got, c.String())
	}
	if diff := cmp.Diff([]string{"raw", "words", "delta", "s2", "zstd", "copy", "image"}, got); diff != "" {
		t.Errorf("codecs (-want +got):\n%s", diff)
	}
}

func TestWords(t *testing.T) {
	for n, want := range map[int]int{1: 1 + 8, 2: 1 + 16 + 64, 3: 1 + 24 + 128, 4: 1 + 32 + 128, 5: 1 + 40 + 256, 16: 1 + 128 + 256} {
		page := wordsPage(n)
		b, ok := AppendWords([]byte("x"), page)
		if !ok || len(b) != 1+want || b[0] != 'x' {
			t.Fatalf("%d words: got %v, %d bytes; want %d behind what was there", n, ok, len(b), want)
		}
		got := randomPage(1)
		if err := ExpandWords(got, b[1:]); err != nil || !bytes.Equal(got, page) {
			t.Errorf("%d words: got another page, %v", n, err)
		}
		for name, bad := range map[string][]byte{"short": b[1 : len(b)-1], "long": append(b[1:len(b):len(b)], 0), "empty": {}, "seventeen": {16}} {
			if err := ExpandWords(got, bad); !errors.Is(err, ErrDamaged) {
				t.Errorf("%d words, %s: got %v; want ErrDamaged", n, name, err)
			}
		}
	}
	if b, ok := AppendWords(nil, wordsPage(17)); ok || len(b) != 0 {
		t.Errorf("17 words: got %v, %d bytes; want nothing", ok, len(b))
	}
	b, _ := AppendWords(nil, wordsPage(5))
	b[1+5*wordSize] = 0xff
	if err := ExpandWords(make([]byte, pageSize), b); !errors.Is(err, ErrDamaged) {
		t.Errorf("word 15 of 5: got %v; want ErrDamaged", err)
	}
}

func TestDelta(t *testing.T) {
	base := randomPage(3)
	one := bytes.Clone(base)
	one[4095] ^= 1
	ends := bytes.Clone(base)
	ends[0] ^= 1
	ends[4095] ^= 1
	every := bytes.Clone(base)
	for i := 0; i < pageSize; i += 2 * wordSize {
		every[i] ^= 1
	}
	for name, tc := range map[string]struct {
		page []byte
		want int
	}{
		"same": {base, 0}, "last word": {one, 3 + 8}, "both ends": {ends, 2 + 8 + 3 + 8}, "every other word": {every, 256 * 10},
		"all words": {randomPage(4), 3 + 4096},
	} {
		b, ok := AppendDelta(nil, base, tc.page, 2*pageSize)
		if !ok || len(b) != tc.want {
			t.Fatalf("%s: got %v, %d bytes; want %d", name, ok, len(b), tc.want)
		}
		got := bytes.Clone(base)
		if err := ApplyDelta(got, b); err != nil || !bytes.Equal(got, tc.page) {
			t.Errorf("%s: got another page, %v", name, err)
		}
		for i := range min(len(b), 64) {
			if err := ApplyDelta(got, b[:len(b)-1-i]); len(b)-1-i > 0 && i < 8 && !errors.Is(err, ErrDamaged) {
				t.Errorf("%s, %d bytes less: got %v; want ErrDamaged", name, i+1, err)
			}
		}
		if got, ok := AppendDelta([]byte("x"), base, tc.page, tc.want-1); tc.want > 0 && (ok || string(got) != "x") {
			t.Errorf("%s, limited: got %v, %d bytes; want nothing more", name, ok, len(got))
		}
	}
}

func TestBlocks(t *testing.T) {
	var p Packer
	var u Unpacker
	defer u.Close()
	var text, noise []byte
	for i := range uint64(MaxBlock / pageSize) {
		text, noise = append(text, textPage(i)...), append(noise, randomPage(i)...)
	}
	for _, c := range []Codec{S2, Zstd} {
		for _, n := range []int{pageSize, 3 * pageSize, MaxBlock} {
			b, ok := p.Append(make([]byte, 1, 1+MaxPacked), c, text[:n])
			if !ok || len(b) > 1+n*7/8 {
				t.Fatalf("%v, %d bytes of text: got %v, %d bytes; want fewer", c, n, ok, len(b))
			}
			got := make([]byte, n)
			if err := u.Expand(got, c, b[1:]); err != nil || !bytes.Equal(got, text[:n]) {
				t.Errorf("%v: got another block, %v", c, err)
			}
			for name, size := range map[string]int{"longer": n + pageSize, "shorter": n - pageSize} {
				if err := u.Expand(make([]byte, size), c, b[1:]); !errors.Is(err, ErrDamaged) {
					t.Errorf("%v, %s: got %v; want ErrDamaged", c, name, err)
				}
			}
		}
		if b, ok := p.Append(make([]byte, 1, 1+MaxPacked), c, noise); ok || len(b) != 1 {
			t.Errorf("%v: noise became %d bytes; want it refused", c, len(b)-1)
		}
	}
	if err := u.Expand(make([]byte, pageSize), Delta, nil); !errors.Is(err, ErrDamaged) {
		t.Errorf("another codec: got %v; want ErrDamaged", err)
	}
}

func TestDense(t *testing.T) {
	for i := range uint64(100) {
		if !Dense(randomPage(i)) {
			t.Errorf("random page %d: got not dense; want dense", i)
		}
		if Dense(textPage(i)) {
			t.Errorf("text page %d: got dense; want not", i)
		}
	}
}

func TestHistory(t *testing.T) {
	h := NewHistory(4 * pageSize)
	a, b := textPage(1), textPage(2)
	// kept says whether the copy of a page is there, and this one.
	kept := func(n uint64, page []byte) bool {
		d, ok := h.Swap(nil, n*pageSize, page, 0, true)
		return ok && len(d) == 0
	}
	h.Swap(nil, 0, a, 0, true)
	h.Swap(nil, 4*pageSize, b, 0, true) // the same place
	if kept(4, b) || !kept(0, a) {
		t.Error("a humble page has turned another out")
	}
	h.Swap(nil, 4*pageSize, b, 0, false)
	if !kept(4, b) || kept(0, a) {
		t.Error("a page was not turned out")
	}
	h.Swap(nil, pageSize, a, 0, true)
	h.Drop(5*pageSize, pageSize)
	if !kept(1, a) {
		t.Error("page 1 was dropped with page 5")
	}
	if d, ok := h.Swap(nil, pageSize, b, pageSize, false); ok && ApplyDelta(a, d) != nil || ok && !bytes.Equal(a, b) {
		t.Error("the difference does not make the new page")
	}
	h.Drop(0, 64*pageSize)
	if h.used != 0 || kept(4, b) {
		t.Errorf("got %d pages after all were dropped; want 0", h.used)
	}
	h.Drop(4*pageSize, pageSize) // which kept has put back
	if h.used != 0 {
		t.Errorf("got %d pages; want 0", h.used)
	}
	var none *History
	none.Drop(0, pageSize)
	if _, ok := none.Swap(nil, 0, a, pageSize, false); ok {
		t.Error("no history keeps a page")
	}
}

func TestPace(t *testing.T) {
	const link = 100e6
	var p Pace
	now, acked := time.Unix(100, 0), uint64(0)
	pays := p.Pays(now, 0, Flow{})
	// run lets memory leave for some seconds, packed at a rate in bytes a second, and says for which share of that packing pays.
	run := func(seconds, packed float64) (share float64) {
		const step = time.Millisecond
		steps := int(seconds * 1000)
		for range steps {
			now = now.Add(step)
			rate := link
			if pays {
				rate = packed
				share += 1 / float64(steps)
			}
			acked += uint64(link * step.Seconds())
			pays = p.Pays(now, uint64(rate*step.Seconds()), Flow{Acked: acked})
		}
		return share
	}
	if got := run(1, 1.5*link); got < 0.8 || p.Raw() != link {
		t.Errorf("half as much again: it pays for %.2f of the time, raw %g; want most of it, %g", got, p.Raw(), link)
	}
	if got := run(10, 2*link); got < 0.95 || got == 1 {
		t.Errorf("twice the link: it pays for %.2f of the time; want all but when the link is looked at", got)
	}
	if got := run(5, link); got > 0.3 || got < 0.02 {
		t.Errorf("as the link: it pays for %.2f of the time; want it tried now and then", got)
	}
	before := p.rest
	if got := run(5, link/2); got > 0.1 || p.rest <= before && p.rest < restMost {
		t.Errorf("half the link: it pays for %.2f of the time, rests of %v after %v; want ever longer ones", got, p.rest, before)
	}
	run((restMost + paceTime).Seconds(), 2*link)
	if got := run(1, 2*link); got < 0.9 || p.rest != 0 {
		t.Errorf("again twice the link: it pays for %.2f of the time, rest %v; want most, none", got, p.rest)
	}
	now = now.Add(time.Minute)
	p.Begin()
	if !p.Pays(now, 0, Flow{Acked: acked}) {
		t.Error("after nothing was sent: got that it does not pay")
	}
}

// What leaves is what waited, too; and while much waits, it is not seen whether pages behind it are packed.
func TestPaceWaiting(t *testing.T) {
	const link, waits = 100e6, 8e6
	now := time.Unix(100, 0)
	pays := func(left float64) bool {
		p := NewPace(link)
		p.Pays(now, 0, Flow{Waiting: waits})
		return p.Pays(now.Add(2*paceTime), uint64(link/2*(2*paceTime).Seconds()), Flow{Waiting: uint64(waits - left)})
	}
	if got := [...]bool{pays(0), pays(waits)}; got != [...]bool{false, true} {
		t.Errorf("half the link packed, what waited stays, or leaves: got %v; want that only the latter pays", got)
	}
	var little, much Pace
	got := [...]bool{
		little.Pays(now, 0, Flow{Waiting: Ahead - 1}), much.Pays(now, 0, Flow{Waiting: Ahead}),
		little.Pays(now.Add(time.Millisecond), Ahead, Flow{Waiting: Ahead - 1}), much.Pays(now.Add(time.Millisecond), Ahead, Flow{Waiting: Ahead}),
	}
	if want := [...]bool{false, true, false, true}; got != want {
		t.Errorf("little and much waits before anything is known: got %v; want %v", got, want)
	}
	if much.resume = now.Add(time.Second); much.Pays(now.Add(2*time.Millisecond), Ahead, Flow{Waiting: Ahead}) {
		t.Error("much waits, and packing rests: got that it goes on")
	}
}

func TestCopies(t *testing.T) {
	p, other := NewPrinter([]byte("move")), NewPrinter([]byte("another move"))
	a, b := randomPage(1), randomPage(2)
	if p.Print(a) != p.Print(bytes.Clone(a)) || p.Print(a) == p.Print(b) || p.Print(a) == other.Print(a) {
		t.Error("prints tell pages and moves apart, and nothing else")
	}
	var c Copies
	if _, ok := c.Find(p.Print(a)); ok {
		t.Error("got a copy of nothing")
	}
	c.Add(p.Print(a), 0)
	c.Add(p.Print(b), 2*pageSize)
	if from, ok := c.Find(p.Print(a)); !ok || from != 0 {
		t.Errorf("got %#x, %v; want page 0", from, ok)
	}
	if from, ok := c.Find(p.Print(b)); !ok || from != 2*pageSize {
		t.Errorf("got %#x, %v; want page 2", from, ok)
	}
	c.Forget()
	if _, ok := c.Find(p.Print(a)); ok {
		t.Error("got a copy of what was forgotten")
	}
}

func TestChooser(t *testing.T) {
	var c Chooser
	choices := map[string]Codec{"unknown": c.Choose(MaxBlock, -1)}
	c.Link(10e9 / 8)
	choices["10 Gbit/s"] = c.Choose(MaxBlock, -1)
	c.Link(1e9 / 8)
	choices["slower for a moment"] = c.Choose(MaxBlock, -1)
	for range 20 {
		c.Link(1e9 / 8)
	}
	choices["1 Gbit/s"] = c.Choose(MaxBlock, -1)
	for range 20 {
		c.Note(Zstd, MaxBlock, MaxBlock/3, 2*time.Millisecond) // 65 MB/s
	}
	choices["little CPU"] = c.Choose(MaxBlock, -1)
	for range 20 {
		c.Note(S2, MaxBlock, MaxBlock, 20*time.Microsecond)
	}
	choices["it is in vain"] = c.Choose(MaxBlock, -1)
	for range 200 {
		c.Choose(MaxBlock, -1)
	}
	choices["forgotten"] = c.Choose(MaxBlock, -1)
	want := map[string]Codec{
		"unknown": Raw, "10 Gbit/s": Raw, "slower for a moment": Raw, "1 Gbit/s": Zstd, "little CPU": S2, "it is in vain": Raw, "forgotten": Zstd,
	}
	if diff := cmp.Diff(want, choices); diff != "" {
		t.Errorf("choices (-want +got):\n%s", diff)
	}
}

// A link for which Zstd is too slow, and what S2 makes too much, gets both.
func TestChooserTakesTurns(t *testing.T) {
	const link, bytes = 125e6, 1 << 20
	learnt := func(s2, zstd float64) *Chooser { // what is left of pages
		c := new(Chooser)
		c.Link(link)
		for range 20 {
			c.Note(S2, MaxBlock, int(s2*MaxBlock), MaxBlock*time.Second/400e6)
			c.Note(Zstd, MaxBlock, int(zstd*MaxBlock), MaxBlock*time.Second/120e6)
		}
		return c
	}
	got := map[string]Codec{
		"the link has nothing to do":        learnt(0.7, 0.4).Choose(bytes, 0),
		"a frame less than it takes":        learnt(0.7, 0.4).Choose(bytes, 1<<20),
		"enough":                            learnt(0.7, 0.4).Choose(bytes, 4<<20),
		"unknown":                           learnt(0.7, 0.4).Choose(bytes, -1),
		"enough, for nothing":               learnt(0.5, 0.49).Choose(bytes, 4<<20),
		"enough, of what does not compress": learnt(1, 1).Choose(bytes, 4<<20),
		"much waits, the link is unknown":   new(Chooser).Choose(bytes, Ahead),
		"little waits, the link is unknown": new(Chooser).Choose(bytes, Ahead-1),
	}
	want := map[string]Codec{
		"the link has nothing to do": S2, "a frame less than it takes": S2, "enough": Zstd, "unknown": S2, "enough, for nothing": S2,
		"enough, of what does not compress": Raw, "much waits, the link is unknown": S2, "little waits, the link is unknown": Raw,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("choices (-want +got):\n%s", diff)
	}
}

func FuzzWords(f *testing.F) {
	b, _ := AppendWords(nil, wordsPage(5))
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		page := make([]byte, pageSize)
		if err := ExpandWords(page, b); err != nil {
			return
		}
		again, ok := AppendWords(nil, page)
		got := make([]byte, pageSize)
		if err := ExpandWords(got, again); !ok || err != nil || !bytes.Equal(got, page) {
			t.Errorf("got %v, %v, or another page", ok, err)
		}
	})
}

func FuzzDelta(f *testing.F) {
	base := randomPage(9)
	b, _ := AppendDelta(nil, base, wordsPage(3), 2*pageSize)
	f.Add(b)
	f.Add([]byte{255, 3, 1, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, b []byte) {
		page := bytes.Clone(base)
		if err := ApplyDelta(page, b); err != nil {
			return
		}
		again, ok := AppendDelta(nil, base, page, 2*pageSize)
		got := bytes.Clone(base)
		if err := ApplyDelta(got, again); !ok || err != nil || !bytes.Equal(got, page) {
			t.Errorf("got %v, %v, or another page", ok, err)
		}
	})
}

func FuzzBlock(f *testing.F) {
	var p Packer
	for _, c := range []Codec{S2, Zstd} {
		b, _ := p.Append(make([]byte, 0, MaxPacked), c, textPage(1))
		f.Add(byte(c), b)
	}
	var u Unpacker
	f.Fuzz(func(t *testing.T, c byte, b []byte) {
		room := make([]byte, 3*pageSize)
		for i := range room {
			room[i] = 0xa5
		}
		_ = u.Expand(room[pageSize:2*pageSize], Codec(c), b)
		for i, v := range room {
			if v != 0xa5 && (i < pageSize || i >= 2*pageSize) {
				t.Fatalf("byte %d was written; want none outside the block", i)
			}
		}
	})
}
