package loadgen_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// guestMAC is what QEMU gives to its first network device.
var guestMAC = net.HardwareAddr{0x52, 0x54, 0, 0x12, 0x34, 0x56}

func noise(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n)})
	r.Read(b)
	return b
}

// ether makes a frame to the guest.
func (w *wire) ether(etherType uint16, payload []byte) []byte {
	f := append(append([]byte(nil), guestMAC...), w.tap.Attrs().HardwareAddr...)
	return append(binary.BigEndian.AppendUint16(f, etherType), payload...)
}

func TestAnswersTheNetwork(t *testing.T) {
	for _, c := range []struct {
		name    string
		boot    boot
		mtu     int
		options string // QEMU's
	}{
		{"vmm", bootFerry, 1500, ""},
		{"vmm, large frames", bootFerry, 9000, ""}, // in several buffers each
		{"qemu", bootQEMU, 1500, ""},
		{"qemu, large frames", bootQEMU, 9000, ""},
		{"qemu, no event index", bootQEMU, 1500, ",event_idx=off,indirect_desc=off"},
		{"qemu, a buffer a frame", bootQEMU, 1500, ",mrg_rxbuf=off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWire(t, c.mtu)
			r := c.boot(t, guest{cmdline: "heartbeat=10000 rate=10 net=" + guestNet, wire: w, options: c.options})
			r.await(t, "READY")
			echoes(t, w, c.mtu)
			s, lines := r.until(t, "what came and went counted, and an interrupt", func(s stat) bool {
				if s["irqs"] == 0 {
					echo(t, w, 56) // a guest without time to sleep polls: the next may find it asleep
				}
				return s["rx"] > 40 && s["tx"] > 40 && s["irqs"] > 0
			})
			checkNothingWrong(t, s, lines)
			if s["rx_bad"] != 0 || s["tx_full"] != 0 {
				t.Errorf("got %v; want nothing bad or without room", s)
			}
		})
	}
}

// echoes: the kernel, which resolves the guest's address and checks what it sends, gets everything back.
func echoes(t *testing.T, w *wire, mtu int) {
	t.Helper()
	sizes := []int{0, 1, 2, 17, 18, 511, 1471, 1472, mtu - 28, mtu - 29}
	for range 30 {
		sizes = append(sizes, rand.N(mtu-27))
	}
	echo(t, w, sizes...)
	icmp := w.dial(t, "ip4:icmp", guestIP)
	for _, size := range []int{0, 1, 56, mtu - 28} {
		request := append([]byte{8, 0, 0, 0, 1, 2, 3, 4}, noise(size)...)
		binary.BigEndian.PutUint16(request[2:], checksum(request))
		if _, err := icmp.Write(request); err != nil {
			t.Fatal(err)
		}
		got := make([]byte, 1<<16)
		n, err := icmp.Read(got)
		if err != nil {
			t.Fatalf("ping with %d bytes: %v", size, err)
		}
		want := append([]byte(nil), request...)
		want[0] = 0
		binary.BigEndian.PutUint16(want[2:], 0)
		binary.BigEndian.PutUint16(want[2:], checksum(want))
		const ipHead = 20 // comes too
		if !bytes.Equal(got[ipHead:n], want) {
			t.Errorf("ping with %d bytes: got %d others", size, n-ipHead)
		}
	}
}

// echo sends datagrams of these sizes, each when the one before came back.
func echo(t *testing.T, w *wire, sizes ...int) {
	t.Helper()
	udp := w.dial(t, "udp", guestIP+":7")
	for _, size := range sizes {
		want, got := noise(size), make([]byte, 1<<16)
		if _, err := udp.Write(want); err != nil {
			t.Fatal(err)
		}
		n, err := udp.Read(got)
		if err != nil {
			t.Fatalf("echo of %d bytes: %v", size, err)
		}
		if !bytes.Equal(got[:n], want) {
			t.Errorf("echo of %d bytes: got %d others", size, n)
		}
	}
}

