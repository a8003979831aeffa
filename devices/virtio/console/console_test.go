package console_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	host "github.com/ferryvmm/ferry/devices/console"
	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/console"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Queues.
const (
	receive = iota
	transmit
)

// printer is an output that keeps what it gets.
type printer struct {
	mu  sync.Mutex // guards got
	got bytes.Buffer
}

func (p *printer) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got.Write(b)
}

func (p *printer) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.got.String()
}

func device(t testing.TB, c console.Config, saved *console.State) *console.Device {
	t.Helper()
	if c.Output == nil {
		c.Output = io.Discard
	}
	if c.Room == nil {
		c.Room = func() {}
	}
	d, err := console.New(c, saved)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func memory(t testing.TB) *virtiotest.Memory { return virtiotest.NewMemory(t, 1<<20) }

func TestTransmit(t *testing.T) {
	var out printer
	d := virtiotest.Run(t, device(t, console.Config{Output: &out}, nil), memory(t), virtiotest.Options{})
	var want strings.Builder
	for _, words := range [][]string{{"login: "}, {"a ", "line\n"}, {strings.Repeat("x", 5000), "y"}} {
		var bufs [][]byte
		for _, w := range words {
			bufs = append(bufs, []byte(w))
			want.WriteString(w)
		}
		if got := d.Queue(transmit).Do(bufs); len(got) != 0 {
			t.Errorf("a transmitted buffer was written: %q", got)
		}
	}
	if diff := cmp.Diff(want.String(), out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

// What nobody can want to read is not printed, so that no step is long.
func TestTransmitBounded(t *testing.T) {
	var out printer
	d := virtiotest.Run(t, device(t, console.Config{Output: &out}, nil), memory(t), virtiotest.Options{})
	d.Queue(transmit).Do([][]byte{make([]byte, 60<<10), make([]byte, 200<<10), {1}})
	if got, want := len(out.String()), 64<<10; got != want {
		t.Errorf("printed %d bytes; want %d", got, want)
	}
}

func TestFeed(t *testing.T) {
	rooms := make(chan struct{}, 100)
	dev := device(t, console.Config{Room: func() { rooms <- struct{}{} }}, nil)
	feed := func(p string, want int) {
		t.Helper()
		if got := dev.Feed([]byte(p)); got != want {
			t.Fatalf("Feed(%q): got %d; want %d", p, got, want)
		}
	}
	feed("before a driver", 0)
	d := virtiotest.NewDriver(t, dev, memory(t), virtiotest.Options{})
	d.Start()
	q := d.Queue(receive)
	first := q.Send(nil, 4)
	feed("at rest", 0)
	d.Resume()
	<-rooms // of Resume
	feed("12345", 4)
	if got := string(q.Wait(first)); got != "1234" {
		t.Errorf("got %q; want 1234", got)
	}
	feed("5", 0)
	second := q.Add(nil, 2, 10)
	if !q.Kick() {
		t.Error("the device wants no kick though it had no buffer")
	}
	<-rooms
	feed("567", 3)
	if got := string(q.Wait(second)); got != "567" {
		t.Errorf("got %q; want 567", got)
	}
	d.Stop()
	feed("after a reset", 0)
}

// The hub holds what is typed while the guest has no buffer, before it has a
// driver, and while it moves; every byte arrives once, in order.
func TestHubAndMoves(t *testing.T) {
	in, typed, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	hub := host.New(nil, in)
	defer hub.Close()
	want := make([]byte, 300_000)
	for i := range want {
		want[i] = byte(i*11 ^ i>>8)
	}
	written := make(chan error, 1)
	go func() {
		_, err := typed.Write(want)
		written <- errors.Join(err, typed.Close())
	}()
	config := console.Config{Output: hub, Room: hub.Room}
	dev := device(t, config, nil)
	hub.SetInput(dev)
	d := virtiotest.Run(t, dev, memory(t), virtiotest.Options{Size: 8})
	q := d.Queue(receive)
	var got []byte
	for n := 0; len(got) < len(want); n++ {
		for q.Free() > 0 {
			q.Send(nil, 1+n%700)
		}
		got = append(got, q.Next().Written...)
		if n%50 == 49 {
			d.Move(func() virtio.Device {
				hub.SetInput(nil)
				state := dev.Save()
				dev = device(t, config, &state)
				hub.SetInput(dev)
				return dev
			})
		}
	}
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("what was typed was changed on the way: got %d bytes, want %d", len(got), len(want))
	}
	hub.SetInput(nil)
}

// Output that the guest had made available when it was stopped is printed at the
// target, once.
func TestMoveInOutput(t *testing.T) {
	var out printer
	dev := device(t, console.Config{Output: &out}, nil)
	d := virtiotest.Run(t, dev, memory(t), virtiotest.Options{})
	q := d.Queue(transmit)
	var want strings.Builder
	for i := range 20 {
		d.Quiesce()
		line := strings.Repeat("line\n", i+1)
		want.WriteString(line)
		r := q.Send([][]byte{[]byte(line)})
		d.Move(func() virtio.Device {
			state := dev.Save()
			dev = device(t, console.Config{Output: &out}, &state)
			return dev
		})
		q.Wait(r)
	}
	if diff := cmp.Diff(want.String(), out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestSize(t *testing.T) {
	dev := device(t, console.Config{}, nil)
	dev.SetSize(80, 25) // without a driver
	d := virtiotest.Run(t, dev, memory(t), virtiotest.Options{})
	if diff := cmp.Diff([]byte{80, 0, 25, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}, d.Config(0, 14)); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	dev.SetSize(80, 25)
	if n := d.ConfigChanges(); n != 0 {
		t.Errorf("the same size: got %d changes; want 0", n)
	}
	dev.SetSize(300, 50)
	d.WaitConfigChanges(1)
	d.Move(func() virtio.Device {
		state := dev.Save()
		if diff := cmp.Diff(console.State{Columns: 300, Rows: 50}, state); diff != "" {
			t.Errorf("state (-want +got):\n%s", diff)
		}
		return device(t, console.Config{}, &state)
	})
	if diff := cmp.Diff([]byte{44, 1, 50, 0}, d.Config(0, 4)); diff != "" {
		t.Errorf("size after a move (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]byte{0, 0}, d.Config(1<<40, 2)); diff != "" {
		t.Errorf("beyond the end (-want +got):\n%s", diff)
	}
}

// teller has its device's configuration read, in another thread, while it is
// told that it changes.
type teller struct {
	t    *testing.T
	dev  *console.Device
	read chan []byte
}

func (teller) Fail(error) {}

func (o teller) ConfigChanged() {
	go func() {
		p := make([]byte, 2)
		o.dev.ReadConfig(0, p)
		o.read <- p
	}()
	select {
	case p := <-o.read:
		o.t.Errorf("before the guest was told: got %v read; want that it waits", p)
		o.read <- p
	case <-time.After(10 * time.Millisecond):
	}
}

// TestSizeIsToldFirst: else a driver that reads in pieces could get one old and one new.
func TestSizeIsToldFirst(t *testing.T) {
	dev := device(t, console.Config{}, nil)
	o := teller{t, dev, make(chan []byte, 1)}
	if err := dev.Start(virtio.Driver{Features: 1, Queues: make([]*virtio.Queue, 2), Transport: o}); err != nil {
		t.Fatal(err)
	}
	defer dev.Stop()
	dev.SetSize(80, 25)
	if diff := cmp.Diff([]byte{80, 0}, <-o.read); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
}

func TestEmergencyWrite(t *testing.T) {
	var out printer
	dev := device(t, console.Config{Output: &out}, nil)
	for _, b := range []byte("panic") {
		dev.WriteConfig(8, []byte{b, 0, 0, 0})
	}
	dev.WriteConfig(0, []byte{'x'})
	dev.WriteConfig(9, []byte{'x'})
	dev.WriteConfig(8, nil)
	if got := out.String(); got != "panic" {
		t.Errorf("got %q; want panic", got)
	}
}

func TestHostile(t *testing.T) {
	tests := []struct {
		name  string
		queue int
		out   [][]byte
		in    []int
	}{
		{"receive into a buffer that cannot be written", receive, [][]byte{{1}}, nil},
		{"receive into one of each", receive, [][]byte{{1}}, []int{4}},
		{"receive into nothing", receive, nil, []int{0}},
		{"transmit from a buffer to write", transmit, [][]byte{{1}}, []int{4}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dev := device(t, console.Config{}, nil)
			d := virtiotest.Run(t, dev, memory(t), virtiotest.Options{})
			d.Queue(tt.queue).Send(tt.out, tt.in...)
			if n := dev.Feed([]byte("input")); n != 0 {
				t.Errorf("Feed: got %d; want 0", n)
			}
			if err := d.WaitFailure(); !errors.Is(err, virtio.ErrDriver) {
				t.Errorf("failure: got %v; want ErrDriver", err)
			}
			d.Stop()
			d.Start()
			d.Queue(transmit).Do([][]byte{[]byte("works again")})
		})
	}
}

// A reader that never reads holds up neither the guest nor a pause.
func TestStuckReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	hub := host.New(w, nil)
	d := virtiotest.Run(t, device(t, console.Config{Output: hub, Room: hub.Room}, nil), memory(t), virtiotest.Options{})
	line := append(bytes.Repeat([]byte{'x'}, 32<<10), '\n')
	began := time.Now()
	for range 100 {
		d.Queue(transmit).Do([][]byte{line})
	}
	d.Quiesce()
	if hub.Dropped() == 0 {
		t.Error("nothing was dropped; want what the reader does not read")
	}
	t.Logf("3.2 MiB to a reader that does not read: %v", time.Since(began))
	r.Close()
	d.Close()
	if err := hub.Close(); err != nil {
		t.Error(err)
	}
}

func TestFeedAllocatesNothing(t *testing.T) {
	const requests = 250
	dev := device(t, console.Config{}, nil)
	d := virtiotest.NewDriver(t, dev, memory(t), virtiotest.Options{Unchecked: true})
	d.Start()
	for range requests {
		d.Queue(receive).Send(nil, 1)
	}
	d.Resume()
	p := []byte{'x'}
	n := testing.AllocsPerRun(requests-1, func() {
		if dev.Feed(p) != 1 {
			t.Error("no room; want some")
		}
	})
	if n != 0 {
		t.Errorf("got %v allocations a byte; want 0", n)
	}
}
