package vsock_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
	"github.com/ferryvmm/ferry/devices/virtio/vsock"
)

func TestGuestConnects(t *testing.T) {
	p := newPrograms(t)
	g := boot(t, device(t, p, nil), virtiotest.Options{})
	s := g.connect(p)
	g.send(packet{Op: data, Src: 1000, Dst: 52, Data: "hello "})
	g.send(packet{Op: data, Src: 1000, Dst: 52, Data: "host"})
	expect(t, s, "hello host", false)
	write(t, s, "hello guest")
	g.want(packet{Op: data, Src: 52, Dst: 1000, Data: "hello guest", Alloc: window, Forwarded: 10})
	g.send(packet{Op: data, Src: 1000, Dst: 52, Data: "bye"})
	g.send(packet{Op: shutdown, Src: 1000, Dst: 52, Flags: noReceive | noSend})
	g.want(packet{Op: reset, Src: 52, Dst: 1000})
	expect(t, s, "bye", true)
	g.send(packet{Op: data, Src: 1000, Dst: 52, Data: "too late"})
	g.want(packet{Op: reset, Src: 52, Dst: 1000})
	g.wantNothing()
}

func TestHostConnects(t *testing.T) {
	dev := device(t, newPrograms(t), nil)
	g := boot(t, dev, virtiotest.Options{Refuse: virtio.FeatureEventIdx})
	for i, greeting := range []string{"CONNECT 80\n", "connect 80\n", "CONNECT 80\r\n"} {
		end, s := socketpair(t)
		dev.Accept(end)
		for _, b := range []byte(greeting) { // as slowly as can be
			write(t, s, string(b))
		}
		port := uint32(1<<30 + i)
		g.want(packet{Op: request, Src: port, Dst: 80, Alloc: window})
		write(t, s, "early")
		g.send(packet{Op: response, Src: 80, Dst: port})
		expect(t, s, fmt.Sprintf("OK %d\n", port), false)
		g.want(packet{Op: data, Src: port, Dst: 80, Data: "early"})
		g.send(packet{Op: data, Src: 80, Dst: port, Data: "answer"})
		expect(t, s, "answer", false)
		g.send(packet{Op: reset, Src: 80, Dst: port})
		expect(t, s, "", true)
	}
	g.wantNothing()
}

// A program may send right behind its greeting.
func TestHostConnectsInAHurry(t *testing.T) {
	dev := device(t, newPrograms(t), nil)
	g := boot(t, dev, virtiotest.Options{})
	end, s := socketpair(t)
	write(t, s, "CONNECT 4294967295\nfirst words, and more than a line's worth of them")
	dev.Accept(end)
	g.want(packet{Op: request, Src: 1 << 30, Dst: 1<<32 - 1})
	g.send(packet{Op: response, Src: 1<<32 - 1, Dst: 1 << 30})
	var got string
	for want := "first words, and more than a line's worth of them"; len(got) < len(want); {
		p := g.receive()
		got += p.Data
		if p.Op != data || !strings.HasPrefix(want, got) {
			t.Fatalf("got %+v; want %q", p, want)
		}
	}
}

