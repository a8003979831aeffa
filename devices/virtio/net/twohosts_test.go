package net_test

import (
	"encoding/binary"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/net"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/announce"
	"github.com/ferryvmm/ferry/netmig/link"
)

// counted is the type of the frames that a client numbers (IEEE 802, for experiments).
const counted = 0x88b5

// twoHosts is a guest that moves between the bridges of two hosts, which are joined
// by a switch. On that is a client.
type twoHosts struct {
	*virtiotest.Driver
	t     *testing.T
	nic   netmig.NIC
	ports [2]*link.Port
	dev   *net.Device
	at    int // the host where the guest is
	got   uint64
	seen  map[uint64]bool // frames
	last  map[int]uint64  // of each queue, and one
}

// newTwoHosts makes them all in a namespace of its own.
func newTwoHosts(t *testing.T, queues int) (_ *twoHosts, client int) {
	t.Helper()
	enterHost(t)
	w := &twoHosts{t: t, nic: netmig.Spec{ID: "eth", Queues: queues}.NIC(), seen: make(map[uint64]bool), last: make(map[int]uint64)}
	add := func(l netlink.Link) {
		if err := errors.Join(netlink.LinkAdd(l), netlink.LinkSetUp(l)); err != nil {
			t.Fatal(err)
		}
	}
	bridge := func(name string) *netlink.Bridge {
		a := netlink.NewLinkAttrs()
		a.Name = name
		b := &netlink.Bridge{LinkAttrs: a}
		add(b)
		return b
	}
	cable := func(name string, from, to netlink.Link) {
		a := netlink.NewLinkAttrs()
		a.Name = name
		v := &netlink.Veth{LinkAttrs: a, PeerName: name + "p"}
		add(v)
		peer, err := netlink.LinkByName(v.PeerName)
		if err == nil {
			err = errors.Join(netlink.LinkSetUp(peer), netlink.LinkSetMaster(v, from))
		}
		if err == nil && to != nil {
			err = netlink.LinkSetMaster(peer, to)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	hub := bridge("switch")
	for i, name := range []string{"host0", "host1"} {
		cable("up"+name, hub, bridge(name))
		var err error
		if w.ports[i], err = link.Open(netmig.Attachment{Bridge: name}, w.nic, ""); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { w.ports[i].Close() })
	}
	cable("client", hub, nil)
	w.dev = w.device(nil)
	w.Driver = virtiotest.Run(t, &kept{w.dev, false}, virtiotest.NewMemory(t, 16<<20), virtiotest.Options{})
	t.Cleanup(func() { end(t, w.dev) }) // before the driver forgets its memory
	return w, w.open("clientp")
}

// device makes the guest's device at the host where it is.
func (w *twoHosts) device(saved *net.State) *net.Device {
	w.t.Helper()
	d, err := net.New(net.Config{Tap: files(w.t, w.ports[w.at]), MAC: w.nic.MAC, Log: slog.New(slog.DiscardHandler)}, saved)
	if err != nil {
		w.t.Fatal(err)
	}
	return d
}

// open is a socket that sends on a link.
func (w *twoHosts) open(name string) int {
	w.t.Helper()
	l, err := netlink.LinkByName(name)
	if err != nil {
		w.t.Fatal(err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: l.Attrs().Index}); err != nil {
		w.t.Fatal(err)
	}
	return fd
}

// kept is a device that is still there when its driver has moved on. Where it arrives it holds.
type kept struct {
	*net.Device
	arrives bool
}

func (k *kept) Resume() {
	if k.arrives {
		k.Hold()
	}
	k.arrives = false
	k.Device.Resume()
}

func (k *kept) Stop()        {}
func (k *kept) Close() error { return nil }

// end is what the driver's moving on was not.
func end(t *testing.T, d *net.Device) {
	d.Stop()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}

// move takes the guest to the other host, as a machine and the engine do. Unless
// it arrives, the move fails once the guest stands still.
func (w *twoHosts) move(arrives bool) {
	w.t.Helper()
	old, more := w.dev, make(chan struct{}, 1)
	if !arrives {
		w.Quiesce()
		c := old.Capture(more)
		c.Commit()
		for len(c.Since(0).Frames) < 3 {
			<-more
		}
		w.Resume()
		return
	}
	w.at = 1 - w.at
	var c *net.Capture
	w.Move(func() virtio.Device {
		c = old.Capture(more)
		s := old.Save()
		w.dev = w.device(&s)
		c.Commit()
		return &kept{w.dev, true}
	})
	if err := w.dev.Announce(announce.Frames(w.nic.MAC, nil)); err != nil {
		w.t.Fatal(err)
	}
	for next := 0; ; <-more {
		got := c.Since(next)
		for _, f := range got.Frames {
			if f.Forward && !w.dev.Deliver(f.Queue, f.Packet) {
				w.t.Fatal("a packet was not taken")
			}
		}
		if next += len(got.Frames); got.Barrier {
			break
		}
	}
	w.dev.Release()
	c.End()
	end(w.t, old)
}

// onOneProcessor has all threads of the process run there until the test ends; new ones are born there.
func onOneProcessor(t *testing.T) {
	t.Helper()
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if all.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	threads := func(set *unix.CPUSet) error {
		dirs, err := filepath.Glob("/proc/self/task/*")
		for _, dir := range dirs {
			tid, _ := strconv.Atoi(filepath.Base(dir))
			if e := unix.SchedSetaffinity(tid, set); !errors.Is(e, unix.ESRCH) { // it may have ended
				err = errors.Join(err, e)
			}
		}
		return err
	}
	if err := errors.Join(threads(&one), threads(&one)); err != nil { // twice: for those that were born meanwhile
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := threads(&all); err != nil {
			t.Error(err)
		}
	})
}

