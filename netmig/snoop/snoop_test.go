package snoop_test

import (
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/announce"
	"github.com/ferryvmm/ferry/netmig/snoop"
)

var (
	guest  = netmig.MAC{0x52, 0x54, 0, 0, 0, 1}
	other  = netmig.MAC{0x52, 0x54, 0, 0, 0, 2}
	nobody netmig.MAC
)

func build(t testing.TB, from netmig.MAC, kind layers.EthernetType, rest ...gopacket.SerializableLayer) []byte {
	t.Helper()
	all := append([]gopacket.SerializableLayer{&layers.Ethernet{SrcMAC: from[:], DstMAC: make([]byte, 6), EthernetType: kind}}, rest...)
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, all...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func arpLayer(sender netmig.MAC, ip string) *layers.ARP {
	a := netip.MustParseAddr(ip).As4()
	return &layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: 1,
		SourceHwAddress: sender[:], SourceProtAddress: a[:], DstHwAddress: make([]byte, 6), DstProtAddress: []byte{10, 0, 0, 9}}
}

func arp(t testing.TB, from netmig.MAC, ip string) []byte {
	return build(t, from, layers.EthernetTypeARP, arpLayer(from, ip))
}

// icmp is a message of ICMPv6.
func icmp(t testing.TB, from netmig.MAC, source string, message []byte) []byte {
	return build(t, from, layers.EthernetTypeIPv6, &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: 58, SrcIP: net.ParseIP(source), DstIP: net.ParseIP("ff02::1")},
		gopacket.Payload(message))
}

// nd is a message about a target, with an option with a link address if that is not nobody's.
func nd(kind, flags byte, target string, option byte, link netmig.MAC) []byte {
	b := append([]byte{kind, 0, 0, 0, flags, 0, 0, 0}, netip.MustParseAddr(target).AsSlice()...)
	if link != nobody {
		b = append(append(b, option, 1), link[:]...)
	}
	return b
}

func dad(t testing.TB, from netmig.MAC, target string) []byte {
	return icmp(t, from, "::", nd(135, 0, target, 0, nobody))
}

func na(t testing.TB, from netmig.MAC, target string, flags byte) []byte {
	return icmp(t, from, target, nd(136, flags, target, 2, from))
}

func ra(t testing.TB, from netmig.MAC, source string) []byte {
	return icmp(t, from, source, append([]byte{134, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1}, from[:]...))
}

// dhcp4 is a message between a client and a server.
func dhcp4(t testing.TB, reply bool, client netmig.MAC, xid uint32, kind byte, d layers.DHCPv4, lease uint32) []byte {
	d.HardwareType, d.HardwareLen, d.Xid, d.ClientHWAddr, d.Operation = layers.LinkTypeEthernet, 6, xid, client[:], layers.DHCPOpRequest
	for _, ip := range []*net.IP{&d.ClientIP, &d.YourClientIP, &d.NextServerIP, &d.RelayAgentIP} {
		if *ip == nil {
			*ip = net.IPv4zero
		}
	}
	d.Options = append(d.Options, layers.NewDHCPOption(layers.DHCPOptMessageType, []byte{kind}),
		layers.NewDHCPOption(layers.DHCPOptLeaseTime, []byte{byte(lease >> 24), byte(lease >> 16), byte(lease >> 8), byte(lease)}))
	udp, from := &layers.UDP{SrcPort: 68, DstPort: 67}, client
	if reply {
		d.Operation, udp, from = layers.DHCPOpReply, &layers.UDP{SrcPort: 67, DstPort: 68}, other
	}
	return build(t, from, layers.EthernetTypeIPv4, &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: 17, SrcIP: net.IPv4zero, DstIP: net.IPv4bcast}, udp, &d)
}

// dhcp6 is a message between a client and a server, about an address.
func dhcp6(t testing.TB, reply bool, client netmig.MAC, xid byte, kind layers.DHCPv6MsgType, ip string, valid uint32) []byte {
	b := append(make([]byte, 12), 0, 5, 0, 24)
	b = append(append(b, netip.MustParseAddr(ip).AsSlice()...), 0, 0, 0, 1, byte(valid>>24), byte(valid>>16), byte(valid>>8), byte(valid))
	d := &layers.DHCPv6{MsgType: kind, TransactionID: []byte{0, 0, xid}, Options: layers.DHCPv6Options{layers.NewDHCPv6Option(layers.DHCPv6OptIANA, b)}}
	udp, from := &layers.UDP{SrcPort: 546, DstPort: 547}, client
	if reply {
		udp, from = &layers.UDP{SrcPort: 547, DstPort: 546}, other
	}
	return build(t, from, layers.EthernetTypeIPv6, &layers.IPv6{Version: 6, HopLimit: 1, NextHeader: 17, SrcIP: net.ParseIP("fe80::1"), DstIP: net.ParseIP("ff02::1:2")}, udp, d)
}