func TestHostIsRefused(t *testing.T) {
	t.Run("by the guest", func(t *testing.T) {
		dev := device(t, newPrograms(t), nil)
		g := boot(t, dev, virtiotest.Options{})
		end, s := socketpair(t)
		write(t, s, "CONNECT 80\n")
		dev.Accept(end)
		g.want(packet{Op: request, Src: 1 << 30, Dst: 80})
		g.send(packet{Op: reset, Src: 80, Dst: 1 << 30})
		expect(t, s, "", true)
	})
	t.Run("without a driver", func(t *testing.T) {
		dev := device(t, newPrograms(t), nil)
		defer dev.Close()
		end, s := socketpair(t)
		write(t, s, "CONNECT 80\n")
		dev.Accept(end)
		expect(t, s, "", true)
	})
	t.Run("after Close", func(t *testing.T) {
		dev := device(t, newPrograms(t), nil)
		if err := dev.Close(); err != nil {
			t.Error(err)
		}
		end, s := socketpair(t)
		dev.Accept(end)
		expect(t, s, "", true)
	})
	for _, greeting := range []string{
		"\n", "CONNECT\n", "CONNECT \n", "CONNECT x\n", "CONNECT -1\n", "CONNECT 4294967296\n", "CONNECT 1 2\n", "GET / HTTP/1.1\n",
		"CONNECT 000000000000000000000000000000000001\n", strings.Repeat("x", 1000),
	} {
		t.Run(fmt.Sprintf("%.20q", greeting), func(t *testing.T) {
			dev := device(t, newPrograms(t), nil)
			g := boot(t, dev, virtiotest.Options{})
			end, s := socketpair(t)
			write(t, s, greeting)
			dev.Accept(end)
			expect(t, s, "", true)
			g.wantNothing()
		})
	}
	t.Run("who hangs up", func(t *testing.T) {
		dev := device(t, newPrograms(t), nil)
		g := boot(t, dev, virtiotest.Options{})
		end, s := socketpair(t)
		write(t, s, "CONN")
		dev.Accept(end)
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		expect(t, s, "", true)
		g.wantNothing()
	})
}

func TestGuestIsRefused(t *testing.T) {
	g := boot(t, device(t, newPrograms(t), nil), virtiotest.Options{})
	g.send(packet{Op: request, Src: 1000, Dst: 100})
	g.want(packet{Op: reset, Src: 100, Dst: 1000, Alloc: window})
	g.wantNothing()
}

// A guest that no longer wants what it asked for ends the dialling.
func TestDialIsCancelled(t *testing.T) {
	var host stuck
	dev := device(t, &host, nil)
	g := boot(t, dev, virtiotest.Options{})
	g.send(packet{Op: request, Src: 1000, Dst: 52})
	g.send(packet{Op: reset, Src: 1000, Dst: 52})
	g.send(packet{Op: request, Src: 1001, Dst: 52})
	g.send(packet{Op: shutdown, Src: 1001, Dst: 52, Flags: noReceive | noSend})
	g.want(packet{Op: reset, Src: 52, Dst: 1001})
	g.send(packet{Op: request, Src: 1002, Dst: 52})
	g.wantNothing()
	g.Close() // cancels the last
	if host.calls > 3 {
		t.Errorf("dialled %d times; want 3 at most", host.calls)
	}
}

func TestHalfClose(t *testing.T) {
	t.Run("by the host", func(t *testing.T) {
		p := newPrograms(t)
		g := boot(t, device(t, p, nil), virtiotest.Options{})
		s := g.connect(p)
		write(t, s, "the question")
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		g.want(packet{Op: data, Src: 52, Dst: 1000, Data: "the question"})
		g.want(packet{Op: shutdown, Src: 52, Dst: 1000, Flags: noSend})
		g.send(packet{Op: data, Src: 1000, Dst: 52, Data: "the answer"})
		expect(t, s, "the answer", false)
		g.send(packet{Op: shutdown, Src: 1000, Dst: 52, Flags: noReceive | noSend})
		g.want(packet{Op: reset, Src: 52, Dst: 1000})
		expect(t, s, "", true)
	})
	t.Run("by the guest", func(t *testing.T) {
		p := newPrograms(t)
		g := boot(t, device(t, p, nil), virtiotest.Options{})
		s := g.connect(p)
		g.send(packet{Op: data, Src: 1000, Dst: 52, Data: "the question"})
		g.send(packet{Op: shutdown, Src: 1000, Dst: 52, Flags: noSend})
		expect(t, s, "the question", true)
		write(t, s, "the answer")
		g.want(packet{Op: data, Src: 52, Dst: 1000, Data: "the answer"})
		g.send(packet{Op: shutdown, Src: 1000, Dst: 52, Flags: noReceive}) // hints add up
		g.want(packet{Op: reset, Src: 52, Dst: 1000})
	})
	t.Run("of what the guest reads", func(t *testing.T) {
		p := newPrograms(t)
		g := boot(t, device(t, p, nil), virtiotest.Options{})
		s := g.connect(p)
		g.send(packet{Op: shutdown, Src: 1000, Dst: 52, Flags: noReceive})
		var err error
		for err == nil {
			_, err = s.Write([]byte("nobody listens"))
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a program that writes: got %v; want that it learns that nobody listens", err)
		}
		g.send(packet{Op: data, Src: 1000, Dst: 52, Data: "more"})
		expect(t, s, "more", false)
	})
}

