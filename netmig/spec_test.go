package netmig

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func addrs(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

func TestParseNet(t *testing.T) {
	tests := []struct {
		text string
		want Spec
	}{
		{"eth=tap=tap0", Spec{ID: "eth", Attachment: Attachment{Tap: "tap0"}}},
		{"eth=bridge=br0", Spec{ID: "eth", Attachment: Attachment{Bridge: "br0"}}},
		{"e-0_x=bridge=br0,mac=52:54:00:00:00:01,ip=10.0.0.5,queues=8", Spec{
			ID: "e-0_x", Attachment: Attachment{Bridge: "br0"}, MAC: MAC{0x52, 0x54, 0, 0, 0, 1}, IPs: addrs("10.0.0.5"), Queues: 8,
		}},
		{"e=bridge=b,ip=10.0.0.5,rate=1.5M,ip=fd00::5,packets=20k,antispoof,ip=10.0.0.6", Spec{
			ID: "e", Attachment: Attachment{Bridge: "b"}, IPs: addrs("10.0.0.5", "fd00::5", "10.0.0.6"), Policy: Policy{Rate: 1.5e6, Packets: 20e3, AntiSpoof: true},
		}},
		{"eth=bridge=br0,vlan=4094", Spec{ID: "eth", Attachment: Attachment{Bridge: "br0", VLAN: 4094}}},
		{"eth=tap=t,route", Spec{ID: "eth", Attachment: Attachment{Tap: "t", Routed: true}}},
		{"eth=macvtap=eth0", Spec{ID: "eth", Attachment: Attachment{Parent: "eth0", Mode: "bridge"}}},
		{"eth=mode=passthru,macvtap=eth0", Spec{ID: "eth", Attachment: Attachment{Parent: "eth0", Mode: "passthru"}}},
		{"a=ip=fd00::5,tap=fifteen-letters", Spec{ID: "a", Attachment: Attachment{Tap: "fifteen-letters"}, IPs: addrs("fd00::5")}},
	}
	for _, tt := range tests {
		got, err := ParseNet(tt.text)
		if err != nil {
			t.Errorf("ParseNet(%q): %v", tt.text, err)
			continue
		}
		if diff := cmp.Diff(tt.want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("ParseNet(%q) (-want +got):\n%s", tt.text, diff)
		}
	}
}

func TestParseNetRefuses(t *testing.T) {
	tests := []struct {
		text string
		want string // in the message
	}{
		{"", "no tap or bridge"},
		{"eth", "no tap or bridge"},
		{"eth=", "no tap or bridge"},
		{"Eth=tap=a", `"Eth"`},
		{"=tap=a", `""`},
		{"a/b=tap=a", `"a/b"`},
		{strings.Repeat("x", 33) + "=tap=a", "ID"},
		{"eth=br0", `"br0" has no value`},
		{"eth=tap=", `"tap=" has no value`},
		{"eth=tap=a,", `"" has no value`},
		{"eth=mac=52:54:00:00:00:01", "want one of tap=, bridge= and macvtap="},
		{"eth=tap=a,bridge=b", "want one of tap=, bridge= and macvtap="},
		{"eth=tap=a,macvtap=b", "want one of"},
		{"eth=tap=a,vlan=5", "vlan= is for a port of a bridge"},
		{"eth=macvtap=a,vlan=5", "vlan= is for a port of a bridge"},
		{"eth=bridge=a,vlan=0", "vlan=0"},
		{"eth=bridge=a,vlan=4095", "vlan=4095"},
		{"eth=bridge=a,vlan=x", "vlan=x"},
		{"eth=bridge=a,vlan", `"vlan" has no value`},
		{"eth=bridge=a,route", "route is for a tap"},
		{"eth=tap=a,route=yes", "does not take"},
		{"eth=tap=a,route,route", "route is given twice"},
		{"eth=tap=a,mode=vepa", "mode= is of a macvtap"},
		{"eth=macvtap=a,mode=hub", "mode=hub"},
		{"eth=macvtap=a/b", "macvtap=a/b"},
		{"eth=tap=a,tap=b", "tap is given twice"},
		{"eth=tap=a,color=red", `"color"`},
		{"eth=tap=sixteen-letters-", "tap=sixteen-letters-"},
		{"eth=tap=tap%d", "tap=tap%d"},
		{"eth=tap=..", "tap=.."},
		{"eth=tap=a/b", "tap=a/b"},
		{"eth=bridge=br 0", "bridge=br 0"},
		{"eth=bridge=br\x000", "bridge="},
		{"eth=tap=a,mac=52:54:00", "mac=52:54:00"},
		{"eth=tap=a,mac=52:54:00:00:00:01:02:03", "mac="},
		{"eth=tap=a,mac=53:54:00:00:00:01", "multicast"},
		{"eth=tap=a,mac=ff:ff:ff:ff:ff:ff", "multicast"},
		{"eth=tap=a,mac=00:00:00:00:00:00", "zero address"},
		{"eth=tap=a,ip=10.0.0", "ip=10.0.0"},
		{"eth=tap=a,ip=0.0.0.0", "ip=0.0.0.0"},
		{"eth=tap=a,ip=224.0.0.1", "ip=224.0.0.1"},
		{"eth=tap=a,ip=127.0.0.1", "ip=127.0.0.1"},
		{"eth=tap=a,ip=fe80::1%eth0", "ip=fe80::1%eth0"},
		{"eth=tap=a,queues=0", "queues=0"},
		{"eth=tap=a,queues=9", "queues=9"},
		{"eth=tap=a,queues=two", "queues=two"},
		{"eth=tap=a,ip=10.0.0.1,ip=10.0.0.1", "twice"},
		{"eth=tap=a" + strings.Repeat(",ip=10.0.0.1", 17), "ip=10.0.0.1"},
		{"eth=tap=a,rate=", `"rate="`},
		{"eth=tap=a,rate=9999", "rate=9999"},
		{"eth=tap=a,rate=1001G", "rate=1001G"},
		{"eth=tap=a,rate=NaN", "rate=NaN"},
		{"eth=tap=a,rate=-1M", "rate=-1M"},
		{"eth=tap=a,rate=1e400", "rate=1e400"},
		{"eth=tap=a,packets=9", "packets=9"},
		{"eth=tap=a,packets=2G", "packets=2G"},
		{"eth=tap=a,packets=k", "packets=k"},
		{"eth=tap=a,antispoof=no", `"antispoof=no"`},
		{"eth=tap=a,antispoof,antispoof", "antispoof is given twice"},
		{"eth=antispoof", "want one of"},
	}
	for _, tt := range tests {
		got, err := ParseNet(tt.text)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("ParseNet(%q): got %+v, %v; want an *Error", tt.text, got, err)
			continue
		}
		if e.Code != CodeUsage || e.Remedy == "" || !strings.Contains(e.Message, tt.want) {
			t.Errorf("ParseNet(%q): got %q (%s), remedy %q; want %q (%s) and a remedy", tt.text, e.Message, e.Code, e.Remedy, tt.want, CodeUsage)
		}
	}
}

