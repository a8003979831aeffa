package guestmem_test

import (
	"testing"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/guestmem/guestmemtest"
)

// Sample counts each page that the guest writes once, and what it counted travels all the same.
func TestSample(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			source, target := newMemory(t, split), newMemory(t, split)
			vm := guestmemtest.NewVM(mode)
			check(t, vm.Attach(source))
			write := func(pages ...uint64) {
				t.Helper()
				for _, p := range pages {
					check(t, vm.Write([]byte{byte(p), 1}, p*page))
				}
			}
			write(1, 2, 3)
			tr, err := source.Track()
			check(t, err)
			if n, err := tr.Sample(); err != nil || n != 0 {
				t.Errorf("not watched: got %d, %v; want 0", n, err)
			}
			_, err = tr.Harvest()
			check(t, err)
			check(t, tr.Watch())
			wants := func(want uint64) {
				t.Helper()
				if mode == guestmemtest.Plain {
					want = 0
				}
				if n, err := tr.Sample(); err != nil || n != want {
					t.Errorf("got %d, %v; want %d", n, err, want)
				}
			}
			wants(0)
			write(2, 5)
			wants(2)
			runs := make([]guestmem.Run, 1)
			n, err := tr.Next(runs)
			check(t, err)
			for _, r := range runs[:n] {
				place(t, target, r)
			}
			write(2, 5, 7)
			wants(3)
			drain(t, tr, target, 8)
			write(7)
			wants(3)
			write(3000) // of what was a hole
			wants(4)
			_, err = tr.Harvest()
			check(t, err)
			drain(t, tr, target, 8)
			nonzero(t, source, target)
			check(t, tr.Close())
			for _, err := range vm.Mistakes() {
				t.Error(err)
			}
		})
	}
}