func known(mac netmig.MAC, ips ...string) (all []announce.Address) {
	for _, text := range ips {
		all = append(all, announce.Address{MAC: mac, IP: netip.MustParseAddr(text)})
	}
	return all
}

// check compares what a table knows, whatever the order.
func check(t *testing.T, what string, table *snoop.Table, want ...announce.Address) {
	t.Helper()
	byIP := cmpopts.SortSlices(func(a, b announce.Address) bool { return a.IP.Less(b.IP) })
	if diff := cmp.Diff(want, table.Addresses(), cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty(), byIP); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func newTable(t testing.TB, s *snoop.State) *snoop.Table {
	t.Helper()
	table, err := snoop.New(s)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

func TestSent(t *testing.T) {
	router := func(a announce.Address) announce.Address { a.Router = true; return a }
	tagged := known(guest, "10.0.0.5")[0]
	tagged.VLAN = 42
	arpOf := func(sender netmig.MAC, ip string) []byte {
		return build(t, guest, layers.EthernetTypeARP, arpLayer(sender, ip))
	}
	for _, tt := range []struct {
		name   string
		frames [][]byte
		want   []announce.Address
	}{
		{"ARP", [][]byte{arp(t, guest, "10.0.0.5"), arp(t, guest, "10.0.0.6"), arp(t, guest, "10.0.0.5")}, known(guest, "10.0.0.5", "10.0.0.6")},
		{"ARP of a guest inside", [][]byte{arp(t, other, "10.0.0.5")}, known(other, "10.0.0.5")},
		{"ARP behind a tag", [][]byte{build(t, guest, layers.EthernetTypeDot1Q, &layers.Dot1Q{VLANIdentifier: 42, Type: layers.EthernetTypeARP}, arpLayer(guest, "10.0.0.5"))}, []announce.Address{tagged}},
		{"ARP behind two", [][]byte{build(t, guest, layers.EthernetTypeDot1Q, &layers.Dot1Q{Type: layers.EthernetTypeDot1Q}, &layers.Dot1Q{Type: layers.EthernetTypeARP}, arpLayer(guest, "10.0.0.5"))}, nil},
		{"ARP for another's MAC", [][]byte{arpOf(other, "10.0.0.5")}, nil},
		{"ARP probe", [][]byte{arp(t, guest, "0.0.0.0")}, nil},
		{"no host's addresses", [][]byte{arp(t, guest, "255.255.255.255"), arp(t, guest, "224.0.0.1"), arp(t, guest, "127.0.0.1")}, nil},
		{"a MAC that is none", [][]byte{arp(t, netmig.MAC{1}, "10.0.0.5"), arp(t, nobody, "10.0.0.5")}, nil},
		{"NS", [][]byte{icmp(t, guest, "fd00::5", nd(135, 0, "fd00::9", 1, guest)), icmp(t, guest, "fe80::5", nd(135, 0, "fd00::9", 1, nobody))}, known(guest, "fd00::5", "fe80::5")},
		{"NS with another's MAC", [][]byte{icmp(t, guest, "fd00::5", nd(135, 0, "fd00::9", 1, other))}, nil},
		{"NA", [][]byte{na(t, guest, "fd00::5", 0x20)}, known(guest, "fd00::5")},
		{"NA for nobody", [][]byte{na(t, guest, "::", 0x20), na(t, guest, "ff02::1", 0), na(t, guest, "::1", 0), na(t, guest, "::ffff:10.0.0.5", 0)}, nil},
		{"NA of a router", [][]byte{na(t, guest, "fd00::5", 0xa0), icmp(t, guest, "fd00::5", nd(135, 0, "fd00::9", 1, guest))}, []announce.Address{router(known(guest, "fd00::5")[0])}},
		{"NA of one that was a router", [][]byte{na(t, guest, "fd00::5", 0xa0), na(t, guest, "fd00::5", 0x20)}, known(guest, "fd00::5")},
		{"RA", [][]byte{ra(t, guest, "fe80::5")}, []announce.Address{router(known(guest, "fe80::5")[0])}},
		{"RS", [][]byte{icmp(t, guest, "fe80::5", append([]byte{133, 0, 0, 0, 0, 0, 0, 0, 1, 1}, guest[:]...))}, known(guest, "fe80::5")},
		{"another MAC", [][]byte{arp(t, guest, "10.0.0.5"), arp(t, other, "10.0.0.5")}, known(other, "10.0.0.5")},
		{"nothing", [][]byte{nil, make([]byte, 60), icmp(t, guest, "fd00::5", []byte{128, 0, 0, 0})}, nil},
	} {
		table := newTable(t, nil)
		for _, b := range tt.frames {
			table.Sent(b)
		}
		check(t, tt.name, table, tt.want...)
	}
}

// TestDetection shows that an address that the guest asks for is its own when
// nobody objects in time.
func TestDetection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const a, b, c = "fd00::a", "fd00::b", "fd00::c"
		table := newTable(t, nil)
		for _, ip := range []string{a, b, c} {
			table.Sent(dad(t, guest, ip))
		}
		check(t, "at once", table)
		time.Sleep(900 * time.Millisecond)
		check(t, "too early", table)
		table.Received(dad(t, guest, a))      // its own, come back
		table.Received(na(t, other, b, 0x20)) // another has it
		table.Received(dad(t, other, c))      // another wants it too
		time.Sleep(100 * time.Millisecond)
		check(t, "after a second", table, known(guest, a)...)
		table.Received(na(t, other, a, 0x20))
		check(t, "nobody takes it from the guest", table, known(guest, a)...)
		table.Sent(dad(t, guest, a))
		check(t, "asked again for what it has", table, known(guest, a)...)
		table.Sent(dad(t, guest, b))
		table.Sent(na(t, guest, b, 0x20))
		check(t, "used before the time", table, known(guest, a, b)...)
	})
}

