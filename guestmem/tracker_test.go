package guestmem_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/guestmem/guestmemtest"
)

const (
	page = guestmem.PageSize
	mib  = 1 << 20
	high = 4 << 30 // where the second region of split starts
)

// split is a layout with two regions.
var split = guestmem.Layout{{GPA: 0, Size: 16 * mib}, {GPA: high, Size: 16 * mib}}

var modes = map[string]guestmemtest.Mode{
	"plain": guestmemtest.Plain, "manual": guestmemtest.Manual, "initially set": guestmemtest.InitiallySet,
	"ring": guestmemtest.Ring,
}

func newMemory(t testing.TB, layout guestmem.Layout) *guestmem.Memory {
	t.Helper()
	m, err := guestmem.New(layout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := m.Close(); err != nil {
			t.Error(err)
		}
	})
	return m
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// dataBytes is m.DataBytes without an error.
func dataBytes(t testing.TB, m *guestmem.Memory) uint64 {
	t.Helper()
	n, err := m.DataBytes()
	check(t, err)
	return n
}

// place gives a run to the target, as a move does.
func place(t testing.TB, to *guestmem.Memory, r guestmem.Run) {
	t.Helper()
	if r.Kind == guestmem.Data {
		if uint64(len(r.Bytes)) != r.Size {
			t.Fatalf("run at %#x: got %d bytes; want %d", r.GPA, len(r.Bytes), r.Size)
		}
		check(t, to.Place(r.GPA, r.Bytes))
		return
	}
	check(t, to.PlaceHole(r.GPA, r.Size))
}

// nonzero counts m's pages that are not zero, and reports the first difference to other.
func nonzero(t testing.TB, m, other *guestmem.Memory) (pages uint64) {
	t.Helper()
	got, want := make([]byte, mib), make([]byte, mib)
	var zero [page]byte
	for _, rg := range m.Layout() {
		for gpa := rg.GPA; gpa < rg.End(); gpa += mib {
			check(t, m.ReadAt(want, gpa))
			check(t, other.ReadAt(got, gpa))
			same := bytes.Equal(got, want)
			for off := 0; off < mib; off += page {
				g, w := got[off:off+page], want[off:off+page]
				if !same && !bytes.Equal(g, w) {
					t.Fatalf("page %#x: got % x…; want % x…", gpa+uint64(off), g[:8], w[:8])
				}
				if !bytes.Equal(w, zero[:]) {
					pages++
				}
			}
		}
	}
	return pages
}

// drain yields the whole round to the target and returns the pages by kind.
func drain(t testing.TB, tr *guestmem.Tracker, to *guestmem.Memory, room int) (pages [3]uint64) {
	t.Helper()
	runs := make([]guestmem.Run, room)
	for {
		n, err := tr.Next(runs)
		check(t, err)
		if n == 0 {
			return pages
		}
		for _, r := range runs[:n] {
			place(t, to, r)
			pages[r.Kind] += r.Size / page
		}
	}
}

// A target built from the runs equals the source, whatever the guest, a device and a balloon do at whatever moment.
func TestTrackerModel(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(60) {
				t.Run(fmt.Sprint(seed), func(t *testing.T) { model(t, mode, seed) })
			}
		})
	}
}

