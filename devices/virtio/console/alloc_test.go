package console

import (
	"io"
	"testing"

	"github.com/ferryvmm/ferry/devices/virtio"
)

func TestTransmitAllocatesNothing(t *testing.T) {
	d, err := New(Config{Output: io.Discard}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := virtio.Chain{Readable: []virtio.Buffer{{Bytes: make([]byte, 100)}, {Bytes: make([]byte, 1000)}}}
	p := make([]byte, 4)
	n := testing.AllocsPerRun(100, func() {
		if _, err := d.transmit(&c); err != nil {
			t.Error(err)
		}
		d.WriteConfig(emergencyOffset, p)
		d.ReadConfig(0, p)
	})
	if n != 0 {
		t.Errorf("got %v allocations a request; want 0", n)
	}
}
