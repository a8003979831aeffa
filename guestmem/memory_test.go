package guestmem_test

import (
	"bytes"
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/guestmem/guestmemtest"
)

func TestNewLayout(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		size uint64
		want guestmem.Layout
	}{
		{16 * mib, guestmem.Layout{{0, 16 * mib}}},
		{3 * gib, guestmem.Layout{{0, 3 * gib}}},
		{3*gib + mib, guestmem.Layout{{0, 3 * gib}, {4 * gib, mib}}},
		{8 * gib, guestmem.Layout{{0, 3 * gib}, {4 * gib, 5 * gib}}},
		{0, nil}, {15 * mib, nil}, {16*mib + page, nil}, {math.MaxUint64, nil}, {math.MaxUint64 &^ (mib - 1), nil},
	} {
		got, err := guestmem.NewLayout(c.size)
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("NewLayout(%d) (-want +got):\n%s", c.size, diff)
		}
		if c.want == nil {
			if !errors.Is(err, guestmem.ErrLayout) {
				t.Errorf("NewLayout(%d): got %v; want ErrLayout", c.size, err)
			}
			continue
		}
		if err := got.Validate(); err != nil || got.Size() != c.size {
			t.Errorf("NewLayout(%d): Validate %v, Size %d", c.size, err, got.Size())
		}
	}
}

func TestBadLayouts(t *testing.T) {
	for name, l := range map[string]guestmem.Layout{
		"empty":      {},
		"overlap":    {{0, 32 * mib}, {16 * mib, 32 * mib}},
		"descending": {{high, 16 * mib}, {0, 16 * mib}},
		"unaligned":  {{page, 32 * mib}},
		"odd size":   {{0, 32*mib + page}},
		"no size":    {{0, 32 * mib}, {high, 0}},
		"too small":  {{0, mib}},
		"too large":  {{0, 1 << 50}},
		"overflow":   {{math.MaxUint64 &^ (mib - 1), 32 * mib}},
		"many":       make(guestmem.Layout, 17),
	} {
		m, err := guestmem.New(l)
		if !errors.Is(err, guestmem.ErrLayout) {
			t.Errorf("%s: got %v; want ErrLayout", name, err)
		}
		if err == nil {
			m.Close()
		}
	}
}

func TestAccess(t *testing.T) {
	m := newMemory(t, split)
	want := []byte("across a page")
	check(t, m.WriteAt(want, high+page-5))
	got := make([]byte, len(want))
	check(t, m.ReadAt(got, high+page-5))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ReadAt after WriteAt (-want +got):\n%s", diff)
	}
	got = bytes.Repeat([]byte{1}, 3*page)
	check(t, m.ReadAt(got, 5*mib))
	if !bytes.Equal(got, make([]byte, 3*page)) {
		t.Error("a hole does not read as zeros")
	}
	if n := dataBytes(t, m); n != 2*page {
		t.Errorf("data: got %d bytes; want %d: reading must not allocate", n, 2*page)
	}
	check(t, m.Punch(high, page))
	if n := dataBytes(t, m); n != page {
		t.Errorf("data after a punch: got %d bytes; want %d", n, page)
	}
	if m.Size() != 32*mib || m.Layout().Size() != 32*mib {
		t.Errorf("Size: got %d; want %d", m.Size(), 32*mib)
	}
}

func TestBounds(t *testing.T) {
	m := newMemory(t, split)
	p := make([]byte, page)
	for _, c := range []struct{ gpa, size uint64 }{
		{16 * mib, 1}, {16*mib - 1, 2}, {high - 1, 1}, {high - 1, 2}, {high + 16*mib - 1, 2}, {high + 16*mib, 0},
		{math.MaxUint64, 1}, {math.MaxUint64, 2}, {1 << 63, page},
	} {
		for name, err := range map[string]error{"ReadAt": m.ReadAt(p[:c.size], c.gpa), "WriteAt": m.WriteAt(p[:c.size], c.gpa)} {
			if !errors.Is(err, guestmem.ErrOutside) {
				t.Errorf("%s(%#x, %d): got %v; want ErrOutside", name, c.gpa, c.size, err)
			}
		}
	}
	for _, c := range []struct {
		gpa, size uint64
		want      error
	}{
		{16*mib - page, 2 * page, guestmem.ErrOutside},
		{math.MaxUint64 &^ (page - 1), page, guestmem.ErrOutside},
		{0, math.MaxUint64 &^ (page - 1), guestmem.ErrOutside},
		{page, math.MaxUint64 &^ (page - 1), guestmem.ErrOutside}, // wraps to 0
		{1, page, guestmem.ErrAlign}, {0, page + 1, guestmem.ErrAlign}, {0, 0, guestmem.ErrAlign},
	} {
		errs := map[string]error{"Punch": m.Punch(c.gpa, c.size), "PlaceHole": m.PlaceHole(c.gpa, c.size)}
		if c.size < mib {
			errs["Place"] = m.Place(c.gpa, make([]byte, c.size))
		}
		for name, err := range errs {
			if !errors.Is(err, c.want) {
				t.Errorf("%s(%#x, %#x): got %v; want %v", name, c.gpa, c.size, err, c.want)
			}
		}
	}
	if n := dataBytes(t, m); n != 0 {
		t.Errorf("data after refused accesses: got %d bytes; want 0", n)
	}
}

func TestPlace(t *testing.T) {
	m := newMemory(t, split)
	check(t, m.Place(mib, bytes.Repeat([]byte{7}, 3*page)))
	check(t, m.PlaceHole(8*mib, mib))
	if n := dataBytes(t, m); n != 3*page {
		t.Errorf("data: got %d bytes; want %d", n, 3*page)
	}
	check(t, m.PlaceHole(mib+page, page))
	if n := dataBytes(t, m); n != 2*page {
		t.Errorf("data after a hole in the middle: got %d bytes; want %d", n, 2*page)
	}
	for gpa, want := range map[uint64]bool{
		mib - 1: false, mib: true, mib + 3*page - 1: true, mib + 3*page: false, 8 * mib: true, 9*mib - 1: true, 9 * mib: false,
		high: false, math.MaxUint64: false,
	} {
		if got := m.Received(gpa); got != want {
			t.Errorf("Received(%#x): got %v; want %v", gpa, got, want)
		}
	}
}

func TestAttach(t *testing.T) {
	m := newMemory(t, split)
	failed := errors.New("injected")
	vm := guestmemtest.NewVM(guestmemtest.Manual)
	calls := 0
	vm.Fail = func(string) error {
		if calls++; calls == 2 {
			return failed
		}
		return nil
	}
	if err := vm.Attach(m); !errors.Is(err, failed) {
		t.Errorf("Attach: got %v; want the VM's error", err)
	}
	if err := vm.Write([]byte{1}, 0); err == nil {
		t.Error("a failed Attach left a slot behind")
	}
	check(t, vm.Attach(m))
	check(t, vm.Write([]byte{1}, high))
	if err := m.AttachPlain(vm); !errors.Is(err, guestmem.ErrAttached) {
		t.Errorf("second Attach: got %v; want ErrAttached", err)
	}
}

func TestClosed(t *testing.T) {
	m, err := guestmem.New(split)
	check(t, err)
	check(t, m.Close())
	check(t, m.Close())
	if _, err := m.Track(); !errors.Is(err, guestmem.ErrClosed) {
		t.Errorf("Track: got %v; want ErrClosed", err)
	}
	if err := m.AttachPlain(guestmemtest.NewVM(guestmemtest.Plain)); !errors.Is(err, guestmem.ErrClosed) {
		t.Errorf("Attach: got %v; want ErrClosed", err)
	}
}