func model(t *testing.T, mode guestmemtest.Mode, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	source, target := newMemory(t, split), newMemory(t, split)
	vm := guestmemtest.NewVM(mode)
	buf := make([]byte, 3*page)
	// Few places, so that the same pages change again and again.
	spot := func() uint64 {
		gpa := uint64(rnd.IntN(5)) * 3 * mib
		if rnd.IntN(2) == 0 {
			gpa += high
		}
		return gpa + uint64(rnd.IntN(80))*page
	}
	write := func() {
		p := buf[:1+rnd.IntN(len(buf))]
		if clear(p); rnd.IntN(4) > 0 {
			for i := 0; i < len(p); i += 97 {
				p[i] = byte(rnd.Uint32())
			}
		}
		if rnd.IntN(3) == 0 {
			check(t, source.WriteAt(p, spot()+uint64(rnd.IntN(page))))
		} else {
			check(t, vm.Write(p, spot()+uint64(rnd.IntN(page))))
		}
	}
	live := false
	vm.Hook = func() {
		for live && rnd.IntN(2) == 0 {
			write()
		}
	}
	if seed%2 == 1 {
		vm.Tear = func() bool { return rnd.IntN(4) == 0 }
	}
	check(t, vm.Attach(source))
	for range rnd.IntN(50) {
		write()
	}
	tr, err := source.Track()
	check(t, err)
	live = true
	runs := make([]guestmem.Run, 1+rnd.IntN(12))
	for range 4 {
		_, err := tr.Harvest()
		check(t, err)
		for rnd.IntN(40) > 0 { // sometimes the next round starts before this one ends
			n, err := tr.Next(runs)
			check(t, err)
			if n == 0 {
				break
			}
			for rnd.IntN(2) == 0 { // between the look and the send
				if write(); rnd.IntN(3) == 0 {
					check(t, source.Punch(spot(), uint64(1+rnd.IntN(40))*page))
				}
			}
			for _, r := range runs[:n] {
				place(t, target, r)
			}
		}
	}
	live = false // the guest is paused
	want, err := tr.Harvest()
	check(t, err)
	var got uint64
	for _, n := range drain(t, tr, target, len(runs)) {
		got += n
	}
	if got != want {
		t.Errorf("last round yielded %d pages; want the %d of Harvest", got, want)
	}
	if n := tr.Pending(); n != 0 {
		t.Errorf("pending after the last round: got %d; want 0", n)
	}
	if n := nonzero(t, source, target) * page; dataBytes(t, target) != n {
		t.Errorf("target's data: got %d bytes; want %d, the source's that are not zero", dataBytes(t, target), n)
	}
	check(t, tr.Close())
	if vm.Logging() {
		t.Error("the log is on after Close")
	}
	if diff := cmp.Diff([]error(nil), vm.Mistakes()); diff != "" {
		t.Errorf("mistakes (-want +got):\n%s", diff)
	}
}

// The guest writes from another goroutine while rounds are taken.
func TestTrackerConcurrent(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			source, target := newMemory(t, split), newMemory(t, split)
			vm := guestmemtest.NewVM(mode)
			vm.RingEntries = 8 // often full
			check(t, vm.Attach(source))
			tr, err := source.Track()
			check(t, err)
			stop, done := make(chan struct{}), make(chan error)
			writer := func(seed uint64) {
				rnd := rand.New(rand.NewPCG(1, seed))
				p := make([]byte, 64)
				for i := 0; ; i++ {
					select {
					case <-stop:
						done <- nil
						return
					default:
					}
					p[0] = byte(i)
					p[1] = byte(i >> 8)
					gpa := uint64(rnd.IntN(16*mib-64)) | uint64(rnd.IntN(2))<<32
					var err error
					switch i % 5 {
					case 0:
						err = source.WriteAt(p, gpa)
					case 1:
						err = source.Punch(gpa&^(page-1), page)
					default:
						err = vm.Write(p, gpa)
					}
					if err != nil {
						done <- err
						return
					}
				}
			}
			go writer(2)
			go writer(3)
			for range 8 {
				_, err := tr.Harvest()
				check(t, err)
				drain(t, tr, target, 16)
			}
			close(stop)
			check(t, errors.Join(<-done, <-done))
			_, err = tr.Harvest()
			check(t, err)
			drain(t, tr, target, 16)
			nonzero(t, source, target)
		})
	}
}

