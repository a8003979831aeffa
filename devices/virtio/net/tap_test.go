package net_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"log/slog"
	stdnet "net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
	"github.com/ferryvmm/ferry/devices/virtio/net"
	"github.com/ferryvmm/ferry/devices/virtio/virtiotest"
	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/announce"
	"github.com/ferryvmm/ferry/netmig/link"
)

// Sizes of headers, in bytes.
const (
	vnetSize = 12
	ethSize  = 14
	ipSize   = 20
	udpSize  = 8
	tcpSize  = 20
)

// Feature bits, VIRTIO 1.2 section 5.1.3.
const (
	guestCsum = 1 << 1
	guestTSO4 = 1 << 7
	guestTSO6 = 1 << 8
	mergeable = 1 << 15
)

var (
	guestIP = [4]byte{10, 9, 0, 2}
	hostIP  = [4]byte{10, 9, 0, 1}
)

// wire is a guest on a real tap in a network namespace, in which the test runs.
type wire struct {
	*virtiotest.Driver
	t    testing.TB
	dev  *net.Device
	port *link.Port
	nic  netmig.NIC
	tap  netlink.Link
}

// newWire makes a tap that has the address of a host, which knows the guest's.
func newWire(t testing.TB, queues int, o virtiotest.Options) *wire {
	t.Helper()
	enterHost(t)
	w := &wire{t: t, nic: netmig.Spec{ID: "eth", Queues: queues}.NIC()}
	var err error
	if w.port, err = link.Open(netmig.Attachment{Tap: "guest"}, w.nic, ""); err != nil {
		t.Fatal(err)
	}
	if w.tap, err = netlink.LinkByName(w.port.Tap); err != nil {
		t.Fatal(err)
	}
	address := &netlink.Addr{IPNet: &stdnet.IPNet{IP: hostIP[:], Mask: stdnet.CIDRMask(24, 32)}}
	neighbour := &netlink.Neigh{LinkIndex: w.tap.Attrs().Index, IP: guestIP[:], HardwareAddr: w.nic.MAC[:], State: netlink.NUD_PERMANENT}
	if err := errors.Join(netlink.AddrAdd(w.tap, address), netlink.NeighSet(neighbour)); err != nil {
		t.Fatal(err)
	}
	if w.dev, err = net.New(net.Config{Tap: files(t, w.port), MAC: w.nic.MAC, Log: slog.New(slog.DiscardHandler)}, nil); err != nil {
		t.Fatal(err)
	}
	if err := w.port.Close(); err != nil { // as the supervisor may: the machine has its own
		t.Fatal(err)
	}
	w.Driver = virtiotest.Run(t, w.dev, virtiotest.NewMemory(t, 16<<20), o)
	return w
}

// files are the tap's, as a machine gets them.
func files(t testing.TB, p *link.Port) (all []*os.File) {
	t.Helper()
	for _, q := range p.Queues {
		fd, err := unix.FcntlInt(q.Fd(), unix.F_DUPFD_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, os.NewFile(uintptr(fd), "tap"))
	}
	return all
}

// enterHost takes a test into a network namespace, or skips it where that is
// not allowed (in CI, fails).
func enterHost(t testing.TB) {
	t.Helper()
	l, err := lab.New(1)
	if errors.Is(err, lab.ErrNeedsRoot) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	home, err := netns.Get()
	if err != nil {
		t.Fatal(err)
	}
	var host netns.NsHandle
	if err := l.Hosts[0].Do(func() (err error) { host, err = netns.Get(); return err }); err != nil {
		t.Fatal(err)
	}
	runtime.LockOSThread()
	t.Cleanup(func() {
		if err := errors.Join(netns.Set(home), home.Close(), host.Close()); err == nil {
			runtime.UnlockOSThread() // else the thread ends with the test
		}
	})
	if err := netns.Set(host); err != nil {
		t.Fatal(err)
	}
}

// fill gives the device buffers until no descriptor is free.
func (w *wire) fill(queue, size int) {
	for w.Queue(queue).Free() > 0 {
		w.Queue(queue).Add(nil, size)
	}
	w.Queue(queue).Kick()
}

// packet is the next that the guest gets and that ok accepts, header first.
// Others are the host's own: neighbour discovery and the like.
func (w *wire) packet(queue int, ok func(p []byte) bool) []byte {
	w.t.Helper()
	for {
		p := bytes.Clone(w.Queue(queue).Next().Written)
		for range binary.LittleEndian.Uint16(p[10:]) - 1 {
			p = append(p, w.Queue(queue).Next().Written...)
		}
		if ok(p) {
			return p
		}
	}
}

