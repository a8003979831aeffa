package frame_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/frame"
)

var (
	guest = netmig.MAC{0x52, 0x54, 0, 0, 0, 1}
	other = netmig.MAC{0x52, 0x54, 0, 0, 0, 2}
)

// build makes a frame of layers.
func build(t testing.TB, all ...gopacket.SerializableLayer) []byte {
	t.Helper()
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true}, all...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func hw(m netmig.MAC) net.HardwareAddr { return net.HardwareAddr(m[:]) }

func ip(text string) netip.Addr { return netip.MustParseAddr(text) }

func ethernet(kind layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: hw(guest), DstMAC: hw(other), EthernetType: kind}
}

func ipv4(source, destination string) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Protocol: layers.IPProtocolUDP, SrcIP: net.ParseIP(source), DstIP: net.ParseIP(destination)}
}

func ipv6(next layers.IPProtocol, source, destination string) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 255, NextHeader: next, SrcIP: net.ParseIP(source), DstIP: net.ParseIP(destination)}
}

func equal(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// all are a frame of each kind that is read, with what reads its innermost part.
func all(t testing.TB) map[string][]byte {
	arp := &layers.ARP{AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4, Operation: layers.ARPReply,
		SourceHwAddress: hw(guest), SourceProtAddress: []byte{10, 0, 0, 5}, DstHwAddress: hw(other), DstProtAddress: []byte{10, 0, 0, 6}}
	na := &layers.ICMPv6NeighborAdvertisement{Flags: 0xa0, TargetAddress: net.ParseIP("fd00::5"),
		Options: layers.ICMPv6Options{{Type: layers.ICMPv6OptTargetAddress, Data: guest[:]}}}
	advertisement := &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(136, 0)}
	ack := &layers.DHCPv4{Operation: layers.DHCPOpReply, HardwareType: layers.LinkTypeEthernet, HardwareLen: 6, Xid: 0x12345678, ClientHWAddr: hw(guest),
		ClientIP: net.IPv4(10, 0, 0, 4), YourClientIP: net.IPv4(10, 0, 0, 5), NextServerIP: net.IPv4zero, RelayAgentIP: net.IPv4zero,
		Options: layers.DHCPOptions{layers.NewDHCPOption(layers.DHCPOptPad, nil), layers.NewDHCPOption(layers.DHCPOptMessageType, []byte{5}),
			layers.NewDHCPOption(layers.DHCPOptLeaseTime, []byte{0, 0, 14, 16}), layers.NewDHCPOption(layers.DHCPOptRequestIP, []byte{10, 0, 0, 7})}}
	lease := append(netip.MustParseAddr("fd00::7").AsSlice(), 0, 0, 0, 1, 0, 0, 14, 16)
	address := append([]byte{0, 5, 0, 24}, lease...)
	reply := &layers.DHCPv6{MsgType: layers.DHCPv6MsgTypeReply, TransactionID: []byte{1, 2, 3}, Options: layers.DHCPv6Options{
		layers.NewDHCPv6Option(layers.DHCPv6OptIANA, append(make([]byte, 12), address...)),
		layers.NewDHCPv6Option(layers.DHCPv6OptIATA, append(make([]byte, 4), append(address, address...)...)),
	}}
	ip4, ip6 := ipv4("10.0.0.5", "10.0.0.6"), ipv6(layers.IPProtocolICMPv6, "fd00::5", "ff02::1")
	udp6 := ipv6(layers.IPProtocolUDP, "fe80::1", "fe80::2")
	return map[string][]byte{
		"arp": build(t, ethernet(layers.EthernetTypeARP), arp),
		"tagged": build(t, ethernet(layers.EthernetTypeQinQ), &layers.Dot1Q{VLANIdentifier: 42, Priority: 7, Type: layers.EthernetTypeDot1Q},
			&layers.Dot1Q{VLANIdentifier: 43, Type: layers.EthernetTypeARP}, arp),
		"na":    build(t, ethernet(layers.EthernetTypeIPv6), ip6, advertisement, na),
		"dhcp4": build(t, ethernet(layers.EthernetTypeIPv4), ip4, &layers.UDP{SrcPort: 67, DstPort: 68}, ack),
		"dhcp6": build(t, ethernet(layers.EthernetTypeIPv6), udp6, &layers.UDP{SrcPort: 547, DstPort: 546}, reply),
	}
}