func TestFirstRound(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			layout := guestmem.Layout{{GPA: 0, Size: 3 << 30}, {GPA: high, Size: 3 << 30}}
			m := newMemory(t, layout)
			target := newMemory(t, layout)
			vm := guestmemtest.NewVM(mode)
			check(t, vm.Attach(m))
			check(t, vm.Write(bytes.Repeat([]byte{1}, 3*page), 100*mib))
			check(t, m.WriteAt(make([]byte, 2*page), high+2<<30))
			clears := 0
			vm.Fail = func(call string) error {
				if call == "ClearDirtyLog" {
					clears++
				}
				return nil
			}
			tr, err := m.Track()
			check(t, err)
			pages, err := tr.Harvest()
			check(t, err)
			if pages != 5 || tr.Pending() != 5 {
				t.Errorf("first Harvest: got %d, pending %d; want the 5 data pages", pages, tr.Pending())
			}
			if got, want := drain(t, tr, target, 8), [3]uint64{guestmem.Data: 3, guestmem.Zero: 2}; got != want {
				t.Errorf("first round: got data, zero, hole %v; want %v", got, want)
			}
			if clears > 2 {
				t.Errorf("%d clears; want those of the two chunks with data, and none of 6 GiB of holes", clears)
			}
			if got := dataBytes(t, m); got != 5*page {
				t.Errorf("data after a round: got %d; want %d: scanning must not allocate", got, 5*page)
			}
			// A hole is content.
			check(t, m.Punch(100*mib, 2*page))
			pages, err = tr.Harvest()
			check(t, err)
			got, want := drain(t, tr, target, 8), [3]uint64{guestmem.Hole: 2}
			if got != want || pages != 2 {
				t.Errorf("after a punch: got %d pages: data, zero, hole %v; want 2: %v", pages, got, want)
			}
			if got := dataBytes(t, target); got != page {
				t.Errorf("target's data: got %d; want %d", got, page)
			}
			// What the guest, or we, write to a hole of the first round is found, and found once.
			check(t, vm.Write(bytes.Repeat([]byte{2}, 2*page), high+1<<30))
			check(t, m.WriteAt([]byte{3}, 1<<30))
			for round, want := range []uint64{3, 0} {
				pages, err = tr.Harvest()
				check(t, err)
				if got := drain(t, tr, target, 8); pages != want || got != [3]uint64{guestmem.Data: want} {
					t.Errorf("round %d after writes to holes: got %d pages: data, zero, hole %v; want %d", round, pages, got, want)
				}
			}
			var there [page]byte
			for gpa, want := range map[uint64]byte{high + 1<<30: 2, high + 1<<30 + page: 2, 1 << 30: 3} {
				if check(t, target.ReadAt(there[:], gpa)); there[0] != want {
					t.Errorf("the target has %d at %#x; want %d", there[0], gpa, want)
				}
			}
			for _, err := range vm.Mistakes() {
				t.Error(err)
			}
		})
	}
}

func TestErrorsLoseNothing(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(3, 4))
			source, target := newMemory(t, split), newMemory(t, split)
			vm := guestmemtest.NewVM(mode)
			check(t, vm.Attach(source))
			failed := errors.New("injected")
			armed, failures := true, 0
			vm.Fail = func(string) error {
				if armed && rnd.IntN(3) == 0 {
					failures++
					return failed
				}
				return nil
			}
			retry := func(f func() error) {
				t.Helper()
				for {
					err := f()
					if err == nil {
						return
					}
					if !errors.Is(err, failed) {
						t.Fatal(err)
					}
				}
			}
			var tr *guestmem.Tracker
			retry(func() (err error) { tr, err = source.Track(); return err })
			runs := make([]guestmem.Run, 4)
			for range 6 {
				for range 100 {
					check(t, vm.Write([]byte{byte(rnd.Uint32())}, uint64(rnd.IntN(16*mib))|uint64(rnd.IntN(2))<<32))
				}
				retry(func() error { _, err := tr.Harvest(); return err })
				for n := 1; n > 0; {
					retry(func() (err error) { n, err = tr.Next(runs); return err })
					for _, r := range runs[:n] {
						place(t, target, r)
					}
				}
			}
			armed = false
			if nonzero(t, source, target); failures == 0 {
				t.Error("nothing failed; want injected errors")
			}
			check(t, tr.Close())
		})
	}
}

