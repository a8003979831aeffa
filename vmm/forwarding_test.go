package vmm

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/link"
)

// talker is a guest that sends back what a socket of its host sends to it.
type talker struct {
	*guest
	*net.UDPConn
}

// newTalker runs one on a tap in a namespace, or skips where that is not allowed
// (in CI, fails).
func newTalker(t *testing.T) talker {
	t.Helper()
	l, err := lab.New(1)
	if errors.Is(err, lab.ErrNeedsRoot) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	nic := netmig.Spec{ID: "eth"}.NIC()
	nic.MTU = 1500
	devices := []Device{{Kind: KindNet, ID: "eth", Net: &Net{NIC: nic, Attachment: netmig.Attachment{Tap: "guest"}}}}
	host, own := net.IPv4(10, 9, 0, 1), net.IPv4(10, 9, 0, 2)
	files := fileSet{}
	var k talker
	if err := l.Hosts[0].Do(func() error {
		p, err := link.Open(devices[0].Net.Attachment, nic, "")
		if err != nil {
			return err
		}
		fd, err := unix.FcntlInt(p.Queues[0].Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			return err
		}
		files[TapRole("eth", 0)] = os.NewFile(uintptr(fd), "tap")
		tap, err := netlink.LinkByName("guest")
		if err != nil {
			return err
		}
		err = errors.Join(
			netlink.AddrAdd(tap, &netlink.Addr{IPNet: &net.IPNet{IP: host, Mask: net.CIDRMask(24, 32)}}),
			netlink.NeighSet(&netlink.Neigh{LinkIndex: tap.Attrs().Index, IP: own, HardwareAddr: nic.MAC[:], State: netlink.NUD_PERMANENT}),
		)
		if err == nil {
			k.UDPConn, err = net.DialUDP("udp4", nil, &net.UDPAddr{IP: own, Port: 7})
		}
		return errors.Join(err, p.Close())
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.UDPConn.Close() })
	backs, err := takeBackends(files, devices, deaf{}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	k.guest = newGuestWith(t, small+" net="+own.String()+"/24", devices, backs)
	if err := k.boot(); err != nil {
		t.Fatal(err)
	}
	k.guest.wait(t, "READY")
	return k
}

// say sends datagrams.
func (k talker) say(t *testing.T, words ...string) {
	t.Helper()
	for _, w := range words {
		if _, err := k.Write([]byte(w)); err != nil {
			t.Fatal(err)
		}
	}
}

// hear wants them back, in order.
func (k talker) hear(t *testing.T, words ...string) {
	t.Helper()
	for _, want := range words {
		b := make([]byte, 100)
		if err := k.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, err := k.Read(b)
		if err != nil || string(b[:n]) != want {
			t.Fatalf("the guest sent %q, %v; want %q", b[:n], err, want)
		}
	}
}

// words are the datagrams in packets: the host has more to say of its own, as of neighbours.
func words(t *testing.T, packets []migration.Packet) (all []string) {
	t.Helper()
	const headers = 12 + 14 + 20 + 8
	for _, p := range packets {
		if p.Interface != 0 || p.Queue != 0 {
			t.Errorf("got interface %d, queue %d; want the first of each", p.Interface, p.Queue)
		}
		if len(p.Data) > headers && binary.BigEndian.Uint16(p.Data[12+12:]) == unix.ETH_P_IP {
			all = append(all, string(p.Data[headers:]))
		}
	}
	return all
}

// next is the next that Next returns of them.
func next(t *testing.T, n migration.NetworkSource, limit int) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		got := n.Next(ctx, limit)
		if all := words(t, got.Packets); len(all) > 0 {
			return all
		}
		if len(got.Packets) == 0 {
			t.Fatal("nothing was captured for 20 s")
		}
	}
}

// TestFailedMoveForwardsNothingAway shows that what came for a guest while it stood still is what
// a target would get, and is the guest's when the move fails: whether or not a person
// had paused it.
func TestFailedMoveForwardsNothingAway(t *testing.T) {
	k := newTalker(t)
	k.say(t, "hello")
	k.hear(t, "hello")
	for _, paused := range []bool{false, true} {
		if paused {
			if err := k.Pause(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		v, err := k.beginMove()
		if err != nil {
			t.Fatal(err)
		}
		n := v.forward(nil)
		if err := v.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n.Echoes() {
			t.Error("a tap on no bridge: got that announcements come round; want that they do not")
		}
		k.say(t, "one", "two")
		got := append(next(t, n, 1), next(t, n, 1)...) // of each the first, though it is larger
		if diff := cmp.Diff([]string{"one", "two"}, got); diff != "" {
			t.Errorf("forwarded (-want +got):\n%s", diff)
		}
		n.Commit()
		k.say(t, "three")
		if diff := cmp.Diff([]string{"three"}, next(t, n, 1<<20)); diff != "" {
			t.Errorf("forwarded behind the commit (-want +got):\n%s", diff)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		if got := n.Next(over, 1<<20); len(words(t, got.Packets)) > 0 || got.Barrier || got.Dropped > 0 {
			t.Errorf("got %+v; want nothing", got)
		}
		if k.announceStill() {
			t.Error("a guest that may run elsewhere was announced")
		}
		if err := v.Resume(); err != nil {
			t.Fatal(err)
		}
		v.end(false)
		k.say(t, "four")
		if paused {
			if k.announceStill() {
				t.Error("a paused guest was announced")
			}
			if err := k.Resume(); err != nil {
				t.Fatal(err)
			}
		}
		k.hear(t, "one", "two", "three", "four")
		if !k.announceStill() {
			t.Error("a guest that runs was not announced")
		}
	}
}

// TestForwardingAndDelivery takes what one guest would have got to another.
func TestForwardingAndDelivery(t *testing.T) {
	from, to := newTalker(t), newTalker(t)
	left := make(chan struct{})
	v, err := from.beginMove()
	if err != nil {
		t.Fatal(err)
	}
	n := v.forward(func(context.Context) error { close(left); return nil })
	if err := v.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	from.say(t, "lost without")
	n.Commit()
	var packet migration.Packet
	for packet.Data == nil {
		for _, p := range n.Next(t.Context(), 1<<20).Packets {
			if len(words(t, []migration.Packet{p})) > 0 {
				packet = p
			}
		}
	}
	d := &delivery{m: to.Machine}
	if d.Deliver(packet) {
		t.Error("a packet was delivered to a network that does not hold")
	}
	if err := to.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.Hold()
	before := to.facts().Devices[0].Net.RxPackets
	for _, p := range []migration.Packet{packet, {Interface: 1, Data: packet.Data}, {Data: []byte{1}}} {
		if taken := d.Deliver(p); taken != (p.Interface == 0 && len(p.Data) > 1) {
			t.Errorf("interface %d, %d bytes: got %v", p.Interface, len(p.Data), taken)
		}
	}
	if err := to.Resume(); err != nil {
		t.Fatal(err)
	}
	to.say(t, "after") // which waits
	for end := time.Now().Add(20 * time.Second); to.facts().Devices[0].Net.RxPackets == before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the guest did not get what was forwarded")
		}
	}
	if got := to.facts().Devices[0].Net.RxPackets; got != before+1 {
		t.Errorf("held: the guest got %d packets; want 1", got-before)
	}
	d.Release()
	to.hear(t, "after")
	n.Leave()
	<-left
	if err := v.Resume(); err != nil { // which no move does behind its Leave
		t.Fatal(err)
	}
	v.end(false)
}