func TestDHCP4(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable(t, nil)
		ack := dhcp4(t, true, guest, 7, 5, layers.DHCPv4{YourClientIP: net.IPv4(10, 0, 0, 5)}, 7200)
		table.Received(ack)
		check(t, "nobody asked", table)
		table.Sent(dhcp4(t, false, guest, 6, 3, layers.DHCPv4{}, 0))
		table.Received(ack)
		check(t, "another answer", table)
		table.Sent(dhcp4(t, false, guest, 8, 3, layers.DHCPv4{}, 0))
		table.Received(dhcp4(t, true, other, 8, 5, layers.DHCPv4{YourClientIP: net.IPv4(10, 0, 0, 5)}, 7200))
		check(t, "another's answer", table)
		for range 9 { // a row of the same requests drives no other out
			table.Sent(dhcp4(t, false, guest, 7, 3, layers.DHCPv4{}, 0))
		}
		table.Received(ack)
		check(t, "leased", table, known(guest, "10.0.0.5")...)
		time.Sleep(2*time.Hour - time.Second)
		check(t, "still leased", table, known(guest, "10.0.0.5")...)
		time.Sleep(time.Second)
		check(t, "the lease has ended", table)

		table.Sent(dhcp4(t, false, guest, 9, 3, layers.DHCPv4{}, 0))
		table.Received(dhcp4(t, true, guest, 9, 5, layers.DHCPv4{YourClientIP: net.IPv4(10, 0, 0, 6)}, 1<<32-1))
		time.Sleep(365 * 24 * time.Hour)
		check(t, "for ever", table, known(guest, "10.0.0.6")...)
		table.Sent(dhcp4(t, false, other, 10, 7, layers.DHCPv4{ClientIP: net.IPv4(10, 0, 0, 6)}, 0))
		check(t, "given up by another", table, known(guest, "10.0.0.6")...)
		table.Sent(dhcp4(t, false, guest, 10, 7, layers.DHCPv4{ClientIP: net.IPv4(10, 0, 0, 6)}, 0))
		check(t, "given up", table)

		table.Sent(arp(t, guest, "10.0.0.7"))
		table.Sent(dhcp4(t, false, guest, 11, 4, layers.DHCPv4{Options: layers.DHCPOptions{layers.NewDHCPOption(layers.DHCPOptRequestIP, []byte{10, 0, 0, 7})}}, 0))
		check(t, "declined", table)
	})
}