// checksum is that of RFC 1071.
func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// udpPacket makes an IPv4 packet with a datagram, all sums right.
func udpPacket(from, to string, fromPort, toPort uint16, payload []byte) []byte {
	u := binary.BigEndian.AppendUint16(nil, fromPort)
	u = binary.BigEndian.AppendUint16(u, toPort)
	u = binary.BigEndian.AppendUint16(u, uint16(8+len(payload)))
	u = append(append(u, 0, 0), payload...)
	addresses := append(append([]byte(nil), net.ParseIP(from).To4()...), net.ParseIP(to).To4()...)
	binary.BigEndian.PutUint16(u[6:], checksum(append(append(bytes.Clone(addresses), 0, 17, u[4], u[5]), u...)))
	ip := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 3, 17, 0, 0}
	ip = append(ip, addresses...)
	binary.BigEndian.PutUint16(ip[2:], uint16(20+len(u)))
	binary.BigEndian.PutUint16(ip[10:], checksum(ip))
	return append(ip, u...)
}

// What is cut short, or damaged on the way, or not for the guest, gets no answer; what is right behind it gets one.
func TestAnswersOnlyWhatIsRight(t *testing.T) {
	underEach(t, func(t *testing.T, boot boot) {
		w := newWire(t, 1500)
		r := boot(t, guest{cmdline: "net=" + guestNet, wire: w})
		r.await(t, "READY")
		raw := w.raw(t, 0x0800)
		good := udpPacket(ownIP, guestIP, 1234, 7, noise(101))
		changed := func(at int, to byte) []byte {
			b := bytes.Clone(good)
			b[at] = to
			return b
		}
		resummed := func(b []byte) []byte {
			binary.BigEndian.PutUint16(b[10:], 0)
			binary.BigEndian.PutUint16(b[10:], checksum(b[:20]))
			return b
		}
		bad := map[string][]byte{
			"a bit of the payload":           changed(40, good[40]^1),
			"the last bit":                   changed(128, good[128]^0x80),
			"the port":                       changed(22, 1),
			"a bit of the header":            changed(8, 77),
			"cut short":                      good[:len(good)-1],
			"a datagram longer than its IP":  resummed(changed(3, byte(len(good)-1))),
			"a header longer than the frame": resummed(changed(0, 0x4f))[:24],
		}
		silent := map[string][]byte{
			"a fragment":        resummed(changed(6, 0x20)),
			"another address":   udpPacket(ownIP, "10.78.0.3", 1234, 7, nil),
			"another port":      udpPacket(ownIP, guestIP, 1234, 9, nil),
			"from an echo port": udpPacket(ownIP, guestIP, 7, 7, nil),
			"version 6":         changed(0, 0x65),
			"nothing":           nil,
		}
		for _, b := range bad {
			raw.send(t, w.ether(0x0800, b))
		}
		for _, b := range silent {
			raw.send(t, w.ether(0x0800, b))
		}
		other := w.ether(0x0800, good)
		other[5]++
		raw.send(t, other)
		raw.send(t, w.ether(0x0800, good))

		want := append(append(bytes.Clone(w.tap.Attrs().HardwareAddr), guestMAC...), 8, 0)
		answer := udpPacket(guestIP, ownIP, 7, 1234, noise(101))
		answer[8] = 64
		want = append(want, resummed(answer)...)
		if diff := cmp.Diff(want, raw.receive(t, guestMAC)); diff != "" {
			t.Errorf("the first answer (-want +got):\n%s", diff)
		}
		s, lines := r.until(t, "all bad ones counted", func(s stat) bool { return s["tx"] >= 1 })
		checkNothingWrong(t, s, lines)
		// A frame of 14 bytes is also cut short, if the device delivers it.
		if got, least := s["rx_bad"], float64(len(bad)); got != least {
			t.Errorf("got rx_bad=%v; want %v", got, least)
		}
	})
}

