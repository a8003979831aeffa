package guestmem_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/guestmem/guestmemtest"
)

func TestMeter(t *testing.T) {
	for name, mode := range modes {
		t.Run(name, func(t *testing.T) {
			m := newMemory(t, split)
			vm := guestmemtest.NewVM(mode)
			check(t, vm.Attach(m))
			write := func(pages ...uint64) {
				t.Helper()
				for _, p := range pages {
					check(t, vm.Write([]byte{1}, p*page))
				}
			}
			write(1, 2, 3)
			for range 2 { // it can be measured again
				mt, err := m.Meter()
				check(t, err)
				if _, err := m.Track(); !errors.Is(err, guestmem.ErrTracking) {
					t.Errorf("Track meanwhile: got %v; want ErrTracking", err)
				}
				wants := func(want uint64, wantCPUs ...uint64) {
					t.Helper()
					pages, cpus, err := mt.Count()
					check(t, err)
					if mode != guestmemtest.Ring {
						wantCPUs = nil
					}
					if diff := cmp.Diff(wantCPUs, cpus); pages != want || diff != "" {
						t.Errorf("got %d pages; want %d. By vCPU (-want +got):\n%s", pages, want, diff)
					}
				}
				wants(0, 0, 0)
				write(1, 1, 2, 2)
				check(t, vm.Write([]byte{1}, high))
				check(t, vm.Write([]byte{1}, high))
				check(t, m.WriteAt([]byte{1}, 9*page))
				wants(4, 3, 0)
				write(4)
				write(5)
				wants(2, 1, 1)
				wants(0, 0, 0)
				check(t, mt.Close())
			}
			if vm.Logging() {
				t.Error("the log is on after Close")
			}
			// A move that follows has everything.
			target := newMemory(t, split)
			tr, err := m.Track()
			check(t, err)
			_, err = tr.Harvest()
			check(t, err)
			drain(t, tr, target, 8)
			nonzero(t, m, target)
			check(t, tr.Close())
			if diff := cmp.Diff([]error(nil), vm.Mistakes()); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
}
