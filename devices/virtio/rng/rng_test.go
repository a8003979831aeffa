package rng_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/rng"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// maxBytes is what a request gets at most.
const maxBytes = 64 << 10

func device(t testing.TB, c rng.Config, saved *rng.State) *rng.Device {
	t.Helper()
	d, err := rng.New(c, saved)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestEntropy(t *testing.T) {
	for _, o := range []virtiotest.Options{{}, {Indirect: true}, {Refuse: virtio.FeatureEventIdx, Size: 2}} {
		d := virtiotest.Run(t, device(t, rng.Config{}, nil), virtiotest.NewMemory(t, 1<<20), o)
		seen := make(map[string]bool)
		for range 100 {
			got := d.Queue(0).Do(nil, 7, 25)
			if len(got) != 32 || seen[string(got)] {
				t.Fatalf("got %d bytes, seen before: %v; want 32 fresh ones", len(got), seen[string(got)])
			}
			seen[string(got)] = true
		}
	}
}

// A huge buffer gets a piece, so that no step is long.
func TestBounded(t *testing.T) {
	asked := 0
	source := func(p []byte) error {
		asked += len(p)
		for i := range p {
			p[i] = 0x5a
		}
		return nil
	}
	d := virtiotest.Run(t, device(t, rng.Config{Source: source}, nil), virtiotest.NewMemory(t, 1<<20), virtiotest.Options{})
	got := d.Queue(0).Do(nil, 1000, 256<<10)
	if diff := cmp.Diff(bytes.Repeat([]byte{0x5a}, maxBytes), got); diff != "" || asked != maxBytes {
		t.Errorf("got %d bytes, asked the host for %d; want %d", len(got), asked, maxBytes)
	}
}

func TestMove(t *testing.T) {
	dev := device(t, rng.Config{}, nil)
	d := virtiotest.Run(t, dev, virtiotest.NewMemory(t, 1<<20), virtiotest.Options{})
	q := d.Queue(0)
	q.Do(nil, 8)
	for range 5 {
		d.Quiesce()
		waiting := []*virtiotest.Request{q.Send(nil, 16), q.Send(nil, 16)}
		d.Move(func() virtio.Device {
			state := dev.Save()
			dev = device(t, rng.Config{}, &state)
			return dev
		})
		for _, r := range waiting {
			if got := q.Wait(r); len(got) != 16 {
				t.Errorf("asked before the move: got %d bytes; want 16", len(got))
			}
		}
	}
}

func TestHostile(t *testing.T) {
	tests := []struct {
		name string
		out  [][]byte
		in   []int
	}{
		{"a buffer to read", [][]byte{{1}}, []int{8}},
		{"nothing to write", [][]byte{{1}}, nil},
		{"an empty buffer", nil, []int{0}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := virtiotest.Run(t, device(t, rng.Config{}, nil), virtiotest.NewMemory(t, 1<<20), virtiotest.Options{})
			r := d.Queue(0).Send(tt.out, tt.in...)
			if err := d.WaitFailure(); !errors.Is(err, virtio.ErrDriver) || r.Done {
				t.Errorf("got %v; want ErrDriver", err)
			}
			d.Stop()
			d.Start()
			if got := d.Queue(0).Do(nil, 8); len(got) != 8 {
				t.Errorf("after a reset: got %d bytes; want 8", len(got))
			}
		})
	}
}

func TestNoEntropy(t *testing.T) {
	broken := errors.New("no entropy here")
	dev := device(t, rng.Config{Source: func([]byte) error { return broken }}, nil)
	d := virtiotest.Run(t, dev, virtiotest.NewMemory(t, 1<<20), virtiotest.Options{})
	d.Queue(0).Send(nil, 8)
	if err := d.WaitFailure(); !errors.Is(err, broken) {
		t.Errorf("got %v; want the source's error", err)
	}
}

func TestConfigIsEmpty(t *testing.T) {
	d := device(t, rng.Config{}, nil)
	d.WriteConfig(0, []byte{1, 2, 3})
	got := []byte{9, 9, 9}
	d.ReadConfig(1, got)
	if diff := cmp.Diff([]byte{0, 0, 0}, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
}