// isUDP accepts datagrams of a size.
func isUDP(size int) func([]byte) bool {
	return func(p []byte) bool {
		return len(p) == vnetSize+ethSize+ipSize+udpSize+size && binary.BigEndian.Uint16(p[vnetSize+12:]) == unix.ETH_P_IP && p[vnetSize+ethSize+9] == unix.IPPROTO_UDP
	}
}

// datagram is one from the guest to a port of the host, with its UDP checksum
// left to the device.
func (w *wire) datagram(port int, payload []byte) []byte {
	p := make([]byte, vnetSize+ethSize+ipSize+udpSize)
	p[0] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM
	binary.LittleEndian.PutUint16(p[6:], ethSize+ipSize) // from where
	binary.LittleEndian.PutUint16(p[8:], 6)              // where it goes to
	w.ipHeader(p[vnetSize:], unix.IPPROTO_UDP, udpSize+len(payload))
	udp := p[vnetSize+ethSize+ipSize:]
	binary.BigEndian.PutUint16(udp, 7)
	binary.BigEndian.PutUint16(udp[2:], uint16(port))
	binary.BigEndian.PutUint16(udp[4:], uint16(udpSize+len(payload)))
	binary.BigEndian.PutUint16(udp[6:], pseudo(guestIP, hostIP, unix.IPPROTO_UDP, udpSize+len(payload)))
	return append(p, payload...)
}

// ipHeader writes Ethernet and IPv4 headers of a packet from the guest.
func (w *wire) ipHeader(p []byte, protocol byte, size int) {
	copy(p, w.tap.Attrs().HardwareAddr)
	copy(p[6:], w.nic.MAC[:])
	binary.BigEndian.PutUint16(p[12:], unix.ETH_P_IP)
	ip := p[ethSize:]
	ip[0], ip[8], ip[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(ip[2:], uint16(ipSize+size))
	copy(ip[12:], guestIP[:])
	copy(ip[16:], hostIP[:])
	binary.BigEndian.PutUint16(ip[10:], ^sum(ip[:ipSize]))
}

// pseudo is the sum that the one who leaves a checksum to another begins with.
func pseudo(from, to [4]byte, protocol byte, size int) uint16 {
	b := append(from[:], to[:]...)
	return sum(append(b, 0, protocol, byte(size>>8), byte(size)))
}

// sum is the ones' complement sum of RFC 1071.
func sum(b []byte) uint16 {
	var s uint32
	for ; len(b) > 1; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) > 0 {
		s += uint32(b[0]) << 8
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

func (w *wire) listen() *stdnet.UDPConn {
	w.t.Helper()
	c, err := stdnet.ListenUDP("udp4", &stdnet.UDPAddr{IP: hostIP[:]})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// TestDatagrams exchanges datagrams with a socket of the host. Checksums are
// left to whoever comes last.
func TestDatagrams(t *testing.T) {
	for _, tt := range []struct {
		name    string
		refuse  uint64
		buffers int
		partial bool // the guest gets packets without checksum
	}{
		{"all offloads", 0, 1536, true},
		{"small buffers", 0, 200, true},
		{"no offloads", guestCsum | guestTSO4 | guestTSO6, 1536, false},
		{"one buffer a packet", mergeable | guestTSO4 | guestTSO6, 1600, true},
		{"no events", virtio.FeatureEventIdx, 1536, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t, 1, virtiotest.Options{Refuse: tt.refuse})
			c := w.listen()
			w.fill(0, tt.buffers)
			to := &stdnet.UDPAddr{IP: guestIP[:], Port: 7}
			for i := range 300 {
				want := bytes.Repeat([]byte{byte(i)}, 1+i*1471/299)
				if _, err := c.WriteTo(want, to); err != nil {
					t.Fatal(err)
				}
				p := w.packet(0, isUDP(len(want)))
				w.fill(0, tt.buffers)
				if got := p[vnetSize+ethSize+ipSize+udpSize:]; !bytes.Equal(got, want) {
					t.Fatalf("datagram %d: the guest got %x; want %x", i, got, want)
				}
				if partial := p[0]&unix.VIRTIO_NET_HDR_F_NEEDS_CSUM != 0; partial != tt.partial {
					t.Errorf("datagram %d without checksum: got %v; want %v", i, partial, tt.partial)
				}
				w.Queue(1).Do([][]byte{w.datagram(c.LocalAddr().(*stdnet.UDPAddr).Port, want)})
				got := make([]byte, 2000)
				if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
					t.Fatal(err)
				}
				n, err := c.Read(got)
				if err != nil || !bytes.Equal(got[:n], want) {
					t.Fatalf("datagram %d: the host got %x, %v; want %x", i, got[:n], err, want)
				}
			}
			if s := w.dev.Stats(); s.RxDrops != 0 || s.TxDrops != 0 {
				t.Errorf("got %+v; want no drops", s)
			}
		})
	}
}