// A failed move loses no bit: the next tracker starts with everything.
func TestTrackAgain(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			source, target := newMemory(t, split), newMemory(t, split)
			vm := guestmemtest.NewVM(mode)
			check(t, vm.Attach(source))
			check(t, vm.Write([]byte{1}, 5*mib))
			tr, err := source.Track()
			check(t, err)
			if _, err := source.Track(); !errors.Is(err, guestmem.ErrTracking) {
				t.Errorf("second Track: got %v; want ErrTracking", err)
			}
			_, err = tr.Harvest()
			check(t, err)
			check(t, vm.Write([]byte{2}, 6*mib))
			check(t, tr.Close())
			check(t, tr.Close())
			if _, err := tr.Harvest(); !errors.Is(err, guestmem.ErrClosed) {
				t.Errorf("Harvest after Close: got %v; want ErrClosed", err)
			}
			check(t, vm.Write([]byte{3}, high))
			tr, err = source.Track()
			check(t, err)
			n, err := tr.Harvest()
			check(t, err)
			if drain(t, tr, target, 8); n != 3 {
				t.Errorf("Harvest of a new tracker: got %d pages; want 3", n)
			}
			nonzero(t, source, target)
			check(t, tr.Close())
		})
	}
}

// Track without a VM follows our own writes only.
func TestTrackWithoutVM(t *testing.T) {
	source, target := newMemory(t, split), newMemory(t, split)
	tr, err := source.Track()
	check(t, err)
	for i := range 3 {
		check(t, source.WriteAt([]byte{1}, uint64(i)*page))
		n, err := tr.Harvest()
		check(t, err)
		if n != 1 {
			t.Errorf("round %d: got %d pages; want 1", i, n)
		}
		drain(t, tr, target, 1)
	}
	nonzero(t, source, target)
	check(t, tr.Close())
}

func TestNextAllocatesNothing(t *testing.T) {
	for _, name := range []string{"initially set", "ring"} {
		t.Run(name, func(t *testing.T) {
			m := newMemory(t, split)
			vm := guestmemtest.NewVM(modes[name])
			check(t, vm.Attach(m))
			for gpa := uint64(0); gpa < 8*mib; gpa += 3 * page {
				check(t, vm.Write([]byte{1}, gpa))
			}
			tr, err := m.Track()
			check(t, err)
			runs := make([]guestmem.Run, 256)
			allocs := testing.AllocsPerRun(5, func() {
				_, err := tr.Harvest()
				check(t, err)
				for {
					n, err := tr.Next(runs)
					check(t, err)
					if n == 0 {
						return
					}
					for _, r := range runs[:n] {
						check(t, vm.Write([]byte{1}, r.GPA))
					}
				}
			})
			if allocs != 0 {
				t.Errorf("a round of 683 pages: got %v allocations; want 0", allocs)
			}
			if _, err := tr.Next(nil); err == nil {
				t.Error("Next without room: got no error")
			}
		})
	}
}

// A page that is punched between two calls, not at a word of the log, is no start of a hole that is skipped for ever.
func TestPunchedBetweenCalls(t *testing.T) {
	source, target := newMemory(t, split), newMemory(t, split)
	vm := guestmemtest.NewVM(guestmemtest.InitiallySet)
	check(t, vm.Attach(source))
	check(t, vm.Write([]byte{1}, 0))
	check(t, vm.Write([]byte{0}, page))
	tr, err := source.Track()
	check(t, err)
	_, err = tr.Harvest()
	check(t, err)
	runs := make([]guestmem.Run, 1)
	if n, err := tr.Next(runs); n != 1 || err != nil || runs[0].Size != page {
		t.Fatalf("Next: got %d, %v, %d bytes; want one page", n, err, runs[0].Size)
	}
	place(t, target, runs[0])
	check(t, source.Punch(page, page))
	drain(t, tr, target, 1)
	nonzero(t, source, target)
	check(t, tr.Close())
}
