package lab

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// stranded is an address of nobody in these tests, that frames are sent from.
var stranded = net.HardwareAddr{0x52, 0x54, 0, 0, 0, 9}

// emit sends one broadcast from the stranded address at a link of a host.
func emit(t *testing.T, h *Host, link string) {
	t.Helper()
	frame := append(bytes.Repeat([]byte{0xff}, 6), stranded...)
	frame = append(frame, 0x88, 0xb5)
	frame = append(frame, make([]byte, 46)...)
	err := h.Do(func() error {
		on, err := net.InterfaceByName(link)
		if err != nil {
			return err
		}
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		return unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Ifindex: on.Index, Halen: 6})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func fromStranded(frame []byte) bool { return bytes.Equal(frame[6:12], stranded) }

// capture is Capture of frames from the stranded address.
func capture(t *testing.T, h *Host, link string) *Capture {
	t.Helper()
	c, err := h.Capture(link, fromStranded)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// TestWatch sends a frame from each of two hosts: a third one sees both, and the switch's entry follows.
func TestWatch(t *testing.T) {
	l := newLab(t, 3)
	pair(t, l.Hosts[0], l.Hosts[2]) // all links are up
	pair(t, l.Hosts[1], l.Hosts[2])
	seen, sent := capture(t, l.Hosts[2], "eth0"), capture(t, l.Hosts[0], "eth0")
	learned, err := l.Forwarding(stranded)
	if err != nil {
		t.Fatal(err)
	}
	ctx := within(t, 20*time.Second)
	for _, h := range l.Hosts[:2] {
		from := Now()
		emit(t, h, "eth0")
		got, err := learned.Wait(ctx, from, func(f Forwarded) bool { return f.Port == h.Port() })
		if err != nil || got.At > Now() {
			t.Errorf("got %+v, %v; want the switch to know now that it is behind %s", got, err, h.Port())
		}
		frame, err := seen.Wait(ctx, func(f Frame) bool { return f.At >= from-time.Millisecond })
		if err != nil || frame.Sent || len(frame.Data) != 60 {
			t.Errorf("got %+v, %v; want a frame of 60 bytes that came", frame, err)
		}
	}
	if frame, err := sent.Wait(ctx, func(f Frame) bool { return f.Sent }); err != nil || !fromStranded(frame.Data) {
		t.Errorf("got %+v, %v where it was sent; want it as sent", frame, err)
	}
	if err := learned.Close(); err != nil {
		t.Error(err)
	}
	if frames, missed := seen.Frames(); len(frames) != 2 || missed != 0 {
		t.Errorf("got %d frames, %d missed; want both", len(frames), missed)
	}
	if got := learned.Changes(); len(got) != 2 {
		t.Errorf("got %+v; want two changes", got)
	}
}

// TestCaptureIsBounded: what does not fit is counted.
func TestCaptureIsBounded(t *testing.T) {
	c := &Capture{}
	for range maxFrames + 3 {
		c.add(Frame{})
	}
	if frames, missed := c.Frames(); len(frames) != maxFrames || missed != 3 {
		t.Errorf("got %d frames, %d missed; want %d, 3", len(frames), missed, maxFrames)
	}
}

// configured is Configured.
func configured(t *testing.T, h *Host) []string {
	t.Helper()
	all, err := h.Configured()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// TestConfigured wants whatever is set up in a host's network to be listed, and nothing else.
func TestConfigured(t *testing.T) {
	l := newLab(t, 1)
	h := l.Hosts[0]
	if err := h.Bridge(); err != nil {
		t.Fatal(err)
	}
	before := configured(t, h)
	if err := h.Tap("left"); err != nil {
		t.Fatal(err)
	}
	tap, err := h.nl.LinkByName("left")
	if err != nil {
		t.Fatal(err)
	}
	guest := net.IPv4(10, 77, 0, 100)
	index := tap.Attrs().Index
	proxy := &netlink.Neigh{LinkIndex: h.inside.Attrs().Index, IP: guest, Flags: netlink.NTF_PROXY}
	ingress := &netlink.Ingress{QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_INGRESS}}
	for _, err := range []error{
		h.nl.RouteAdd(&netlink.Route{LinkIndex: index, Dst: &net.IPNet{IP: guest, Mask: net.CIDRMask(32, 32)}}),
		h.nl.NeighAdd(&netlink.Neigh{LinkIndex: index, IP: guest, HardwareAddr: stranded, State: netlink.NUD_PERMANENT}),
		h.nl.NeighAdd(proxy), h.nl.QdiscAdd(ingress),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var kinds []string
	for _, line := range configured(t, h) {
		if _, found := slices.BinarySearch(before, line); !found {
			kind, _, _ := strings.Cut(line, " ")
			kinds = append(kinds, kind)
		}
	}
	for _, want := range []string{"link", "route", "neighbour", "proxy", "qdisc"} {
		if !slices.Contains(kinds, want) {
			t.Errorf("got %q new; want a %s among it", kinds, want)
		}
	}
	for _, err := range []error{h.nl.LinkDel(tap), h.nl.NeighDel(proxy)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, configured(t, h)); diff != "" {
		t.Errorf("after all of it went (-before +after):\n%s", diff)
	}
}