// capture is a packet socket on the tap, with the header that tells what is
// left to do (PACKET_VNET_HDR, 10 bytes).
func (w *wire) capture() int {
	w.t.Helper()
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_IP)))
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = unix.Close(fd) })
	if err := errors.Join(
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1),
		unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20}),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IP), Ifindex: w.tap.Attrs().Index}),
	); err != nil {
		w.t.Fatal(err)
	}
	return fd
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

// segment is a TCP packet with more than one segment's payload. The header is
// as the guest's driver writes it; what is before it is not sent by hosts.
func (w *wire) segment(payload int) []byte {
	p := make([]byte, vnetSize+ethSize+ipSize+tcpSize+payload)
	p[0], p[1] = unix.VIRTIO_NET_HDR_F_NEEDS_CSUM, unix.VIRTIO_NET_HDR_GSO_TCPV4
	binary.LittleEndian.PutUint16(p[2:], ethSize+ipSize+tcpSize) // bytes to be repeated
	binary.LittleEndian.PutUint16(p[4:], 1448)                   // payload of each
	binary.LittleEndian.PutUint16(p[6:], ethSize+ipSize)
	binary.LittleEndian.PutUint16(p[8:], 16)
	w.ipHeader(p[vnetSize:], unix.IPPROTO_TCP, tcpSize+payload)
	tcp := p[vnetSize+ethSize+ipSize:]
	binary.BigEndian.PutUint16(tcp, 7)
	binary.BigEndian.PutUint16(tcp[2:], 7)
	tcp[12], tcp[13] = tcpSize/4<<4, 0x10
	binary.BigEndian.PutUint16(tcp[16:], pseudo(guestIP, hostIP, unix.IPPROTO_TCP, tcpSize+payload))
	for i := range payload {
		tcp[tcpSize+i] = byte(i >> 8)
	}
	return p
}

// TestSegmentationIsLeftToTheHost sends far more than a segment: it goes out as
// one packet.
func TestSegmentationIsLeftToTheHost(t *testing.T) {
	w := newWire(t, 1, virtiotest.Options{})
	fd := w.capture()
	want := w.segment(60000)
	w.Queue(1).Do([][]byte{want})
	got := make([]byte, 70000)
	n, err := unix.Read(fd, got)
	if err != nil {
		t.Fatal(err)
	}
	if n != len(want)-2 || got[1] != unix.VIRTIO_NET_HDR_GSO_TCPV4 || !bytes.Equal(got[10:n], want[vnetSize:]) {
		t.Errorf("got %d bytes of GSO type %d; want all %d as one packet of type %d", n-10, got[1], len(want)-vnetSize, unix.VIRTIO_NET_HDR_GSO_TCPV4)
	}
}

// TestSegmentationIsLeftToTheGuest sends the guest far more than a segment: it
// comes as one packet, or in segments if the guest does not take that.
func TestSegmentationIsLeftToTheGuest(t *testing.T) {
	for _, refuse := range []uint64{0, guestTSO4, guestCsum} {
		w := newWire(t, 1, virtiotest.Options{Refuse: refuse})
		fd := w.capture()
		w.fill(0, 1536)
		const payload = 60000
		p := w.segment(payload)
		frame := append(p[:10:10], p[vnetSize:]...)
		copy(frame[10:], w.nic.MAC[:])
		if n, err := unix.Write(fd, frame); n != len(frame) || err != nil {
			t.Fatalf("send: got %d, %v; want %d", n, err, len(frame))
		}
		packets, bytesGot := 0, 0
		for bytesGot < payload {
			got := w.packet(0, func(p []byte) bool { return p[vnetSize+ethSize+9] == unix.IPPROTO_TCP })
			bytesGot += len(got) - (vnetSize + ethSize + ipSize + tcpSize)
			packets++
			w.fill(0, 1536)
		}
		want := 1
		if refuse != 0 {
			want = (payload + 1447) / 1448
		}
		if packets != want || bytesGot != payload {
			t.Errorf("refused %#x: got %d bytes in %d packets; want %d in %d", refuse, bytesGot, packets, payload, want)
		}
	}
}