func TestDHCP6(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable(t, nil)
		reply := dhcp6(t, true, guest, 7, layers.DHCPv6MsgTypeReply, "fd00::5", 7200)
		table.Received(reply)
		table.Sent(dhcp6(t, false, guest, 6, layers.DHCPv6MsgTypeRequest, "fd00::5", 0))
		table.Received(reply)
		time.Sleep(time.Second)
		check(t, "not asked for", table)
		for _, kind := range []layers.DHCPv6MsgType{layers.DHCPv6MsgTypeSolicit, layers.DHCPv6MsgTypeRequest, layers.DHCPv6MsgTypeRenew, layers.DHCPv6MsgTypeRebind} {
			table.Sent(dhcp6(t, false, guest, 7, kind, "fd00::5", 0))
			table.Received(reply)
			time.Sleep(time.Hour)
			check(t, fmt.Sprintf("leased, asked by %v", kind), table, known(guest, "fd00::5")...)
		}
		time.Sleep(time.Hour)
		check(t, "the lease has ended", table)
		for _, kind := range []layers.DHCPv6MsgType{layers.DHCPv6MsgTypeRelease, layers.DHCPv6MsgTypeDecline} {
			table.Sent(na(t, guest, "fd00::6", 0x20))
			table.Sent(dhcp6(t, false, guest, 8, kind, "fd00::6", 0))
			check(t, fmt.Sprintf("given up by %v", kind), table)
		}
		table.Sent(na(t, guest, "fd00::6", 0x20))
		table.Sent(dhcp6(t, false, guest, 8, layers.DHCPv6MsgTypeRenew, "fd00::6", 0))
		table.Received(dhcp6(t, true, guest, 8, layers.DHCPv6MsgTypeReply, "fd00::6", 0))
		check(t, "withdrawn", table)
	})
}

// TestBounds shows that the table does not grow, and keeps what is in use.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable(t, nil)
		for i := range 1000 {
			time.Sleep(time.Millisecond)
			table.Sent(arp(t, guest, "10.0.0.5"))
			time.Sleep(time.Millisecond)
			table.Sent(arp(t, guest, fmt.Sprintf("10.1.%d.%d", i/200, 1+i%200)))
			time.Sleep(time.Millisecond)
			table.Sent(na(t, guest, fmt.Sprintf("fd00::%x", 1+i), 0))
		}
		all := table.Addresses()
		if len(all) != 32 {
			t.Errorf("got %d addresses; want 16 of each family", len(all))
		}
		if all[0].IP != netip.MustParseAddr("fd00::3e8") || all[1].IP != netip.MustParseAddr("10.1.4.200") || all[2].IP != netip.MustParseAddr("10.0.0.5") {
			t.Errorf("got %v; want the last first, and 10.0.0.5 in spite of the many", all[:3])
		}
		time.Sleep(time.Hour)
		check(t, "an hour later", table)
	})
}

func TestState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable(t, nil)
		table.Sent(arp(t, guest, "10.0.0.1"))
		time.Sleep(30 * time.Minute)
		table.Sent(na(t, guest, "fd00::5", 0xa0))
		table.Sent(build(t, guest, layers.EthernetTypeDot1Q, &layers.Dot1Q{VLANIdentifier: 42, Type: layers.EthernetTypeARP}, arpLayer(guest, "10.0.0.5")))
		table.Sent(dad(t, guest, "fd00::6"))
		encoded, err := cbor.Marshal(table.Save())
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour) // on the way no time passes
		var s snoop.State
		if err := cbor.Unmarshal(encoded, &s); err != nil {
			t.Fatal(err)
		}
		moved := newTable(t, &s)
		vlan, router := known(guest, "10.0.0.5")[0], known(guest, "fd00::5")[0]
		vlan.VLAN, router.Router = 42, true
		check(t, "moved", moved, append(known(guest, "10.0.0.1"), vlan, router)...)
		time.Sleep(time.Second)
		check(t, "a second later", moved, append(known(guest, "10.0.0.1", "fd00::6"), vlan, router)...)
		time.Sleep(29*time.Minute + 59*time.Second)
		check(t, "half an hour later", moved, append(known(guest, "fd00::6"), vlan, router)...)
		time.Sleep(30 * time.Minute)
		if got := moved.Save(); got.Known != nil {
			t.Errorf("an hour later: got %+v; want nothing", got)
		}
	})
}