func TestARP(t *testing.T) {
	for name, want := range map[string]frame.Ethernet{
		"arp":    {Source: guest, Destination: other, Type: frame.TypeARP},
		"tagged": {Source: guest, Destination: other, Type: frame.TypeARP, Tags: 2, VLAN: 42},
	} {
		e, b, ok := frame.ParseEthernet(all(t)[name])
		equal(t, name, e, want)
		a, fits := frame.ParseARP(b)
		if !ok || !fits {
			t.Fatalf("%s: got %v, %v; want both", name, ok, fits)
		}
		equal(t, name, a, frame.ARP{Operation: frame.ARPReply, SenderMAC: guest, TargetMAC: other, Sender: ip("10.0.0.5"), Target: ip("10.0.0.6")})
	}
}

func TestND(t *testing.T) {
	_, b, _ := frame.ParseEthernet(all(t)["na"])
	p, payload, ok := frame.ParseIPv6(b)
	equal(t, "IPv6", p, frame.IP{Source: ip("fd00::5"), Destination: ip("ff02::1"), Protocol: frame.ProtocolICMPv6, HopLimit: 255})
	n, fits := frame.ParseND(p, payload)
	if !ok || !fits {
		t.Fatalf("got %v, %v; want both", ok, fits)
	}
	equal(t, "ND", n, frame.ND{Type: frame.NeighborAdvertisement, Target: ip("fd00::5"), Router: true, Link: guest})

	spoil := func(what string, change func(p *frame.IP, b []byte) []byte) {
		p, payload := p, append([]byte(nil), payload...)
		payload = change(&p, payload)
		if n, ok := frame.ParseND(p, payload); ok {
			t.Errorf("%s: got %+v; want none", what, n)
		}
	}
	spoil("routed", func(p *frame.IP, b []byte) []byte { p.HopLimit = 254; return b })
	spoil("fragment", func(p *frame.IP, b []byte) []byte { p.Fragment = true; return b })
	spoil("code", func(p *frame.IP, b []byte) []byte { b[1] = 1; return b })
	spoil("other type", func(p *frame.IP, b []byte) []byte { b[0] = 128; return b })
	spoil("cut", func(p *frame.IP, b []byte) []byte { return b[:23] })
	spoil("cut option", func(p *frame.IP, b []byte) []byte { return b[:31] })
	spoil("endless option", func(p *frame.IP, b []byte) []byte { b[25] = 0; return b })

	two := append(append([]byte(nil), payload...), 2, 1, 1, 2, 3, 4, 5, 6)
	if n, ok := frame.ParseND(p, two); !ok || !n.Differs {
		t.Errorf("two link addresses: got %+v, %v; want that they differ", n, ok)
	}
}

func TestDHCP(t *testing.T) {
	_, b, _ := frame.ParseEthernet(all(t)["dhcp4"])
	p, b, _ := frame.ParseIPv4(b)
	equal(t, "IPv4", p, frame.IP{Source: ip("10.0.0.5"), Destination: ip("10.0.0.6"), Protocol: frame.ProtocolUDP, HopLimit: 64})
	from, to, b, _ := frame.ParseUDP(b)
	four, ok := frame.ParseDHCP4(b)
	if from != frame.PortDHCPServer || to != frame.PortDHCPClient || !ok {
		t.Fatalf("got ports %d and %d, %v; want those of DHCP", from, to, ok)
	}
	equal(t, "DHCPv4", four, frame.DHCP4{Operation: frame.BootReply, Type: frame.DHCPAck, Transaction: 0x12345678, Client: guest,
		ClientIP: ip("10.0.0.4"), YourIP: ip("10.0.0.5"), RequestedIP: ip("10.0.0.7"), Lease: 3600})

	_, b, _ = frame.ParseEthernet(all(t)["dhcp6"])
	_, b, _ = frame.ParseIPv6(b)
	from, to, b, _ = frame.ParseUDP(b)
	six, ok := frame.ParseDHCP6(b)
	if from != frame.PortDHCP6Server || to != frame.PortDHCP6Client || !ok {
		t.Fatalf("got ports %d and %d, %v; want those of DHCP for IPv6", from, to, ok)
	}
	l := frame.Lease{IP: ip("fd00::7"), Valid: 3600}
	equal(t, "leases", six.Leases(), []frame.Lease{l, l, l})
	if six.Type != frame.DHCP6Reply || six.Transaction != 0x010203 {
		t.Errorf("got type %d, transaction %#x; want a reply to 0x10203", six.Type, six.Transaction)
	}
}

