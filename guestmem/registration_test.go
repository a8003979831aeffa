package guestmem_test

import (
	"bytes"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/guestmem"
)

// keys is a registrar that notes what it is told.
type keys struct {
	held map[uint32][]byte
	fail error
	made int
}

func (k *keys) Register(key uint32, p []byte) error {
	if k.fail != nil {
		return k.fail
	}
	k.held[key] = p
	k.made++
	return nil
}

func (k *keys) Forget(key uint32) error {
	delete(k.held, key)
	return nil
}

// acquired is the memory of a piece.
func (k *keys) acquired(t *testing.T, p guestmem.Piece) []byte {
	t.Helper()
	held := k.held[p.Key]
	if uint64(len(held)) < p.Offset+p.Length {
		t.Fatalf("piece %+v; got %d bytes under its key", p, len(held))
	}
	return held[p.Offset : p.Offset+p.Length]
}

func view(t *testing.T, m *guestmem.Memory, gpa, size uint64) []byte {
	t.Helper()
	p, err := m.View(gpa, size)
	check(t, err)
	return p
}

func TestRegistration(t *testing.T) {
	m := newMemory(t, split)
	check(t, m.WriteAt(bytes.Repeat([]byte{1}, 2*mib), 4*mib))
	check(t, m.WriteAt([]byte{2}, 8*mib))
	check(t, m.WriteAt(bytes.Repeat([]byte{3}, mib), high))
	before := dataBytes(t, m)
	k := &keys{held: map[uint32][]byte{}}
	g := m.Register(k, 4)
	defer g.Close()
	acquire := func(p []byte, want bool) guestmem.Piece {
		t.Helper()
		piece, ok, err := g.Acquire(p, 1<<30)
		check(t, err)
		if ok != want {
			t.Fatalf("got %v; want %v", ok, want)
		}
		return piece
	}
	all := view(t, m, 4*mib, 2*mib)
	one := acquire(all[page:3*page], true)
	if diff := cmp.Diff(guestmem.Piece{Length: 2 * page, Key: one.Key}, one); diff != "" {
		t.Errorf("piece (-want +got):\n%s", diff)
	}
	if got, want := len(k.held[one.Key]), 2*mib-page; got != want {
		t.Errorf("registered: got %d bytes; want %d, up to the hole", got, want)
	}
	again := acquire(all[mib:], true)
	if again.Key != one.Key || k.made != 1 || !bytes.Equal(k.acquired(t, again), all[mib:]) {
		t.Errorf("got %+v of %d registrations; want the same one", again, k.made)
	}
	acquire(view(t, m, high, mib), true)
	acquire([]byte("not the guest's"), false)
	acquire(nil, false)
	if got := dataBytes(t, m); got != before {
		t.Errorf("data: got %d bytes; want %d as before", got, before)
	}
	k.fail = errors.New("no more")
	if _, ok, err := g.Acquire(view(t, m, 8*mib, page), 1<<30); ok || !errors.Is(err, k.fail) {
		t.Errorf("got %v, %v; want the registrar's error", ok, err)
	}
}

// A hole is not punched while what has its pages is being sent, and nothing is sent from there afterwards.
func TestPunchRetires(t *testing.T) {
	m := newMemory(t, split)
	check(t, m.WriteAt(bytes.Repeat([]byte{1}, mib), 0))
	k := &keys{held: map[uint32][]byte{}}
	g := m.Register(k, 4)
	defer g.Close()
	old, ok, err := g.Acquire(view(t, m, 0, 4*page), 1<<30)
	check(t, err)
	if !ok {
		t.Fatal("got no piece; want one")
	}
	began := time.Now()
	var punched atomic.Bool
	done := make(chan error)
	go func() {
		err := m.Punch(2*page, page)
		punched.Store(true)
		done <- err
	}()
	for deadline := time.Now().Add(5 * time.Second); ; {
		// From when it waits on, nothing is given out any more.
		p, ok, err := g.Acquire(view(t, m, 16*page, page), 1<<30)
		check(t, err)
		if !ok {
			break
		}
		g.Release(p)
		if time.Now().After(deadline) {
			t.Fatal("the punch has not come to its wait")
		}
	}
	early := punched.Load() // unless this host stood still for its patience
	g.Release(old)
	check(t, <-done)
	if took := time.Since(began); early && took < 50*time.Millisecond {
		t.Errorf("it was punched while it was being sent, after %v", took)
	}
	check(t, m.WriteAt([]byte("new"), 2*page))
	fresh, ok, err := g.Acquire(view(t, m, 0, 4*page), 1<<30)
	check(t, err)
	if !ok || k.made != 2 || !bytes.HasPrefix(k.acquired(t, fresh)[2*page:], []byte("new")) {
		t.Errorf("got %+v, %v of %d registrations; want a new one", fresh, ok, k.made)
	}
}

// What is being sent at the end keeps nobody waiting.
func TestCloseEndsTheWait(t *testing.T) {
	m := newMemory(t, split)
	check(t, m.WriteAt([]byte{1}, 0))
	g := m.Register(&keys{held: map[uint32][]byte{}}, 1)
	if _, ok, err := g.Acquire(view(t, m, 0, page), 1<<30); !ok || err != nil {
		t.Fatalf("got %v, %v; want a piece", ok, err)
	}
	done := make(chan error)
	go func() { done <- m.Punch(0, page) }()
	g.Close()
	check(t, <-done)
	check(t, m.Punch(0, page))
}

// A peer that takes nothing holds no guest up; what is being sent stays registered.
func TestPunchDoesNotWaitForEver(t *testing.T) {
	m := newMemory(t, split)
	check(t, m.WriteAt(bytes.Repeat([]byte{1}, mib), 0))
	k := &keys{held: map[uint32][]byte{}}
	g := m.Register(k, 4)
	defer g.Close()
	old, ok, err := g.Acquire(view(t, m, 0, page), 1<<30)
	if !ok || err != nil {
		t.Fatalf("got %v, %v; want a piece", ok, err)
	}
	check(t, m.Punch(0, page))
	if _, _, err := g.Acquire(view(t, m, 4*page, page), 1<<30); err != nil || k.made != 2 || k.held[old.Key] == nil {
		t.Errorf("got %v of %d registrations, the old one %v; want a new one beside it", err, k.made, k.held[old.Key] != nil)
	}
	g.Release(old)
}