func TestStateRefused(t *testing.T) {
	good := snoop.Known{Address: known(guest, "10.0.0.5")[0], Until: time.Hour}
	many := snoop.State{}
	for i := range 17 {
		k := good
		k.IP = netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})
		many.Known = append(many.Known, k)
	}
	spoil := func(change func(*snoop.Known)) snoop.State {
		k := good
		change(&k)
		return snoop.State{Known: []snoop.Known{k}}
	}
	for name, s := range map[string]snoop.State{
		"twice":     {Known: []snoop.Known{good, good}},
		"too many":  many,
		"no IP":     spoil(func(k *snoop.Known) { k.IP = netip.Addr{} }),
		"multicast": spoil(func(k *snoop.Known) { k.IP = netip.MustParseAddr("ff02::1") }),
		"zone":      spoil(func(k *snoop.Known) { k.IP = netip.MustParseAddr("fe80::1%eth0") }),
		"no MAC":    spoil(func(k *snoop.Known) { k.MAC = nobody }),
		"VLAN":      spoil(func(k *snoop.Known) { k.VLAN = 4096 }),
	} {
		if _, err := snoop.New(&s); err == nil {
			t.Errorf("%s: got no error; want one", name)
		}
	}
	long := newTable(t, &snoop.State{Known: []snoop.Known{{Address: good.Address, Heard: -1 << 62, From: -1 << 62, Until: 1 << 62}}})
	check(t, "times that cannot be", long, good.Address)
}

// FuzzTable shows that no frames make the table larger than it may be, or know
// what cannot be announced or restored.
func FuzzTable(f *testing.F) {
	for _, b := range [][]byte{
		arp(f, guest, "10.0.0.5"), dad(f, guest, "fd00::5"), na(f, guest, "fd00::5", 0xa0), ra(f, guest, "fe80::5"),
		dhcp4(f, false, guest, 7, 3, layers.DHCPv4{}, 0), dhcp6(f, false, guest, 7, layers.DHCPv6MsgTypeRequest, "fd00::5", 0),
	} {
		f.Add(b, dhcp4(f, true, guest, 7, 5, layers.DHCPv4{YourClientIP: net.IPv4(10, 0, 0, 5)}, 7200))
		f.Add(b, dhcp6(f, true, guest, 7, layers.DHCPv6MsgTypeReply, "fd00::5", 7200))
	}
	f.Fuzz(func(t *testing.T, sent, received []byte) {
		table := newTable(t, nil)
		for i := range 20 {
			table.Sent(sent)
			table.Received(received)
			if len(sent) > 33 { // another address each time, wherever it is
				sent[31]++
				sent[33] += byte(i)
			}
		}
		all := table.Addresses()
		if len(all) > 32 {
			t.Errorf("got %d addresses; want at most 32", len(all))
		}
		for _, b := range announce.Frames(guest, all) {
			if len(b) < 60 {
				t.Errorf("got an announcement of %d bytes; want at least 60", len(b))
			}
		}
		s := table.Save()
		if _, err := snoop.New(&s); err != nil {
			t.Errorf("what was saved is refused: %v", err)
		}
	})
}

// FuzzState shows that a state is refused or kept within bounds.
func FuzzState(f *testing.F) {
	b, err := cbor.Marshal(snoop.State{Known: []snoop.Known{{Address: known(guest, "10.0.0.5")[0], Until: time.Hour}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var s snoop.State
		if cbor.Unmarshal(b, &s) != nil {
			return
		}
		table, err := snoop.New(&s)
		if err != nil {
			return
		}
		if got := len(table.Addresses()); got > 32 {
			t.Errorf("got %d addresses; want at most 32", got)
		}
	})
}

// TestAllocations shows that frames that tell nothing cost nothing.
func TestAllocations(t *testing.T) {
	table := newTable(t, nil)
	b := build(t, guest, layers.EthernetTypeIPv4, &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: 6, SrcIP: net.IPv4(10, 0, 0, 5), DstIP: net.IPv4(10, 0, 0, 6)},
		gopacket.Payload(make([]byte, 1000)))
	known, said := arp(t, guest, "10.0.0.5"), na(t, guest, "fd00::5", 0)
	table.Sent(known)
	table.Sent(said)
	if got := testing.AllocsPerRun(100, func() { table.Sent(b); table.Received(b); table.Sent(known); table.Sent(said) }); got > 0 {
		t.Errorf("got %v allocations; want none", got)
	}
}

func BenchmarkSent(b *testing.B) {
	table := newTable(b, nil)
	packet := build(b, guest, layers.EthernetTypeIPv4, &layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: 6, SrcIP: net.IPv4(10, 0, 0, 5), DstIP: net.IPv4(10, 0, 0, 6)},
		gopacket.Payload(make([]byte, 1400)))
	b.ReportAllocs()
	for b.Loop() {
		table.Sent(packet)
	}
}
