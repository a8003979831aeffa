package guestmem_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/internal/uffd/uffdtest"
)

// Vcpus, devices and fillers at once: each page comes once, is never seen before, and never again after it was written to.
func TestPullAtOnce(t *testing.T) {
	t.Run("4K", func(t *testing.T) { pullAtOnce(t, newMemory(t, split)) })
	t.Run("2M", func(t *testing.T) { pullAtOnce(t, newHuge(t, split)) })
}

func pullAtOnce(t *testing.T, m *guestmem.Memory) {
	const total = 32 * mib / page
	p := newPullerOf(t, m)
	gpaOf := func(i uint64) uint64 {
		if i >= total/2 {
			return high + (i-total/2)*page
		}
		return i * page
	}
	// Every fourth page is zeros, and stale; what is sent carries its number, and what is written its negation.
	content := func(i uint64) []byte {
		b := make([]byte, page)
		if i%4 != 0 {
			binary.LittleEndian.PutUint64(b, i)
		}
		return b
	}
	for i := uint64(0); i < total; i += 4 {
		check(t, p.mem.Place(gpaOf(i), pages(1, 0xee)))
	}
	check(t, p.pull.Map(0, 16*mib))
	check(t, p.pull.Miss(everything(p.mem)))

	var filled atomic.Uint64
	fill := func(i uint64) {
		var n uint64
		var err error
		if i%4 == 0 {
			n, err = p.pull.FillZero(gpaOf(i), page)
		} else {
			n, err = p.pull.Fill(gpaOf(i), content(i))
		}
		if err != nil && !(errors.Is(err, guestmem.ErrClosed) && p.pull.Missing() == 0) { // nothing is missing: this one comes too late
			t.Error(err)
		}
		filled.Add(n)
	}
	var users, fillers sync.WaitGroup
	for range 2 { // two service threads
		fillers.Go(func() {
			for gpa := range p.told {
				i := gpa / page
				if gpa >= high {
					i = (gpa-high)/page + total/2
				}
				fill(i)
			}
		})
	}
	for w := range 2 { // and the background, twice over
		fillers.Go(func() {
			for i := range uint64(total) {
				fill((i + uint64(w)*total/3) % total)
			}
		})
	}
	for w := range uint64(6) {
		users.Go(func() {
			r := rand.New(rand.NewPCG(w, 1))
			b := make([]byte, 8)
			for range 2 * total / 6 {
				i := r.Uint64N(total)/6*6 + w // each page has one user, who knows what is in it
				if i >= total {
					continue
				}
				read, write := p.vm.Load, p.vm.Store
				if w%2 == 1 {
					read, write = p.mem.ReadAt, p.mem.WriteAt
				}
				if err := read(b, gpaOf(i)); err != nil {
					t.Error(err)
				}
				want := binary.LittleEndian.Uint64(content(i))
				if got := binary.LittleEndian.Uint64(b); got != want && got != ^i {
					t.Errorf("page %d: got %#x; want %#x or %#x", i, got, want, ^i)
				}
				binary.LittleEndian.PutUint64(b, ^i)
				if err := write(b, gpaOf(i)+8); err != nil {
					t.Error(err)
				}
				if i%5 == 0 {
					if err := write(b, gpaOf(i)); err != nil {
						t.Error(err)
					}
				}
				if err := read(b, gpaOf(i)+8); err != nil {
					t.Error(err)
				}
				if got := binary.LittleEndian.Uint64(b); got != ^i {
					t.Errorf("page %d: got %#x; want what was written, %#x", i, got, ^i)
				}
			}
		})
	}
	users.Wait()
	<-p.pull.Done()
	p.close()
	fillers.Wait()
	if got := filled.Load(); got != total {
		t.Errorf("got %d pages filled; want each of %d once", got, total)
	}
	for i := range uint64(total) {
		b := make([]byte, 8)
		check(t, p.vm.Load(b, gpaOf(i)))
		if got, want := binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(content(i)); got != want && got != ^i {
			t.Errorf("page %d in the end: got %#x; want %#x or %#x", i, got, want, ^i)
		}
	}
}

// A guest that really runs, from its first instruction on in memory that is still elsewhere.
func TestPullKVM(t *testing.T) {
	t.Run("4K", func(t *testing.T) { pullKVM(t, newMemory(t, split), 17) })
	t.Run("2M", func(t *testing.T) { pullKVM(t, newHuge(t, split), 2*2*mib/page) })
}

func pullKVM(t *testing.T, target *guestmem.Memory, pagesWanted int64) {
	const base, writes = 8 * mib, 100
	source := newMemory(t, split)
	check(t, source.WriteAt(writer, 0x1000))
	for i := range uint64(32) { // what it writes into: two bytes a page
		check(t, source.WriteAt(pages(1, 0xab), base+i*page))
	}
	dev := uffdtest.Open(t)
	vm, _ := kvmAttach(t, target, "bitmap")
	cpu, err := vm.CreateVCPU(0)
	check(t, err)
	t.Cleanup(func() { check(t, cpu.Close()) })
	pull, err := target.Pull(dev)
	check(t, err)
	check(t, pull.Miss(everything(target)))
	end := make(chan error, 1)
	var asked atomic.Int64
	go func() {
		data, gpas := make([]byte, page), make([]uint64, 8)
		for {
			n, err := pull.Faults(gpas)
			for _, gpa := range gpas[:n] {
				asked.Add(1)
				if err := errors.Join(source.ReadAt(data, gpa), second(pull.Fill(gpa, data))); err != nil {
					t.Error(err)
				}
			}
			if err != nil {
				end <- err
				return
			}
		}
	}()
	var s kvm.Sregs2
	check(t, cpu.Sregs2(&s))
	s.CS.Base, s.CS.Selector = 0, 0
	s.DS.Base, s.DS.Selector = base, 0
	check(t, cpu.SetSregs2(&s))
	check(t, cpu.SetRegs(&kvm.Regs{RFLAGS: 2, RIP: 0x1000}))
	for range writes {
		if errno := cpu.Run(); errno != 0 {
			t.Fatalf("KVM_RUN: %v", errno)
		}
		if got := cpu.ExitReason(); got != kvm.ExitIO {
			t.Fatalf("exit: got %v %+v; want the port", got, cpu.Event())
		}
	}
	if got := asked.Load(); got != pagesWanted {
		t.Errorf("got %d pages asked for; want the code's and the data's, %d", got, pagesWanted)
	}
	late := make([]byte, page)
	for gpa := uint64(0); gpa < 16*mib; gpa += page {
		check(t, errors.Join(source.ReadAt(late, gpa), second(pull.Fill(gpa, late))))
	}
	_, err = pull.FillZero(high, 16*mib)
	check(t, err)
	<-pull.Done()
	check(t, pull.Close())
	if err := <-end; !errors.Is(err, guestmem.ErrClosed) {
		t.Errorf("Faults: got %v; want ErrClosed", err)
	}
	for i := range uint64(writes) {
		check(t, source.WriteAt([]byte{byte(i + 1), byte((i + 1) >> 8)}, base+i*0x3000&0xffff))
	}
	got := make([]byte, page)
	for gpa := uint64(0); gpa < 16*mib; gpa += page {
		check(t, errors.Join(source.ReadAt(late, gpa), target.ReadAt(got, gpa)))
		if !bytes.Equal(late, got) {
			t.Errorf("page %#x: got other bytes than the guest had and wrote", gpa)
		}
	}
}