func TestNIC(t *testing.T) {
	a, b := Spec{ID: "eth", Attachment: Attachment{Tap: "a"}}.NIC(), Spec{ID: "eth", Attachment: Attachment{Tap: "a"}}.NIC()
	if a.MAC == b.MAC {
		t.Errorf("two devices: got %v for both; want addresses that differ", a.MAC)
	}
	if a.Queues != 1 {
		t.Errorf("queues: got %d; want 1", a.Queues)
	}
	if local := a.MAC[0]&2 != 0; !local {
		t.Errorf("got %v; want a locally administered address", a.MAC)
	}
	given := Spec{ID: "eth", MAC: MAC{2, 0, 0, 0, 0, 9}, IPs: addrs("10.1.2.3", "10.1.2.4"), Queues: 4, Policy: Policy{Rate: 1e6}}
	want := NIC{ID: "eth", MAC: given.MAC, IP: given.IPs[0], MoreIPs: given.IPs[1:], Queues: 4, Policy: given.Policy}
	if diff := cmp.Diff(want, given.NIC(), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("NIC (-want +got):\n%s", diff)
	}
}

func TestFits(t *testing.T) {
	n := NIC{ID: "eth", MAC: MAC{2, 0, 0, 0, 0, 9}, Queues: 4, Policy: Policy{Rate: 1e6, Packets: 100}}
	for _, tt := range []struct {
		spec Spec
		want string // in the message; empty: it fits
	}{
		{Spec{ID: "eth", Attachment: Attachment{Tap: "a"}}, ""},
		{Spec{ID: "eth", Attachment: Attachment{Tap: "a"}, MAC: n.MAC, Queues: 4}, ""},
		{Spec{ID: "eth", Attachment: Attachment{Tap: "a"}, MAC: MAC{2, 0, 0, 0, 0, 8}}, "mac=02:00:00:00:00:08"},
		{Spec{ID: "eth", Attachment: Attachment{Tap: "a"}, Queues: 1}, "queues=1"},
		{Spec{ID: "eth", Attachment: Attachment{Tap: "a"}, IPs: addrs("10.0.0.1")}, "ip=[10.0.0.1]"},
		{Spec{ID: "eth", Attachment: Attachment{Tap: "a"}, Policy: n.Policy}, ""},
		{Spec{ID: "eth", Attachment: Attachment{Tap: "a"}, Policy: Policy{Rate: 2e6}}, "rate=2000000"},
		{Spec{ID: "eth", Attachment: Attachment{Tap: "a"}, Policy: Policy{Packets: 10}}, "packets=10"},
		{Spec{ID: "eth", Attachment: Attachment{Tap: "a"}, Policy: Policy{AntiSpoof: true}}, "antispoof"},
	} {
		err := tt.spec.Fits(n)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%+v: got %v; want %q", tt.spec, err, tt.want)
		}
	}
}

