package guestmem_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/guestmem/guestmemtest"
	"github.com/ferryvmm/ferry/internal/uffd/uffdtest"
)

// BenchmarkFault is a fault from touch to wake, in one process without a wire: until Faults tells of it, Fill, and until the
// toucher goes on, all in microseconds.
func BenchmarkFault(b *testing.B) {
	const size = 1 << 30
	m := newMemory(b, guestmem.Layout{{GPA: 0, Size: size}})
	vm := guestmemtest.NewVM(guestmemtest.Manual)
	check(b, vm.Attach(m))
	p, err := m.Pull(uffdtest.Open(b))
	check(b, err)
	b.Cleanup(func() { check(b, p.Close()) })
	check(b, p.Miss(everything(m)))
	var told atomic.Int64
	start := time.Now()
	go func() {
		data, gpas := pages(1, 1), make([]uint64, 8)
		for {
			n, err := p.Faults(gpas)
			if err != nil {
				return
			}
			told.Store(int64(time.Since(start)))
			for _, gpa := range gpas[:n] {
				if _, err := p.Fill(gpa, data); err != nil {
					b.Error(err)
				}
			}
		}
	}()
	var toTold, toWoken time.Duration
	var one [1]byte
	gpa := uint64(0)
	for b.Loop() {
		if gpa += 7 * page; gpa >= size { // no page twice: 7 and the number of pages have no common factor
			gpa -= size
		}
		at := time.Since(start)
		check(b, vm.Load(one[:], gpa))
		woken := time.Since(start)
		toTold += time.Duration(told.Load()) - at
		toWoken += woken - time.Duration(told.Load())
	}
	for name, d := range map[string]time.Duration{"us-to-tell": toTold, "us-to-wake": toWoken} {
		b.ReportMetric(float64(d.Nanoseconds())/1e3/float64(b.N), name)
	}
}

// BenchmarkFill is Fill of pages that nobody waits for, by how many come at once.
func BenchmarkFill(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			data := pages(n, 1)
			b.SetBytes(int64(len(data)))
			r := newRounds(b)
			for b.Loop() {
				gpa := r.next(len(data), func() { check(b, r.pull.Miss(everything(r.mem))) })
				_, err := r.pull.Fill(gpa, data)
				check(b, err)
			}
		})
	}
}

// BenchmarkMap is UFFDIO_CONTINUE in bulk. One operation is 256 pages.
func BenchmarkMap(b *testing.B) {
	const size = 256 * page
	r := newRounds(b)
	for b.Loop() {
		gpa := r.next(size, func() { check(b, r.mem.Place(0, make([]byte, r.mem.Size()))) })
		check(b, r.pull.Map(gpa, size))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/256, "ns/page")
}

// BenchmarkMiss is the switch of a hybrid move: pages that were mapped, no two of them neighbours, go missing. One operation
// is 1024 of them.
func BenchmarkMiss(b *testing.B) {
	r := newRounds(b)
	var ranges []guestmem.Range
	for i := range uint64(1024) {
		ranges = append(ranges, guestmem.Range{GPA: i * 4 * page, Size: page})
	}
	for b.Loop() {
		r.next(int(r.mem.Size()), func() {
			check(b, r.mem.Place(0, make([]byte, r.mem.Size())))
			check(b, r.pull.Map(0, r.mem.Size()))
		})
		check(b, r.pull.Miss(ranges))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1024, "ns/page")
}

// rounds goes over memory that a benchmark uses up, and makes it anew behind the end.
type rounds struct {
	b    *testing.B
	mem  *guestmem.Memory
	pull *guestmem.Pull
	gpa  uint64
}

func newRounds(b *testing.B) *rounds {
	r := &rounds{b: b, mem: newMemory(b, guestmem.Layout{{GPA: 0, Size: 32 * mib}})}
	r.gpa = r.mem.Size()
	b.Cleanup(func() { check(b, r.pull.Close()) })
	return r
}

// next takes the next n bytes; prepare is called when they are of fresh memory.
func (r *rounds) next(n int, prepare func()) (gpa uint64) {
	if gpa = r.gpa; gpa == r.mem.Size() {
		r.b.StopTimer()
		if r.pull != nil {
			_, err := r.pull.FillZero(0, r.mem.Size())
			check(r.b, errors.Join(err, r.pull.Close(), r.mem.PlaceHole(0, r.mem.Size())))
		}
		var err error
		r.pull, err = r.mem.Pull(uffdtest.Open(r.b))
		check(r.b, err)
		prepare()
		gpa = 0
		r.b.StartTimer()
	}
	r.gpa = gpa + uint64(n)
	return gpa
}
