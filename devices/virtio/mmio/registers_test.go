package mmio_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/mmio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// lines counts what is logged.
type lines struct {
	n    int
	last string
}

func (l *lines) Write(p []byte) (int, error) {
	l.n++
	l.last = string(p)
	return len(p), nil
}

var _ io.Writer = (*lines)(nil)

// ring is a queue that fits into the memory of a board.
func ring(size uint16) virtio.QueueState {
	return virtio.QueueState{Size: size, Desc: 0x1000, Avail: 0x3002, Use: 0x4004}
}

func TestConstants(t *testing.T) {
	b := newBoard(t, 8, 64)
	b.want("", magicValue, 0x74726976)
	b.want("", version, 2)
	b.want("", deviceID, 63)
	b.want("", vendorID, 0x59525246)
	b.want("", status, 0)
	b.want("", interruptStatus, 0)
	b.want("", configGeneration, 0)
	for _, sel := range []uint32{0, 1, 255} {
		b.set(shmSel, sel)
		for _, reg := range []uint64{shmLen, shmLen + 4, shmBase, shmBase + 4} {
			b.want("no shared memory", reg, 0xffffffff)
		}
	}
	for _, reg := range []uint64{0x018, 0x048, 0x0f8, driverFeatures, queueDesc, queueNotify, queueReset} {
		b.set(reg, 1)
		b.want("nothing to read", reg, 0)
	}
	for sel, want := range map[uint32]uint32{0: 0x30000008, 1: 1, 2: 0, 1 << 31: 0} {
		b.set(deviceFeaturesSel, sel)
		b.want(fmt.Sprintf("features %d", sel), deviceFeatures, want)
	}
	for sel, want := range map[uint32]uint32{0: 8, 1: 64, 2: 0, 0xffffffff: 0} {
		b.set(queueSel, sel)
		b.want(fmt.Sprintf("queue %d", sel), queueSizeMax, want)
		b.want(fmt.Sprintf("queue %d", sel), queueReady, 0)
	}
}

func TestWidths(t *testing.T) {
	b := newBoard(t, 8)
	for _, n := range []int{1, 2, 4, 8} {
		for offset := uint64(0); offset < 8; offset++ {
			p := []byte{9, 9, 9, 9, 9, 9, 9, 9}[:n]
			b.Read(offset, p)
			want := make([]byte, n)
			if n == 4 && offset == 0 {
				copy(want, "virt")
			} else if n == 4 && offset == 4 {
				want[0] = 2
			}
			if diff := cmp.Diff(want, p); diff != "" {
				t.Errorf("%d bytes at %d (-want +got):\n%s", n, offset, diff)
			}
			p[0] = acknowledge
			if n != 4 || offset != 0 {
				b.Write(status+offset, p)
				b.want("not an aligned register", status, 0)
			}
		}
	}
	// The configuration space takes every width.
	b.Write(config, []byte{1, 2, 3, 4, 5, 6, 7, 8})
	for _, n := range []int{1, 2, 4} {
		b.Write(config+uint64(n), []byte{0xa1, 0xa2, 0xa3, 0xa4}[:n])
	}
	got := make([]byte, 8)
	b.Read(config, got)
	if diff := cmp.Diff([]byte{1, 0xa1, 0xa1, 0xa2, 0xa1, 0xa2, 0xa3, 0xa4}, got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	b.Read(mmio.Size-8, got)
	if diff := cmp.Diff(make([]byte, 8), got); diff != "" {
		t.Errorf("beyond the configuration (-want +got):\n%s", diff)
	}
}

func TestNegotiation(t *testing.T) {
	tests := []struct {
		name     string
		features uint64
		ok       bool
	}{
		{"all", accepted, true},
		{"the least", virtio.FeatureVersion1, true},
		{"no version 1", accepted &^ virtio.FeatureVersion1, false},
		{"one not offered", accepted | 1, false},
		{"one not offered, high", accepted | 1<<63, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := newBoard(t, 8)
			b.negotiate(tt.features)
			want := uint32(acknowledge | driver)
			if tt.ok {
				want |= featuresOK
			}
			b.want("", status, want)
			b.set(status, want|driverOK)
			if tt.ok {
				want |= driverOK
			}
			b.want("driver OK", status, want)
			b.set(status, acknowledge)
			b.want("a bit stays", status, want)
			b.set(status, want|needsReset|16|32|1<<8|failed)
			b.want("bits that are not the driver's", status, want|failed)
			b.set(status, 0)
			b.want("reset", status, 0)
		})
	}
}

func TestFeaturesAreSettled(t *testing.T) {
	b := newBoard(t, 8)
	b.set(driverFeaturesSel, 2)
	b.set(driverFeatures, 0xffffffff)
	b.negotiate(virtio.FeatureVersion1)
	b.set(driverFeaturesSel, 0)
	b.set(driverFeatures, 8)
	if got := b.Save().Features; got != virtio.FeatureVersion1 {
		t.Errorf("features: got %#x; want %#x", got, virtio.FeatureVersion1)
	}
}

