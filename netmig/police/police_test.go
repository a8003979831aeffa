package police_test

import (
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/police"
)

// passed is how many frames of a size pass of so many, one each step.
func passed(l *police.Limiter, frames, size int, step time.Duration) (n int) {
	for range frames {
		if l.Pass(size) {
			n++
		}
		time.Sleep(step)
	}
	return n
}

func TestLimits(t *testing.T) {
	for _, tt := range []struct {
		name      string
		policy    netmig.Policy
		size      int
		step      time.Duration // between frames, for 10 s
		low, high int           // that pass, after the first burst
	}{
		{"packets", netmig.Policy{Packets: 1000}, 60, 250 * time.Microsecond, 9990, 10000},
		{"packets below", netmig.Policy{Packets: 1000}, 60, time.Millisecond, 9999, 10000},
		{"few packets", netmig.Policy{Packets: 10}, 60, time.Millisecond, 99, 100},
		{"bits", netmig.Policy{Rate: 12e6}, 1500, 100 * time.Microsecond, 9990, 10000},
		{"bits below", netmig.Policy{Rate: 12e6}, 1500, time.Millisecond, 9999, 10000},
		{"large segments", netmig.Policy{Rate: 8e6}, 64 << 10, 10 * time.Millisecond, 152, 153},
		{"both, bits bind", netmig.Policy{Rate: 12e6, Packets: 5000}, 1500, 100 * time.Microsecond, 9990, 10000},
		{"both, packets bind", netmig.Policy{Rate: 12e6, Packets: 1000}, 60, 100 * time.Microsecond, 9990, 10000},
		{"none", netmig.Policy{}, 1500, time.Millisecond, 10000, 10000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := police.NewLimiter(tt.policy, police.Owed{})
				for l.Pass(tt.size) && tt.policy != (netmig.Policy{}) {
				}
				before := l.Refused()
				frames := int(10 * time.Second / tt.step)
				got := passed(l, frames, tt.size, tt.step)
				if got < tt.low || got > tt.high {
					t.Errorf("got %d in 10 s; want %d to %d", got, tt.low, tt.high)
				}
				if refused := int(l.Refused() - before); refused != frames-got {
					t.Errorf("refused: got %d; want %d", refused, frames-got)
				}
			})
		})
	}
}

// TestBurst shows that one who was silent may send a row of frames, however slow
// the limit is, and that a large frame can pass at all.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			policy netmig.Policy
			size   int
			want   int
		}{
			{netmig.Policy{Packets: 10}, 60, 32},
			{netmig.Policy{Packets: 20e3}, 60, 1000},
			{netmig.Policy{Rate: 10e3}, 64 << 10, 2},
			{netmig.Policy{Rate: 1e9}, 1250, 5000},
		} {
			l := police.NewLimiter(tt.policy, police.Owed{})
			for range 2 {
				if got := passed(l, 10000, tt.size, 0); got != tt.want {
					t.Errorf("%+v: got %d frames of %d bytes at once; want %d", tt.policy, got, tt.size, tt.want)
				}
				time.Sleep(200 * time.Second)
			}
		}
	})
}

// TestOwed shows that a guest that moves gets no burst by it.
func TestOwed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		policy := netmig.Policy{Rate: 1e9, Packets: 20e3}
		l := police.NewLimiter(policy, police.Owed{})
		passed(l, 10000, 1250, 0)
		owed := l.Owed()
		if want := 50 * time.Millisecond; owed.Packets != want || owed.Bits != 10*time.Millisecond {
			t.Errorf("got %+v; want %v of packets and 10 ms of bits", owed, want)
		}
		l = police.NewLimiter(policy, owed)
		if l.Pass(60) {
			t.Error("got a frame through right after the move; want none")
		}
		time.Sleep(10 * time.Millisecond)
		if got := passed(l, 1000, 60, 0); got != 200 {
			t.Errorf("got %d frames 10 ms after the move; want 200", got)
		}
		// What cannot be is bounded.
		l = police.NewLimiter(policy, police.Owed{Bits: 1 << 62, Packets: -1 << 62})
		if got := l.Owed(); got.Bits != 50*time.Millisecond || got.Packets != 0 {
			t.Errorf("got %+v; want 50 ms and nothing", got)
		}
	})
}

func TestAllocations(t *testing.T) {
	l := police.NewLimiter(netmig.Policy{Rate: 1e6, Packets: 10}, police.Owed{})
	g := police.NewGuard(nic("10.0.0.5"))
	b := arp(t, guest, guest, "10.0.0.5")
	if got := testing.AllocsPerRun(100, func() { l.Pass(60); g.Pass(b) }); got > 0 {
		t.Errorf("got %v allocations a frame; want none", got)
	}
}

var (
	guest = netmig.MAC{0x52, 0x54, 0, 0, 0, 1}
	other = netmig.MAC{0x52, 0x54, 0, 0, 0, 2}
)

