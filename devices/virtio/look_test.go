package virtio

import (
	"testing"
	"time"
)

// TestLook shows that a look begins with waits that were short, ends with waits that were long, and does the work that it finds.
func TestLook(t *testing.T) {
	l, steps := look{}, 0
	nothing := func() bool { steps++; return false }
	if l.found(nothing) || steps != 0 {
		t.Errorf("got %d steps before any wait; want none", steps)
	}
	l.learn() // it was short
	if l.length != minLook {
		t.Errorf("after a short wait: got %v; want %v", l.length, minLook)
	}
	if l.found(nothing) || steps == 0 {
		t.Errorf("got %d steps that found nothing; want some", steps)
	}
	steps = 0
	if !l.found(func() bool { steps++; return true }) || steps != 1 {
		t.Errorf("got %d steps with work; want 1", steps)
	}
	for range 10 {
		l.began = time.Now()
		l.learn()
	}
	if l.length != maxLook {
		t.Errorf("after many short waits: got %v; want %v", l.length, maxLook)
	}
	for range 10 {
		l.began = time.Now().Add(-time.Second)
		l.learn()
	}
	if l.length != 0 {
		t.Errorf("after many long waits: got %v; want none", l.length)
	}
}