func TestQueueSetup(t *testing.T) {
	b := newBoard(t, 8, 16)
	want := []virtio.QueueState{{Size: 8}, {Size: 16}}
	check := func(what string) {
		t.Helper()
		if diff := cmp.Diff(want, b.Save().Queues); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	b.place(1, ring(4))
	check("before features are settled")
	b.negotiate(accepted)
	for _, size := range []uint32{3, 32, 0, 1 << 16, 1<<16 + 4, 1 << 31} {
		b.set(queueSel, 1)
		b.set(queueSize, size)
		want[1].Size = 0
		check(fmt.Sprintf("a queue of %d descriptors", size))
	}
	high := ring(4)
	high.Desc, high.Avail, high.Use = 0x1234567812345670, 0x2234567812345670, 0x3234567812345670
	b.place(1, high)
	b.want("", queueReady, 1)
	high.Ready = true
	want[1] = high
	check("placed")
	b.set(queueSize, 8)
	b.set(queueDesc, 0)
	check("ready: what it is stays")
	b.set(queueReady, 0)
	b.want("", queueReady, 0)
	b.place(1, ring(16))
	want[1] = ring(16)
	want[1].Ready = true
	check("placed again")
	b.set(queueSel, 2)
	b.set(queueReady, 0)
	b.set(queueSize, 2)
	check("a queue that there is not")
	b.set(status, acknowledge|driver|featuresOK|driverOK)
	b.want("", status, acknowledge|driver|featuresOK|driverOK)
	b.set(queueSel, 0)
	b.set(queueReady, 1)
	b.set(queueSel, 1)
	b.set(queueReady, 0)
	check("the device runs")
	b.set(status, 0)
	want = []virtio.QueueState{{Size: 8}, {Size: 16}}
	check("reset")
}

func TestBadQueuesNeedReset(t *testing.T) {
	bad := map[string]func(*virtio.QueueState){
		"no size":             func(q *virtio.QueueState) { q.Size = 5 },
		"descriptors unround": func(q *virtio.QueueState) { q.Desc += 8 },
		"available unround":   func(q *virtio.QueueState) { q.Avail++ },
		"used unround":        func(q *virtio.QueueState) { q.Use += 2 },
		"descriptors outside": func(q *virtio.QueueState) { q.Desc = 1 << 20 },
		"available at an end": func(q *virtio.QueueState) { q.Avail = 1<<20 - 8 },
		"used far outside":    func(q *virtio.QueueState) { q.Use = 1<<64 - 4 },
	}
	var out lines
	b := newBoard(t, 8)
	b.log = slog.New(slog.NewTextHandler(&out, nil))
	b.remake(nil)
	for name, spoil := range bad {
		t.Run(name, func(t *testing.T) {
			b.negotiate(accepted)
			q := ring(8)
			spoil(&q)
			b.place(0, q)
			edges := b.edges.Load()
			b.set(status, acknowledge|driver|featuresOK|driverOK)
			b.want("", status, acknowledge|driver|featuresOK|driverOK|needsReset)
			b.want("", interruptStatus, 2)
			if got := b.edges.Load() - edges; got != 1 {
				t.Errorf("interrupts: got %d; want 1", got)
			}
			b.set(interruptACK, 3)
			b.want("acknowledged", interruptStatus, 0)
			b.set(queueNotify, 0)
			b.set(status, 0)
			b.want("reset", status, 0)
		})
	}
	if out.n != 1 || !strings.Contains(out.last, "needs a reset") {
		t.Errorf("log: got %d lines, the last %q; want 1 for all of them", out.n, out.last)
	}
}

// refusing is a device that does not start.
type refusing struct{ *virtiotest.Echo }

var errRefused = errors.New("refused")

func (refusing) Start(virtio.Driver) error { return errRefused }

func TestDeviceRefuses(t *testing.T) {
	b := newBoard(t)
	b.make = func() virtio.Device { return refusing{virtiotest.NewEcho()} }
	b.remake(nil)
	b.negotiate(accepted)
	b.set(status, acknowledge|driver|featuresOK|driverOK)
	b.want("", status, acknowledge|driver|featuresOK|driverOK|needsReset)
	saved := b.Save()
	b.remake(&saved)
	b.want("after a move", status, acknowledge|driver|featuresOK|driverOK|needsReset)
	b.want("after a move", interruptStatus, 2)
	saved.Status &^= needsReset
	if _, err := b.try(&saved); !errors.Is(err, mmio.ErrState) || !errors.Is(err, errRefused) {
		t.Errorf("a state that the device does not start with: got %v; want ErrState and why", err)
	}
}