// TestExtensions shows that nothing hides behind extension headers.
func TestExtensions(t *testing.T) {
	options := func(next byte) []byte { return []byte{next, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} }
	fragment := func(next byte, offset byte) []byte { return []byte{next, 0, 0, offset << 3, 0, 0, 0, 1} }
	message := []byte{135, 0, 0, 0}
	header := func(next layers.IPProtocol, parts ...[]byte) []byte {
		var b gopacket.Payload
		for _, p := range parts {
			b = append(b, p...)
		}
		return build(t, ipv6(next, "fe80::1", "ff02::1"), b)
	}
	many := [][]byte{}
	for range 8 {
		many = append(many, options(60))
	}
	for _, tt := range []struct {
		name string
		b    []byte
		want frame.IP
		ok   bool
	}{
		{"none", header(58, message), frame.IP{Protocol: 58}, true},
		{"options", header(0, options(60), options(43), options(58), message), frame.IP{Protocol: 58}, true},
		{"first fragment", header(44, fragment(60, 0), options(58), message), frame.IP{Protocol: 58, Fragment: true}, true},
		{"later fragment", header(44, fragment(58, 1), message), frame.IP{Fragment: true, Later: true}, true},
		{"too many", header(60, append(many, message)...), frame.IP{}, false},
		{"cut", header(60, options(58)[:12]), frame.IP{}, false},
		{"cut at the type", header(0, []byte{58}), frame.IP{}, false},
	} {
		tt.want.Source, tt.want.Destination, tt.want.HopLimit = ip("fe80::1"), ip("ff02::1"), 255
		got, payload, ok := frame.ParseIPv6(tt.b)
		if ok != tt.ok {
			t.Errorf("%s: got %v; want %v", tt.name, ok, tt.ok)
		}
		if !ok {
			continue
		}
		equal(t, tt.name, got, tt.want)
		equal(t, tt.name, payload, message)
	}
	padded := append(header(58, message), 1, 2, 3)
	_, payload, _ := frame.ParseIPv6(padded)
	equal(t, "what pads a short frame", payload, message)
}

// TestCut shows that what ends anywhere is read without harm, and as nothing
// else than it was.
func TestCut(t *testing.T) {
	for name, b := range all(t) {
		for n := range b {
			read(t, b[:n])
		}
		if allocated := testing.AllocsPerRun(10, func() { read(t, b) }); allocated > 0 {
			t.Errorf("%s: got %v allocations; want none", name, allocated)
		}
	}
}

// read reads all that a frame may be.
func read(t testing.TB, b []byte) (e frame.Ethernet, a frame.ARP, p frame.IP, arp, isIP bool) {
	e, payload, ok := frame.ParseEthernet(b)
	if !ok {
		return
	}
	switch e.Type {
	case frame.TypeARP, frame.TypeRARP:
		a, arp = frame.ParseARP(payload)
		return
	case frame.TypeIPv4:
		p, payload, isIP = frame.ParseIPv4(payload)
	case frame.TypeIPv6:
		p, payload, isIP = frame.ParseIPv6(payload)
	}
	if n, ok := frame.ParseND(p, payload); ok && !frame.IsND(p, payload) {
		t.Errorf("got %+v of what is no neighbour discovery", n)
	}
	_, _, payload, _ = frame.ParseUDP(payload)
	frame.ParseDHCP4(payload)
	if d, ok := frame.ParseDHCP6(payload); ok && len(d.Leases()) > frame.MaxLeases {
		t.Errorf("got %d leases; want at most %d", len(d.Leases()), frame.MaxLeases)
	}
	return
}

// FuzzFrame compares with another decoder.
func FuzzFrame(f *testing.F) {
	for _, b := range all(f) {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, a, p, arp, isIP := read(t, b)
		other := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.NoCopy)
		if l, ok := other.Layer(layers.LayerTypeEthernet).(*layers.Ethernet); ok && (cmp.Diff(hw(e.Source), l.SrcMAC) != "" || cmp.Diff(hw(e.Destination), l.DstMAC) != "") {
			t.Errorf("got %v to %v; want %v to %v", e.Source, e.Destination, l.SrcMAC, l.DstMAC)
		}
		if l, ok := other.Layer(layers.LayerTypeARP).(*layers.ARP); ok && arp {
			sender, _ := netip.AddrFromSlice(l.SourceProtAddress)
			if a.Operation != l.Operation || cmp.Diff(hw(a.SenderMAC), net.HardwareAddr(l.SourceHwAddress)) != "" || a.Sender != sender {
				t.Errorf("got %+v; want %+v", a, l)
			}
		}
		var source, destination netip.Addr
		switch l := other.NetworkLayer().(type) {
		case *layers.IPv4:
			source, _ = netip.AddrFromSlice(l.SrcIP)
			destination, _ = netip.AddrFromSlice(l.DstIP)
		case *layers.IPv6:
			source, _ = netip.AddrFromSlice(l.SrcIP)
			destination, _ = netip.AddrFromSlice(l.DstIP)
		default:
			return
		}
		if isIP && source.IsValid() && (p.Source != source || p.Destination != destination) {
			t.Errorf("got %v to %v; want %v to %v", p.Source, p.Destination, source, destination)
		}
	})
}
