package loadgen_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

const (
	ownIP6    = "fd78::1"
	guestIP6  = "fd78::1:2:3"
	guestNet6 = guestIP6 + "/64"
)

// with6 gives the kernel's end of the wire an address of IPv6.
func (w *wire) with6(t *testing.T) *wire {
	t.Helper()
	w.do(t, func() error {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(ownIP6), Mask: net.CIDRMask(64, 128)}, Flags: unix.IFA_F_NODAD}
		return errors.Join(os.WriteFile("/proc/sys/net/ipv6/conf/"+tapName+"/disable_ipv6", []byte("0"), 0), netlink.AddrAdd(w.tap, addr))
	})
	return w
}

// The kernel, which solicits the guest's address and checks what it gets, gets everything back; of a guest without IPv4.
func TestAnswersIPv6(t *testing.T) {
	for _, mtu := range []int{1500, 9000} {
		w := newWire(t, mtu).with6(t)
		r := bootFerry(t, guest{cmdline: "heartbeat=10000 rate=10 net=" + guestNet6, wire: w})
		r.await(t, "READY")
		udp := w.dial(t, "udp", "["+guestIP6+"]:7")
		icmp := w.dial(t, "ip6:ipv6-icmp", guestIP6)
		sizes := []int{0, 1, 2, 17, mtu - 48, mtu - 49}
		for range 20 {
			sizes = append(sizes, rand.N(mtu-47))
		}
		got := make([]byte, 1<<16)
		for _, size := range sizes {
			want := noise(size)
			if _, err := udp.Write(want); err != nil {
				t.Fatal(err)
			}
			n, err := udp.Read(got)
			if err != nil || !bytes.Equal(got[:n], want) {
				t.Fatalf("echo of %d bytes: got %d others, %v", size, n, err)
			}
			request := append([]byte{128, 0, 0, 0, 1, 2, 3, 4}, want...)
			if _, err := icmp.Write(request); err != nil {
				t.Fatal(err)
			}
			for { // neighbour discovery comes here too
				if n, err = icmp.Read(got); err != nil {
					t.Fatalf("ping with %d bytes: %v", size, err)
				}
				if n > 0 && got[0] == 129 {
					break
				}
			}
			if !bytes.Equal(got[4:n], request[4:]) {
				t.Errorf("ping with %d bytes: got %d others", size, n)
			}
		}
		s, lines := r.until(t, "what came and went counted", func(s stat) bool { return s["tx"] > 40 })
		checkNothingWrong(t, s, lines)
		if s["rx_bad"] != 0 || s["tx_full"] != 0 {
			t.Errorf("got %v; want nothing bad or without room", s)
		}
	}
}

// checksum6 is that of a protocol over IPv6 (RFC 8200, 8.1).
func checksum6(from, to string, next byte, b []byte) uint16 {
	pseudo := append(append([]byte(nil), net.ParseIP(from)...), net.ParseIP(to)...)
	pseudo = append(binary.BigEndian.AppendUint32(pseudo, uint32(len(b))), 0, 0, 0, next)
	return checksum(append(pseudo, b...))
}

// packet6 makes an IPv6 packet; sumAt is where the checksum is in what it carries.
func packet6(from, to string, next, hops byte, sumAt int, b []byte) []byte {
	b = bytes.Clone(b)
	binary.BigEndian.PutUint16(b[sumAt:], checksum6(from, to, next, b))
	p := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(b)))
	p = append(append(append(p, next, hops), net.ParseIP(from)...), net.ParseIP(to)...)
	return append(p, b...)
}

// solicitation asks who has target.
func solicitation(target string, hops byte, option []byte) []byte {
	b := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, net.ParseIP(target)...)
	return packet6(ownIP6, guestIP6, 58, hops, 2, append(b, option...))
}

// What is cut short, or damaged on the way, or not for the guest, gets no answer; what is right behind it gets one.
func TestAnswersOnlyRightIPv6(t *testing.T) {
	w := newWire(t, 1500)
	r := bootFerry(t, guest{cmdline: "net=" + guestNet6, wire: w})
	r.await(t, "READY")
	raw := w.raw(t, 0x86dd)
	link := append([]byte{1, 1}, w.tap.Attrs().HardwareAddr...)
	datagram := append([]byte{0x12, 0x34, 0, 7, 0, 8 + 100, 0, 0}, noise(100)...)
	good := packet6(ownIP6, guestIP6, 17, 64, 6, datagram)
	asks := solicitation(guestIP6, 255, link)
	echo := append([]byte{128, 0, 0, 0}, noise(8)...)
	changed := func(b []byte, at int, to byte) []byte {
		b = bytes.Clone(b)
		b[at] = to
		return b
	}
	bad := [][]byte{
		changed(good, 60, good[60]^1), good[:len(good)-1], changed(good, 5, 200), changed(good, 46, good[46]^1),
		changed(asks, 60, asks[60]^1), changed(good, 45, 7), good[:50],
		changed(packet6(ownIP6, guestIP6, 58, 64, 2, echo), 50, 1),
	}
	silent := [][]byte{
		packet6(ownIP6, "fd78::2:2:3", 17, 64, 6, datagram), packet6(ownIP6, guestIP6, 17, 64, 6, changed(datagram, 3, 9)),
		packet6(ownIP6, guestIP6, 17, 64, 6, changed(changed(datagram, 0, 0), 1, 7)),
		packet6(ownIP6, guestIP6, 6, 64, 6, datagram), packet6(ownIP6, guestIP6, 58, 64, 2, changed(echo, 0, 130)),
		solicitation("fd78::2:2:3", 255, link), solicitation(guestIP6, 64, link), solicitation(guestIP6, 255, nil),
		changed(good, 0, 0x40), good[:30], nil,
	}
	for _, b := range append(bad, silent...) {
		raw.send(t, w.ether(0x86dd, b))
	}
	raw.send(t, w.ether(0x86dd, asks))
	raw.send(t, w.ether(0x86dd, good))

	answer := append([]byte{136, 0, 0, 0, 0x60, 0, 0, 0}, net.ParseIP(guestIP6)...)
	answer = packet6(guestIP6, ownIP6, 58, 255, 2, append(append(answer, 2, 1), guestMAC...))
	datagram = append([]byte{0, 7, 0x12, 0x34}, datagram[4:]...)
	head := append(append(bytes.Clone(w.tap.Attrs().HardwareAddr), guestMAC...), 0x86, 0xdd)
	for _, want := range [][]byte{answer, packet6(guestIP6, ownIP6, 17, 64, 6, datagram)} {
		if diff := cmp.Diff(append(bytes.Clone(head), want...), raw.receive(t, guestMAC)); diff != "" {
			t.Errorf("the first answers (-want +got):\n%s", diff)
		}
	}
	s, lines := r.until(t, "all bad ones counted", func(s stat) bool { return s["tx"] >= 2 })
	checkNothingWrong(t, s, lines)
	if got, want := s["rx_bad"], float64(len(bad)); got != want {
		t.Errorf("got rx_bad=%v; want %v", got, want)
	}
}