func TestCheckNIC(t *testing.T) {
	good := NIC{ID: "eth", MAC: MAC{2, 0, 0, 0, 0, 9}, Queues: 1}
	if err := good.Check(); err != nil {
		t.Errorf("%+v: %v", good, err)
	}
	for _, spoil := range []func(*NIC){
		func(n *NIC) { n.ID = "../x" },
		func(n *NIC) { n.MAC = MAC{} },
		func(n *NIC) { n.MAC[0] = 1 },
		func(n *NIC) { n.Queues = 0 },
		func(n *NIC) { n.Queues = 1 << 20 },
		func(n *NIC) { n.MTU = 67 },
		func(n *NIC) { n.MTU = 65522 },
		func(n *NIC) { n.IP = netip.MustParseAddr("ff02::1") },
		func(n *NIC) { n.MoreIPs = addrs("10.0.0.1") },
		func(n *NIC) { n.IP, n.MoreIPs = addrs("10.0.0.1")[0], addrs("10.0.0.1") },
		func(n *NIC) { n.IP, n.MoreIPs = addrs("10.0.0.1")[0], make([]netip.Addr, 1) },
		func(n *NIC) { n.Rate = 1 },
		func(n *NIC) { n.Packets = 1 << 40 },
	} {
		n := good
		spoil(&n)
		if n.Check() == nil {
			t.Errorf("%+v: got no error; want one", n)
		}
	}
}

// TestNICEncodes shows that a device survives the plan's encoding, with and
// without an address.
func TestNICEncodes(t *testing.T) {
	for _, ip := range []netip.Addr{{}, netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("fd00::5")} {
		want := NIC{ID: "eth", MAC: MAC{2, 0, 0, 0, 0, 9}, IP: ip, Queues: 2, MTU: 9000, Policy: Policy{Rate: 1e6, Packets: 100, AntiSpoof: true}}
		if ip.IsValid() {
			want.MoreIPs = addrs("10.0.0.6", "fd00::6")
		}
		b, err := cbor.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got NIC
		if err := cbor.Unmarshal(b, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func FuzzParseNet(f *testing.F) {
	f.Add("eth=bridge=br0,mac=52:54:00:00:00:01,ip=10.0.0.5,queues=8")
	f.Add("eth=tap=tap0,ip=10.0.0.5,ip=fd00::5,rate=10M,packets=5k,antispoof")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseNet(text)
		if err != nil {
			return
		}
		if err := s.NIC().Check(); err != nil {
			t.Errorf("ParseNet(%q): got a device that cannot be: %v", text, err)
		}
	})
}
