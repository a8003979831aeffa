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
	if p, err := g.dirtyRate(context.Background(), 300*time.Millisecond); err != nil || p.Pages == 0 || p.CPUs != nil {
		t.Errorf("got %+v, %v; want some pages, and not by which vCPU", p, err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := g.dirtyRate(context.Background(), MaxDirtyRate)
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
	if _, err := g.dirtyRate(context.Background(), time.Millisecond); err != nil {
		t.Errorf("after the reset: %v", err)
	}
}