// TestQueuePairsOnTap uses more and fewer queues of a tap that has several.
func TestQueuePairsOnTap(t *testing.T) {
	w := newWire(t, 4, virtiotest.Options{})
	c := w.listen()
	control := w.Queue(8)
	for i := range 4 {
		w.fill(2*i, 1536)
	}
	for _, pairs := range []byte{4, 2, 1, 3} {
		if got := control.Do([][]byte{{4, 0}, {pairs, 0}}, 1)[0]; got != 0 {
			t.Fatalf("use %d pairs: got %d; want 0", pairs, got)
		}
		tap, err := netlink.LinkByName("guest")
		if err != nil {
			t.Fatal(err)
		}
		if got := tap.(*netlink.Tuntap); got.Queues != int(pairs) || got.Queues+got.DisabledQueues != 4 {
			t.Errorf("the tap: got %d queues and %d that rest; want %d of 4", got.Queues, got.DisabledQueues, pairs)
		}
		for i := range int(pairs) {
			w.Queue(2*i + 1).Do([][]byte{w.datagram(c.LocalAddr().(*stdnet.UDPAddr).Port, []byte{byte(i)})})
			got := make([]byte, 10)
			if n, err := c.Read(got); n != 1 || err != nil || got[0] != byte(i) {
				t.Errorf("through pair %d of %d: got %v, %v; want [%d]", i, pairs, got[:n], err, i)
			}
		}
		// The host's flow goes to some queue in use.
		before := w.dev.Stats().RxPackets
		if _, err := c.WriteTo([]byte("hello"), &stdnet.UDPAddr{IP: guestIP[:], Port: 7}); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return w.dev.Stats().RxPackets > before })
	}
	if s := w.dev.Stats(); s.TxDrops != 0 {
		t.Errorf("got %+v; want no drops", s)
	}
}

// TestTapIsRemoved shows what the guest sees of a tap that an administrator
// deletes.
func TestTapIsRemoved(t *testing.T) {
	w := newWire(t, 2, virtiotest.Options{})
	w.fill(0, 1536)
	if err := netlink.LinkDel(w.tap); err != nil {
		t.Fatal(err)
	}
	w.WaitConfigChanges(1)
	if got := w.Config(6, 1)[0] & 1; got != 0 {
		t.Errorf("link up: got %d; want 0", got)
	}
	w.Queue(1).Do([][]byte{w.datagram(7, []byte("lost"))})
	if s := w.dev.Stats(); s.TxDrops != 1 {
		t.Errorf("got %+v; want one drop", s)
	}
}

// TestAnnouncement shows that a bridge learns from it where the guest is.
func TestAnnouncement(t *testing.T) {
	w := newWire(t, 1, virtiotest.Options{})
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, int(htons(unix.ETH_P_ALL)))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_ALL), Ifindex: w.tap.Attrs().Index}); err != nil {
		t.Fatal(err)
	}
	if err := w.dev.Announce(announce.Frames(w.nic.MAC, nil)); err != nil {
		t.Fatal(err)
	}
	for b := make([]byte, 2000); ; {
		n, err := unix.Read(fd, b)
		if err != nil {
			t.Fatal(err)
		}
		if n == 60 && binary.BigEndian.Uint16(b[12:]) == 0x8035 && bytes.Equal(b[6:12], w.nic.MAC[:]) {
			return
		}
	}
}

// TestRestOnTap rests in the middle of traffic: nothing that the tap holds is
// lost.
func TestRestOnTap(t *testing.T) {
	w := newWire(t, 1, virtiotest.Options{})
	c := w.listen()
	w.fill(0, 1536)
	to := &stdnet.UDPAddr{IP: guestIP[:], Port: 7}
	for round := range 20 {
		w.Quiesce()
		for i := range 10 {
			if _, err := c.WriteTo(bytes.Repeat([]byte{byte(i)}, 100+round), to); err != nil {
				t.Fatal(err)
			}
		}
		w.Resume()
		for i := range 10 {
			p := w.packet(0, isUDP(100+round))
			if got := p[len(p)-1]; got != byte(i) {
				t.Fatalf("round %d: got datagram %d; want %d", round, got, i)
			}
		}
		w.fill(0, 1536)
	}
}

func waitFor(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited for 20 s in vain")
		}
	}
}

// BenchmarkLatency is from a host's sendto to the guest's seeing of the
// datagram, one at a time.
func BenchmarkLatency(b *testing.B) {
	w := newWire(b, 1, virtiotest.Options{Unchecked: true})
	c := w.listen()
	to := &stdnet.UDPAddr{IP: guestIP[:], Port: 7}
	for b.Loop() {
		w.fill(0, 1536)
		if _, err := c.WriteTo([]byte{1}, to); err != nil {
			b.Fatal(err)
		}
		w.packet(0, isUDP(1))
	}
}
