package guestmem_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/guestmem/guestmemtest"
)

// filled is a memory of size bytes whose data bytes from 0 up are random.
func filled(b *testing.B, size, data uint64) (*guestmem.Memory, *guestmemtest.VM) {
	layout, err := guestmem.NewLayout(size)
	check(b, err)
	m := newMemory(b, layout)
	vm := guestmemtest.NewVM(guestmemtest.InitiallySet)
	check(b, vm.Attach(m))
	p := make([]byte, mib)
	for i := range p {
		p[i] = byte(rand.Uint32() | 1)
	}
	for gpa := uint64(0); gpa < data; gpa += mib {
		check(b, m.WriteAt(p, gpa))
	}
	return m, vm
}

// round takes one round and drops it.
func round(b *testing.B, tr *guestmem.Tracker, runs []guestmem.Run) {
	_, err := tr.Harvest()
	check(b, err)
	for n := 1; n > 0; {
		n, err = tr.Next(runs)
		check(b, err)
	}
}

func BenchmarkFirstRound(b *testing.B) {
	for name, c := range map[string]struct{ size, data uint64 }{
		"512MiB-data": {512 * mib, 512 * mib}, "4GiB-of-holes": {4 << 30, 0}, "4GiB-32MiB-data": {4 << 30, 32 * mib},
	} {
		b.Run(name, func(b *testing.B) {
			m, _ := filled(b, c.size, c.data)
			runs := make([]guestmem.Run, 256)
			b.SetBytes(int64(c.data))
			for b.Loop() {
				tr, err := m.Track()
				check(b, err)
				round(b, tr, runs)
				check(b, tr.Close())
			}
		})
	}
}

// A later round of 1024 pages far apart.
func BenchmarkLaterRound(b *testing.B) {
	m, vm := filled(b, 512*mib, 512*mib)
	runs := make([]guestmem.Run, 256)
	tr, err := m.Track()
	check(b, err)
	round(b, tr, runs)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		for gpa := uint64(0); gpa < 512*mib; gpa += 512 << 10 {
			check(b, vm.Write([]byte{3}, gpa))
		}
		b.StartTimer()
		round(b, tr, runs)
	}
	check(b, tr.Close())
}

func BenchmarkPlace(b *testing.B) {
	for name, fresh := range map[string]bool{"fresh": true, "again": false} {
		b.Run(name, func(b *testing.B) {
			m, _ := filled(b, 256*mib, 0)
			p := make([]byte, 256<<10)
			for i := range p {
				p[i] = 1
			}
			gpa := uint64(0)
			b.SetBytes(int64(len(p)))
			b.ReportAllocs()
			for b.Loop() {
				if gpa == 256*mib {
					if gpa = 0; fresh {
						b.StopTimer()
						check(b, m.PlaceHole(0, 256*mib))
						b.StartTimer()
					}
				}
				check(b, m.Place(gpa, p))
				gpa += uint64(len(p))
			}
		})
	}
}

// BenchmarkZeros is how fast pages are found to be zero, beside how fast memory is read.
func BenchmarkZeros(b *testing.B) {
	const size = 64 << 20
	m := make([]byte, size)
	clear(m) // allocated
	for name, look := range map[string]func(page []byte){
		"compare": func(page []byte) {
			if !bytes.Equal(page, zeros[:]) {
				b.Fatal("a page is not zero")
			}
		},
		"copy": func(page []byte) { copy(zeroCopy[:], page) },
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				for at := 0; at < size; at += guestmem.PageSize {
					look(m[at : at+guestmem.PageSize])
				}
			}
		})
	}
}

var zeros, zeroCopy [guestmem.PageSize]byte
