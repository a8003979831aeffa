package rng

import (
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio"
)

func TestFillAllocatesNothing(t *testing.T) {
	d, err := New(Config{}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := virtio.Chain{Writable: []virtio.Buffer{{Bytes: make([]byte, 100)}, {Bytes: make([]byte, 1000)}}}
	n := testing.AllocsPerRun(100, func() {
		if got, err := d.fill(&c); got != 1100 || err != nil {
			t.Errorf("got %d, %v; want 1100", got, err)
		}
	})
	if n != 0 {
		t.Errorf("got %v allocations a request; want 0", n)
	}
}