// The host program is gone: the guest gets what it has sent, and learns that
// nobody takes what the guest sends.
func TestHostCloses(t *testing.T) {
	p := newPrograms(t)
	g := boot(t, device(t, p, nil), virtiotest.Options{})
	s := g.connect(p)
	write(t, s, "last words")
	s.Close()
	g.want(packet{Op: data, Src: 52, Dst: 1000, Data: "last words"})
	g.want(packet{Op: shutdown, Src: 52, Dst: 1000, Flags: noSend})
	g.send(packet{Op: data, Src: 1000, Dst: 52, Data: "hello?"})
	g.want(packet{Op: shutdown, Src: 52, Dst: 1000, Flags: noReceive | noSend, Alloc: window, Forwarded: 6})
	g.send(packet{Op: data, Src: 1000, Dst: 52, Data: "more"}) // was under way
	g.send(packet{Op: reset, Src: 1000, Dst: 52})
	g.wantNothing()
}

// A host program that reads late gets all that the guest has sent, though the
// guest has closed; unless the device is closed too.
func TestLingers(t *testing.T) {
	p := newPrograms(t)
	p.room = 1 // as little as the kernel allows
	dev := device(t, p, nil)
	g := boot(t, dev, virtiotest.Options{})
	var late [2]*net.UnixConn
	for i := range late {
		late[i] = g.connect(p)
		for range 4 {
			g.send(packet{Op: data, Src: 1000, Dst: 52, Data: strings.Repeat("x", window/4)})
		}
		g.send(packet{Op: shutdown, Src: 1000, Dst: 52, Flags: noReceive | noSend})
		g.want(packet{Op: reset, Src: 52, Dst: 1000})
	}
	if n, err := io.Copy(io.Discard, late[0]); n != window || err != nil {
		t.Errorf("the host program got %d bytes, %v; want %d", n, err, window)
	}
	g.Close()
	if n, err := io.Copy(io.Discard, late[1]); n == 0 || n >= window || err != nil {
		t.Errorf("a host program that reads after Close got %d bytes, %v; want some", n, err)
	}
}

// At the target the connections are lost, and the guest is told so before
// anything else; the host programs see the end, and new connections work.
func TestMove(t *testing.T) {
	p := newPrograms(t)
	dev := device(t, p, nil)
	g := boot(t, dev, virtiotest.Options{})
	s := g.connect(p)
	write(t, s, "not yet received")
	g.send(packet{Op: data, Src: 1000, Dst: 52, Data: "sent"})
	g.Quiesce()
	parked := g.Queue(transmitQueue).Send([][]byte{packet{Op: data, Src: 1000, Dst: 52, Data: "parked", Alloc: 1}.encode()})
	end, early := socketpair(t)
	g.Move(func() virtio.Device {
		state := dev.Save()
		dev = device(t, p, &state)
		return dev
	})
	expect(t, s, "sent", true)
	write(t, early, "CONNECT 80\n")
	dev.Accept(end) // waits until the guest knows
	g.Queue(transmitQueue).Wait(parked)
	for r := g.Queue(receiveQueue).Poll(); r != nil; r = g.Queue(receiveQueue).Poll() {
		if got := decode(t, r.Written); got.Op != data { // of the source
			t.Errorf("before the guest was told: got %+v; want nothing", got)
		}
	}
	if got := g.Queue(eventQueue).Do(nil, 2, 6); string(got) != "\x00\x00\x00\x00" {
		t.Errorf("event: got %x; want a transport reset", got)
	}
	got := []packet{g.receive(), g.receive()}
	for _, want := range []packet{{Op: reset, Src: 52, Dst: 1000}, {Op: request, Src: 1 << 30, Dst: 80}} {
		if !slicesContain(got, want) {
			t.Errorf("after the event: got %+v; want %+v too", got, want)
		}
	}
	s = g.connect(p)
	g.send(packet{Op: data, Src: 1000, Dst: 52, Data: "again"})
	expect(t, s, "again", false)
	again := g.Queue(eventQueue).Send(nil, 8)
	g.wantNothing()
	if again.Done || g.Queue(eventQueue).Poll() != nil {
		t.Error("a second event; want one for a move")
	}
}

