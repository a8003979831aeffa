package vmm

import (
	"context"
	"errors"
	"testing"
	"time"
)

// A guest that resets while it is measured starts anew, and its memory is not looked at any more.
func TestResetEndsDirtyRate(t *testing.T) {
	g := newGuest(t, "fill=4 wss=2 rate=4")
	if err := g.boot(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "READY")
	if p, err := g.dirtyRate(context.Background(), DirtyRate{Duration: 300 * time.Millisecond}); err != nil || p.Pages == 0 || p.CPUs != nil {
		t.Errorf("got %+v, %v; want some pages, and not by which vCPU", p, err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := g.dirtyRate(context.Background(), DirtyRate{Duration: MaxDirtyRate})
		ended <- err
	}()
	for measured := false; !measured; {
		g.mu.Lock()
		measured = g.move != nil
		g.mu.Unlock()
	}
	g.reset()
	var f *Failure
	if err := <-ended; !errors.As(err, &f) || f.Code != "guest_reset" {
		t.Errorf("got %v; want the reset", err)
	}
	g.wait(t, "READY")
	if _, err := g.dirtyRate(context.Background(), DirtyRate{Duration: time.Millisecond}); err != nil {
		t.Errorf("after the reset: %v", err)
	}
}

// A measurement that yields is ended by what needs the dirty log, which finds the guest free.
func TestDirtyRateYields(t *testing.T) {
	g := newGuest(t, "fill=4 wss=2 rate=4")
	if err := g.boot(); err != nil {
		t.Fatal(err)
	}
	g.wait(t, "READY")
	for _, yields := range []bool{true, false} {
		ended := make(chan error, 1)
		go func() {
			_, err := g.dirtyRate(context.Background(), DirtyRate{Duration: MaxDirtyRate, Yield: yields})
			ended <- err
		}()
		for measured := false; !measured; {
			g.mu.Lock()
			measured = g.move != nil
			g.mu.Unlock()
		}
		v, err := g.beginMove()
		if got := err == nil; got != yields {
			t.Errorf("beside a measurement that yields (%v): got %v", yields, err)
		}
		if err == nil {
			v.end(false)
		} else if err := g.cancelMove(); err != nil {
			t.Error(err)
		}
		want := "cancelled"
		if yields {
			want = "preempted"
		}
		var f *Failure
		if err := <-ended; !errors.As(err, &f) || f.Code != want {
			t.Errorf("got %v; want it %s", err, want)
		}
	}
}