// receive takes what the driver has got: each frame once, and in order in its queue.
func (w *twoHosts) receive() {
	w.t.Helper()
	for i := range len(w.ports[0].Queues) {
		for w.Queue(2*i).Free() > 0 {
			w.Queue(2*i).Add(nil, 1536)
		}
		w.Queue(2 * i).Kick()
		for r := w.Queue(2 * i).Poll(); r != nil; r = w.Queue(2 * i).Poll() {
			f := r.Written[vnetSize:]
			if binary.BigEndian.Uint16(f[12:]) != counted {
				continue
			}
			n := binary.BigEndian.Uint64(f[ethSize:])
			if w.seen[n] || n < w.last[i] {
				w.t.Fatalf("got frame %d, after %d; seen before: %v", n, w.last[i]-1, w.seen[n])
			}
			w.seen[n], w.last[i] = true, n+1
			w.got++
		}
	}
}

// sender is a client that sends numbered frames to a guest.
type sender struct {
	ended chan struct{} // closed to end it
	sent  chan uint64   // gets how many it sent
	once  sync.Once
	total uint64
}

func newSender(t *testing.T, fd int, to netmig.MAC) *sender {
	s := &sender{ended: make(chan struct{}), sent: make(chan uint64)}
	go func() {
		f := make([]byte, 60)
		copy(f, to[:])
		copy(f[6:], []byte{2, 0, 0, 0, 0, 1})
		binary.BigEndian.PutUint16(f[12:], counted)
		tick := time.NewTicker(100 * time.Microsecond)
		defer tick.Stop()
		for n := uint64(0); ; n++ {
			select {
			case <-s.ended:
				s.sent <- n
				return
			case <-tick.C:
			}
			binary.BigEndian.PutUint64(f[ethSize:], n)
			if _, err := unix.Write(fd, f); err != nil {
				t.Errorf("send: %v", err)
			}
		}
	}()
	t.Cleanup(func() { s.stop() })
	return s
}

// stop ends it and returns how many frames it sent. It may be called again.
func (s *sender) stop() uint64 {
	s.once.Do(func() {
		close(s.ended)
		s.total = <-s.sent
	})
	return s.total
}

// TestNoFrameIsLost moves a guest to and fro while a client sends it frames: each
// comes once, in order. Every third move fails. (With several queues a tap may choose another for a flow: then only
// what is in one has an order.) All is done by one processor: with several the announcement may overtake frames, which the
// engine waits for (migration.TestStrayPackets), and this test does not.
func TestNoFrameIsLost(t *testing.T) {
	const moves = 60
	onOneProcessor(t)
	for _, queues := range []int{1, 2} {
		w, client := newTwoHosts(t, queues)
		if queues > 1 {
			w.Queue(2*queues).Do([][]byte{{4, 0}, {byte(queues), 0}}, 1)
		}
		w.receive()
		if err := w.dev.Announce(announce.Frames(w.nic.MAC, nil)); err != nil {
			t.Fatal(err)
		}
		sender := newSender(t, client, w.nic.MAC)
		for i := range moves {
			before := w.got
			waitFor(t, func() bool { w.receive(); return w.got >= before+10 })
			w.move(i%3 > 0)
		}
		total := sender.stop()
		waitFor(t, func() bool { w.receive(); return w.got == total })
	}
}
