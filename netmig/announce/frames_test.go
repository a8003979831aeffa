package announce_test

import (
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/announce"
)

var (
	mac    = netmig.MAC{0x52, 0x54, 0, 0, 0, 1}
	inside = netmig.MAC{0x52, 0x54, 0, 0, 0, 9}
)

// said is what another decoder makes of an announcement.
type said struct {
	From, To    string
	VLAN        uint16
	Kind        string // RARP, ARP, NA
	Operation   uint16
	Sender      string // hardware address and IP
	Target      string
	Flags       byte
	Source      string // of IP
	Destination string
	HopLimit    byte
}

// rarp is of the same form as ARP, which the other decoder has to be told.
const rarp = layers.EthernetType(0x8035)

func init() { layers.EthernetTypeMetadata[rarp] = layers.EthernetTypeMetadata[layers.EthernetTypeARP] }

// decode reads a frame, all of which must be understood.
func decode(t testing.TB, b []byte) (s said) {
	t.Helper()
	p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.Default)
	if e := p.ErrorLayer(); e != nil {
		t.Fatalf("%x: %v", b, e.Error())
	}
	e := p.Layer(layers.LayerTypeEthernet).(*layers.Ethernet)
	s.From, s.To = e.SrcMAC.String(), e.DstMAC.String()
	kind := e.EthernetType
	if q, ok := p.Layer(layers.LayerTypeDot1Q).(*layers.Dot1Q); ok {
		s.VLAN, kind = q.VLANIdentifier, q.Type
	}
	if a, ok := p.Layer(layers.LayerTypeARP).(*layers.ARP); ok {
		if s.Kind = "ARP"; kind == rarp {
			s.Kind = "RARP"
		}
		s.Operation = a.Operation
		s.Sender = net.HardwareAddr(a.SourceHwAddress).String() + " " + net.IP(a.SourceProtAddress).String()
		s.Target = net.HardwareAddr(a.DstHwAddress).String() + " " + net.IP(a.DstProtAddress).String()
		return s
	}
	six := p.Layer(layers.LayerTypeIPv6).(*layers.IPv6)
	na := p.Layer(layers.LayerTypeICMPv6NeighborAdvertisement).(*layers.ICMPv6NeighborAdvertisement)
	icmp := p.Layer(layers.LayerTypeICMPv6).(*layers.ICMPv6)
	if err := icmp.SetNetworkLayerForChecksum(six); err != nil {
		t.Fatal(err)
	}
	if err, got := icmp.VerifyChecksum(); err != nil || !got.Valid {
		t.Errorf("checksum: got %+v, %v; want a valid one", got, err)
	}
	s.Kind, s.Flags, s.HopLimit, s.Source, s.Destination = "NA", na.Flags, six.HopLimit, six.SrcIP.String(), six.DstIP.String()
	if len(na.Options) != 1 || na.Options[0].Type != layers.ICMPv6OptTargetAddress {
		t.Fatalf("options: got %v; want the target's link address", na.Options)
	}
	s.Target = net.HardwareAddr(na.Options[0].Data).String() + " " + na.TargetAddress.String()
	return s
}

const (
	own, nested = "52:54:00:00:00:01", "52:54:00:00:00:09"
	everybody   = "ff:ff:ff:ff:ff:ff"
	nobody      = "00:00:00:00:00:00"
	nodes       = "33:33:00:00:00:01"
)

func TestFrames(t *testing.T) {
	frames := announce.Frames(mac, []announce.Address{
		{MAC: mac, IP: netip.MustParseAddr("10.0.0.5")},
		{MAC: mac, IP: netip.MustParseAddr("fd00::5"), Router: true},
		{MAC: inside, VLAN: 42, IP: netip.MustParseAddr("10.0.0.9")},
		{MAC: inside, VLAN: 42, IP: netip.MustParseAddr("fe80::9")},
	})
	var got []said
	for _, b := range frames {
		if len(b) < 60 {
			t.Errorf("%x: got %d bytes; want at least 60", b, len(b))
		}
		got = append(got, decode(t, b))
	}
	want := []said{
		{Kind: "RARP", From: own, To: everybody, Operation: 3, Sender: own + " 0.0.0.0", Target: own + " 0.0.0.0"},
		{Kind: "RARP", From: nested, To: everybody, VLAN: 42, Operation: 3, Sender: nested + " 0.0.0.0", Target: nested + " 0.0.0.0"},
		{Kind: "ARP", From: own, To: everybody, Operation: 1, Sender: own + " 10.0.0.5", Target: nobody + " 10.0.0.5"},
		{Kind: "ARP", From: own, To: everybody, Operation: 2, Sender: own + " 10.0.0.5", Target: own + " 10.0.0.5"},
		{Kind: "NA", From: own, To: nodes, Flags: 0xa0, Target: own + " fd00::5", Source: "fd00::5", Destination: "ff02::1", HopLimit: 255},
		{Kind: "ARP", From: nested, To: everybody, VLAN: 42, Operation: 1, Sender: nested + " 10.0.0.9", Target: nobody + " 10.0.0.9"},
		{Kind: "ARP", From: nested, To: everybody, VLAN: 42, Operation: 2, Sender: nested + " 10.0.0.9", Target: nested + " 10.0.0.9"},
		{Kind: "NA", From: nested, To: nodes, VLAN: 42, Flags: 0x20, Target: nested + " fe80::9", Source: "fe80::9", Destination: "ff02::1", HopLimit: 255},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestNothingKnown shows that bridges learn of a guest whose addresses nobody knows.
func TestNothingKnown(t *testing.T) {
	frames := announce.Frames(mac, nil)
	if len(frames) != 1 {
		t.Fatalf("got %d frames; want one", len(frames))
	}
	want := said{Kind: "RARP", From: own, To: everybody, Operation: 3, Sender: own + " 0.0.0.0", Target: own + " 0.0.0.0"}
	if diff := cmp.Diff(want, decode(t, frames[0])); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