// Frames are sent in order, each of the size asked for, to whom was asked for.
func TestNetworkLoadSends(t *testing.T) {
	for _, size := range []int{60, 1514, 9014} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			underEach(t, func(t *testing.T, boot boot) {
				w := newWire(t, 9000)
				raw := w.raw(t, typeLoad)
				peer := w.tap.Attrs().HardwareAddr
				r := boot(t, guest{wire: w,
					cmdline: fmt.Sprintf("heartbeat=10000 verify=16 netload=tx netsize=%d netpeer=%s", size, peer)})
				r.await(t, "READY")
				var last uint64
				for i := range 1000 {
					f := raw.receive(t, guestMAC)
					n := binary.LittleEndian.Uint64(f[etherHead:])
					if len(f) != size || !bytes.Equal(f[:6], peer) || (i > 0 && n <= last) { // our socket may lose some
						t.Fatalf("got a frame of %d bytes to %x, number %d after %d; want %d to %v, in order", len(f), f[:6], n, last, size, peer)
					}
					for i := etherHead + 8; i < min(size, 2048-12); i++ {
						if f[i] != byte(i) {
							t.Fatalf("got byte %d of number %d as %#x; want %#x", i, n, f[i], byte(i))
						}
					}
					last = n
				}
				s, lines := r.until(t, "frames sent", func(s stat) bool { return s["tx_pps"] > 0 && s["tx_mib_s"] > 0 })
				checkNothingWrong(t, s, lines)
			})
		})
	}
}

// The device segments and sums: what the kernel gets is one large frame, or several, and whole.
func TestNetworkLoadSegments(t *testing.T) {
	underEach(t, func(t *testing.T, boot boot) {
		w := newWire(t, 1500)
		raw := w.raw(t, 0x0800)
		r := boot(t, guest{wire: w, cmdline: "verify=16 netload=tso netsize=65000 net=" + guestNet})
		r.await(t, "READY")
		w.dial(t, "udp", guestIP+":7").Write([]byte("where are you?")) // from then on it knows its peer
		for range 100 {
			f := raw.receive(t, guestMAC)
			if f[23] != 6 { // the echo
				continue
			}
			if len(f) != 65000 || int(binary.BigEndian.Uint16(f[16:])) != 65000-etherHead || checksum(f[14:34]) != 0 {
				t.Fatalf("got a frame of %d bytes: %x; want 65000 and right", len(f), f[:54])
			}
		}
		s, lines := r.until(t, "MiB sent", func(s stat) bool { return s["tx_mib_s"] > 0 })
		checkNothingWrong(t, s, lines)
	})
}

// What comes for it goes back as it is; what does not is only counted.
func TestNetworkLoadEchoes(t *testing.T) {
	underEach(t, func(t *testing.T, boot boot) {
		w := newWire(t, 1500)
		raw := w.raw(t, typeLoad)
		r := boot(t, guest{wire: w, cmdline: "heartbeat=10000 netload=echo"})
		r.await(t, "READY")
		for i := range 500 {
			payload := noise(50 + i)
			other := w.ether(typeLoad, payload)
			other[0] ^= 2
			raw.send(t, other)
			raw.send(t, w.ether(typeLoad, payload))
			if got := raw.receive(t, guestMAC); !bytes.Equal(got[etherHead:], payload) || !bytes.Equal(got[:6], w.tap.Attrs().HardwareAddr) {
				t.Fatalf("got %x back; want the payload %x", got, payload)
			}
		}
		s, lines := r.until(t, "what came counted", func(s stat) bool { return s["tx"] >= 500 })
		checkNothingWrong(t, s, lines)
	})
}

// Without the offload there are no large frames to send.
func TestNetworkLoadNeedsOffloads(t *testing.T) {
	t.Parallel()
	w := newWire(t, 1500)
	r := bootQEMU(t, guest{wire: w, cmdline: "netload=tso netsize=65000", options: ",host_tso4=off"})
	_, lines := r.await(t, "READY")
	if got := strings.Join(having(lines, "WARN"), "; "); got != "WARN no device for net netload" {
		t.Errorf("got %q; want a warning", got)
	}
}
