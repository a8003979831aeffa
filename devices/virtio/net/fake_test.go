package net

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
)

// fakeTap is a tap of some queues: pairs of sockets that keep packets apart, of
// which the test has the far ends.
type fakeTap struct {
	t     testing.TB
	far   []int
	files []*os.File
	*fakeControl
}

// fakeControl is the control of a fake tap.
type fakeControl struct {
	mu       sync.Mutex // guards what follows
	attached []bool
	offloads int
	refuse   error // what every call fails with
}

func newFakeTap(t testing.TB, queues int) *fakeTap {
	t.Helper()
	f := &fakeTap{t: t, fakeControl: &fakeControl{attached: make([]bool, queues)}}
	f.attached[0] = true
	for range queues {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
		if err != nil {
			t.Fatal(err)
		}
		f.far = append(f.far, fds[0])
		file := os.NewFile(uintptr(fds[1]), "tap")
		f.files = append(f.files, file)
		t.Cleanup(func() { _ = errors.Join(unix.Close(fds[0]), file.Close()) })
	}
	return f
}

func (f *fakeControl) offload(flags int) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse == nil {
		f.offloads = flags
	}
	return f.refuse
}

func (f *fakeControl) attach(queue int, on bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.refuse == nil {
		f.attached[queue] = on
	}
	return f.refuse
}

// again is the tap of the host that the guest moves to: the far ends stay.
func (f *fakeTap) again() {
	f.fakeControl = &fakeControl{attached: make([]bool, len(f.files))}
	f.attached[0] = true
}

// device makes a device on the tap.
func (f *fakeTap) device(c Config, saved *State) *Device {
	f.t.Helper()
	sockets, err := newSockets(f.files)
	if err != nil {
		f.t.Fatal(err)
	}
	c.Tap, c.MAC, c.Log = f.files, guestMAC, slog.New(slog.DiscardHandler)
	d, err := newDevice(c, saved, sockets, f.fakeControl)
	if err != nil {
		f.t.Fatal(err)
	}
	return d
}

var guestMAC = [6]byte{0x52, 0x54, 0, 1, 2, 3}

// send puts a packet into a queue of the tap, behind an empty header.
func (f *fakeTap) send(queue int, frame []byte) {
	f.t.Helper()
	if _, err := unix.Write(f.far[queue], append(make([]byte, headerSize), frame...)); err != nil {
		f.t.Fatalf("send %d bytes to the tap: %v", len(frame), err)
	}
}

// next is the next packet that the device sent, with its header.
func (f *fakeTap) next(queue int) []byte {
	f.t.Helper()
	p := f.poll(queue, 20*time.Second)
	if p == nil {
		f.t.Fatal("the device sent nothing")
	}
	return p
}

// poll is next that may get nothing in some time.
func (f *fakeTap) poll(queue int, patience time.Duration) []byte {
	f.t.Helper()
	poll := []unix.PollFd{{Fd: int32(f.far[queue]), Events: unix.POLLIN}}
	if n, err := unix.Poll(poll, int(patience.Milliseconds())); n == 0 || err != nil && !errors.Is(err, unix.EINTR) {
		return nil
	}
	b := make([]byte, 70000)
	n, err := unix.Read(f.far[queue], b)
	if err != nil {
		f.t.Fatal(err)
	}
	return b[:n]
}

// frame is an Ethernet frame of n bytes for the guest, told apart by a number.
func frame(n, number int) []byte {
	f := make([]byte, n)
	copy(f, guestMAC[:])
	copy(f[6:], []byte{2, 0, 0, 0, 0, 1, 0x88, 0xb5})
	for i := ethernetSize; i < n; i++ {
		f[i] = byte(i + number)
	}
	return f
}

// guest is a device on a fake tap with a driver.
type guest struct {
	*virtiotest.Driver
	t   testing.TB
	tap *fakeTap
	dev *Device
	mem *virtiotest.Memory
}

func newGuest(t testing.TB, queues int, o virtiotest.Options) *guest {
	t.Helper()
	return newGuestWith(t, queues, 8<<20, o)
}

// newGuestWith is newGuest with some bytes of memory.
func newGuestWith(t testing.TB, queues int, memory uint64, o virtiotest.Options) *guest {
	t.Helper()
	g := &guest{t: t, tap: newFakeTap(t, queues), mem: virtiotest.NewMemory(t, memory)}
	g.dev = g.tap.device(Config{}, nil)
	g.Driver = virtiotest.Run(t, g.dev, g.mem, o)
	return g
}

// move goes on with another device on the same tap.
func (g *guest) move() {
	g.t.Helper()
	g.Driver.Move(func() virtio.Device {
		g.tap.again()
		s := g.dev.Save()
		g.dev = g.tap.device(Config{}, &s)
		return g.dev
	})
}

// packet puts together what a driver got: the frame out of the buffers of the
// requests that the header counts.
func (g *guest) packet(queue int) []byte {
	g.t.Helper()
	q := g.Queue(queue)
	first := q.Next()
	if len(first.Written) < headerSize {
		g.t.Fatalf("received %d bytes; want at least a header", len(first.Written))
	}
	p := bytes.Clone(first.Written)
	for range binary.LittleEndian.Uint16(p[countOffset:]) - 1 {
		p = append(p, q.Next().Written...)
	}
	return p[headerSize:]
}

// full tries to send and tells whether the tap takes no more.
func (f *fakeTap) full(queue int, frame []byte) bool {
	f.t.Helper()
	_, err := unix.Write(f.far[queue], append(make([]byte, headerSize), frame...))
	if err != nil && !errors.Is(err, unix.EAGAIN) {
		f.t.Fatal(err)
	}
	return err != nil
}

// empty tells whether the device has taken all that was sent.
func (f *fakeTap) empty(queue int) bool {
	f.t.Helper()
	n, err := unix.IoctlGetInt(f.far[queue], unix.SIOCOUTQ)
	if err != nil {
		f.t.Fatal(err)
	}
	return n == 0
}

// settle waits until ok.
func settle(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited for 20 s in vain")
		}
	}
}

// differ says where two packets do; empty: nowhere.
func differ(want, got []byte) string {
	if len(got) != len(want) {
		return fmt.Sprintf("got %d bytes; want %d", len(got), len(want))
	}
	for i := range want {
		if got[i] != want[i] {
			return fmt.Sprintf("at byte %d: got %x; want %x", i, got[i:min(i+16, len(got))], want[i:min(i+16, len(want))])
		}
	}
	return ""
}