// slicesContain compares without credit.
func slicesContain(all []packet, want packet) bool {
	for _, p := range all {
		p.Alloc, p.Forwarded = 0, 0
		if cmp.Equal(p, want) {
			return true
		}
	}
	return false
}

// A move that fails leaves the connections as they were.
func TestRestAndGoOn(t *testing.T) {
	p := newPrograms(t)
	g := boot(t, device(t, p, nil), virtiotest.Options{})
	s := g.connect(p)
	for range 10 {
		g.Quiesce()
		write(t, s, "to the guest")
		r := g.Queue(transmitQueue).Send([][]byte{packet{Op: data, Src: 1000, Dst: 52, Data: "to the host", Alloc: 1 << 20}.encode()})
		if g.Queue(receiveQueue).Poll() != nil || g.Queue(transmitQueue).Poll() != nil {
			t.Error("a device at rest used a buffer")
		}
		g.Resume()
		g.Queue(transmitQueue).Wait(r)
		expect(t, s, "to the host", false)
		g.want(packet{Op: data, Src: 52, Dst: 1000, Data: "to the guest"})
	}
}

// A reset of the guest ends its connections, and the next driver begins afresh.
func TestReset(t *testing.T) {
	p := newPrograms(t)
	g := boot(t, device(t, p, nil), virtiotest.Options{})
	s := g.connect(p)
	g.send(packet{Op: data, Src: 1000, Dst: 52, Data: "before"})
	g.Stop()
	expect(t, s, "before", true)
	g.Start()
	g.refill()
	s = g.connect(p)
	g.send(packet{Op: data, Src: 1000, Dst: 52, Data: "after"})
	expect(t, s, "after", false)
}

func TestConfig(t *testing.T) {
	for _, cid := range []uint64{0, 1, 2, 1<<32 - 1, 1 << 32, 1<<64 - 1} {
		if _, err := vsock.New(vsock.Config{CID: cid}, nil); !errors.Is(err, vsock.ErrCID) {
			t.Errorf("CID %d: got %v; want ErrCID", cid, err)
		}
	}
	d, err := vsock.New(vsock.Config{CID: 1<<32 - 2}, nil)
	if err != nil {
		t.Fatal(err)
	}
	d.WriteConfig(0, []byte{1})
	got := make([]byte, 10)
	d.ReadConfig(0, got)
	if diff := cmp.Diff(append(binary.LittleEndian.AppendUint64(nil, 1<<32-2), 0, 0), got); diff != "" {
		t.Errorf("configuration (-want +got):\n%s", diff)
	}
	d.ReadConfig(1<<60, got)
	if diff := cmp.Diff(make([]byte, 10), got); diff != "" {
		t.Errorf("beyond its end (-want +got):\n%s", diff)
	}
}

func TestNeedsQueues(t *testing.T) {
	for _, absent := range [][]int{{receiveQueue}, {transmitQueue}} {
		d := virtiotest.NewDriver(t, device(t, newPrograms(t), nil), virtiotest.NewMemory(t, 1<<20), virtiotest.Options{Absent: absent})
		if err := d.TryStart(); !errors.Is(err, virtio.ErrDriver) {
			t.Errorf("without queue %v: got %v; want ErrDriver", absent, err)
		}
	}
	// Without events the guest cannot be told, and goes on.
	p := newPrograms(t)
	g := boot(t, device(t, p, &vsock.State{}), virtiotest.Options{Absent: []int{eventQueue}})
	g.connect(p)
}