// nic is a guarded device of a guest with addresses.
func nic(ips ...string) netmig.NIC {
	n := netmig.NIC{ID: "eth", MAC: guest, Queues: 1, Policy: netmig.Policy{AntiSpoof: true}}
	for i, text := range ips {
		if a := netip.MustParseAddr(text); i == 0 {
			n.IP = a
		} else {
			n.MoreIPs = append(n.MoreIPs, a)
		}
	}
	return n
}

func build(t testing.TB, from netmig.MAC, kind layers.EthernetType, rest ...gopacket.SerializableLayer) []byte {
	t.Helper()
	all := append([]gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: from[:], DstMAC: other[:], EthernetType: kind}}, rest...)
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, all...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func arp(t testing.TB, from, sender netmig.MAC, ip string) []byte {
	return build(t, from, layers.EthernetTypeARP, arpLayer(sender, ip))
}

func arpLayer(sender netmig.MAC, ip string) *layers.ARP {
	a := netip.MustParseAddr(ip).As4()
	return &layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1,
		SourceHwAddress: sender[:], SourceProtAddress: a[:], DstHwAddress: make([]byte, 6), DstProtAddress: []byte{10, 0, 0, 9}}
}

func ipv4(t testing.TB, source, destination string) []byte {
	return build(t, guest, layers.EthernetTypeIPv4, &layers.IPv4{Version: 4, IHL: 5, TTL: 1, Protocol: 17, SrcIP: net.ParseIP(source), DstIP: net.ParseIP(destination)},
		gopacket.Payload(make([]byte, 8)))
}

func ipv6(t testing.TB, source, destination string, next layers.IPProtocol, payload ...byte) []byte {
	return build(t, guest, layers.EthernetTypeIPv6, &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: next, SrcIP: net.ParseIP(source), DstIP: net.ParseIP(destination)},
		gopacket.Payload(payload))
}

// nd is a message about a target, with an option with a link address.
func nd(kind byte, target string, option byte, link netmig.MAC) []byte {
	b := append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, netip.MustParseAddr(target).AsSlice()...)
	return append(append(b, option, 1), link[:]...)
}

func TestGuard(t *testing.T) {
	const mine, own, theirs = "fd00::5", "fe80::5054:ff:fe00:1", "fe80::1"
	udp := make([]byte, 8)
	tagged := build(t, guest, layers.EthernetTypeDot1Q, &layers.Dot1Q{VLANIdentifier: 5, Type: layers.EthernetTypeARP}, arpLayer(other, "10.0.0.5"))
	deep := build(t, guest, layers.EthernetTypeDot1Q, &layers.Dot1Q{Type: layers.EthernetTypeDot1Q}, &layers.Dot1Q{Type: layers.EthernetTypeDot1Q}, &layers.Dot1Q{Type: layers.EthernetTypeARP},
		arpLayer(guest, "10.0.0.5"))
	fragment := append([]byte{58, 0, 0, 1, 0, 0, 0, 1}, nd(136, mine, 2, guest)...)
	for _, tt := range []struct {
		name       string
		frame      []byte
		mac, given bool // passes where only the MAC is known, and where addresses were given
	}{
		{"another MAC", build(t, other, 0x88b5), false, false},
		{"unknown type", build(t, guest, 0x88b5), true, true},
		{"reserved type", build(t, guest, 0xffff), false, false},
		{"no frame", make([]byte, 13), false, false},

		{"ARP", arp(t, guest, guest, "10.0.0.5"), true, true},
		{"ARP, second address", arp(t, guest, guest, "10.0.0.6"), true, true},
		{"ARP for another", arp(t, guest, guest, "10.0.0.7"), true, false},
		{"ARP with another's MAC", arp(t, guest, other, "10.0.0.5"), false, false},
		{"ARP probe", arp(t, guest, guest, "0.0.0.0"), true, true},
		{"ARP behind a tag", tagged, false, false},
		{"ARP behind too many tags", deep, false, false},
		{"ARP cut", arp(t, guest, guest, "10.0.0.5")[:40], false, false},

		{"IPv4", ipv4(t, "10.0.0.5", "10.9.9.9"), true, true},
		{"IPv4 from another", ipv4(t, "10.0.0.7", "10.9.9.9"), true, false},
		{"DHCP", ipv4(t, "0.0.0.0", "255.255.255.255"), true, true},
		{"IPv4 from nobody", ipv4(t, "0.0.0.0", "10.9.9.9"), false, false},
		{"IPv4 cut", ipv4(t, "10.0.0.5", "10.9.9.9")[:30], false, false},

		{"IPv6", ipv6(t, mine, "fd00::9", 17, udp...), true, true},
		{"IPv6 from the link", ipv6(t, own, "fd00::9", 17, udp...), true, true},
		{"IPv6 from another", ipv6(t, "fd00::6", "fd00::9", 17, udp...), true, false},
		{"IPv6 from another of the link", ipv6(t, theirs, "fd00::9", 17, udp...), true, false},
		{"IPv6 from nobody to one", ipv6(t, "::", "fd00::9", 17, udp...), false, false},
		{"IPv6 cut", ipv6(t, mine, "fd00::9", 17, udp...)[:50], false, false},
		{"echo", ipv6(t, mine, "fd00::9", 58, 128, 0, 0, 0), true, true},

		{"NS", ipv6(t, mine, "ff02::1", 58, nd(135, "fd00::9", 1, guest)...), true, true},
		{"NS with another's MAC", ipv6(t, mine, "ff02::1", 58, nd(135, "fd00::9", 1, other)...), false, false},
		{"DAD", ipv6(t, "::", "ff02::1", 58, nd(135, mine, 14, guest)...), true, true},
		{"DAD against another", ipv6(t, "::", "ff02::1", 58, nd(135, theirs, 14, guest)...), true, false},
		{"NA", ipv6(t, mine, "ff02::1", 58, nd(136, mine, 2, guest)...), true, true},
		{"NA with another's MAC", ipv6(t, mine, "ff02::1", 58, nd(136, mine, 2, other)...), false, false},
		{"NA for another", ipv6(t, mine, "ff02::1", 58, nd(136, theirs, 2, guest)...), true, false},
		{"NA with two MACs", ipv6(t, mine, "ff02::1", 58, append(nd(136, mine, 2, other), append([]byte{2, 1}, guest[:]...)...)...), false, false},
		{"NA cut", ipv6(t, mine, "ff02::1", 58, nd(136, mine, 2, guest)[:28]...), false, false},
		{"NA in a fragment", ipv6(t, mine, "ff02::1", 44, fragment...), false, false},
		{"ICMP whose type is in the next fragment", ipv6(t, mine, "ff02::1", 44, fragment[:8]...), false, false},
		{"RA from another", ipv6(t, theirs, "ff02::1", 58, append([]byte{134, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, guest[:]...)...), true, false},
	} {
		for _, g := range []struct {
			guard *police.Guard
			want  bool
		}{{police.NewGuard(nic()), tt.mac}, {police.NewGuard(nic("10.0.0.5", "10.0.0.6", mine)), tt.given}} {
			if got := g.guard.Pass(tt.frame); got != g.want {
				t.Errorf("%s, %+v: got %v; want %v", tt.name, g.guard.Owns(netip.MustParseAddr(theirs)), got, g.want)
			}
			want := uint64(0)
			if !g.want {
				want = 1
			}
			if got := g.guard.Refused(); got != want {
				t.Errorf("%s: got %d refused; want %d", tt.name, got, want)
			}
		}
	}
	off := police.NewGuard(netmig.NIC{MAC: guest})
	if !off.Pass(arp(t, other, other, "10.0.0.5")) || !off.Owns(netip.MustParseAddr("10.0.0.5")) || off.Refused() != 0 {
		t.Error("got a frame refused by a device without antispoof; want all to pass")
	}
}

// FuzzGuard shows that no frame passes that another decoder takes for somebody else's.
func FuzzGuard(f *testing.F) {
	f.Add(arp(f, guest, guest, "10.0.0.5"))
	f.Add(ipv4(f, "10.0.0.5", "10.9.9.9"))
	f.Add(ipv6(f, "fd00::5", "ff02::1", 58, nd(136, "fd00::5", 2, guest)...))
	f.Add(build(f, guest, layers.EthernetTypeDot1Q, &layers.Dot1Q{VLANIdentifier: 5, Type: layers.EthernetTypeARP}, arpLayer(guest, "10.0.0.5")))
	g := police.NewGuard(nic("10.0.0.5", "fd00::5"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if !g.Pass(b) {
			return
		}
		p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.NoCopy)
		check := func(what string, ip net.IP) {
			a, ok := netip.AddrFromSlice(ip)
			if ok && !a.IsUnspecified() && !g.Owns(a) {
				t.Errorf("%s: %v passed", what, a)
			}
		}
		carried := false // by IP
		for i, l := range p.Layers() {
			if _, ok := l.(gopacket.NetworkLayer); ok {
				if carried { // another tunnel
					return
				}
				carried = true
			}
			switch l := l.(type) {
			case *layers.Ethernet:
				if i > 0 { // what is in a tunnel is no affair of the link's
					return
				}
				if l.SrcMAC.String() != guest.String() {
					t.Errorf("a frame of %v passed", l.SrcMAC)
				}
			case *layers.ARP:
				check("ARP", l.SourceProtAddress)
			case *layers.IPv4:
				check("IPv4", l.SrcIP)
				return
			case *layers.IPv6:
				check("IPv6", l.SrcIP)
			case *layers.ICMPv6NeighborAdvertisement:
				check("NA", l.TargetAddress)
			}
		}
	})
}

func BenchmarkPass(b *testing.B) {
	l := police.NewLimiter(netmig.Policy{Rate: 1e12, Packets: 1e9}, police.Owed{})
	g := police.NewGuard(nic("10.0.0.5", "fd00::5"))
	p := ipv4(b, "10.0.0.5", "10.9.9.9")
	b.ReportAllocs()
	for b.Loop() {
		if !g.Pass(p) || !l.Pass(1500) {
			b.Fatal("refused")
		}
	}
}
