package netmig

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var (
	someMAC = MAC{0x52, 0x54, 0, 0, 0, 7}
	ownMAC  = MAC{0xfe, 0xff, 0x54, 0, 0, 7}
	four    = netip.MustParseAddr("10.0.0.5")
	six     = netip.MustParseAddr("fd00::5")
)

func TestNewPlan(t *testing.T) {
	n := NIC{ID: "eth", MAC: someMAC, Queues: 2, MTU: 1400}
	br0 := &Link{Name: "br0", Kind: KindBridge, MTU: 1500, Up: true}
	tap := &Link{Name: "tap0", Kind: KindTap, MTU: 9000, MultiQueue: true}
	tests := []struct {
		name  string
		at    Attachment
		move  string
		facts Facts
		want  Plan
	}{
		{"bridge", Attachment{Bridge: "br0"}, "", Facts{Link: br0, Bridge: br0}, Plan{
			Make: MakeTap, Name: NewName, Bridge: "br0",
			Created: Created{LinkMTU: 1500, Address: ownMAC, QueueLength: QueueLength, Quiet: true},
		}},
		{"VLAN", Attachment{Bridge: "br0", VLAN: 7}, "", Facts{Link: br0, Bridge: br0, Filters: true}, Plan{
			Make: MakeTap, Name: NewName, Bridge: "br0", VLAN: 7,
			Created: Created{LinkMTU: 1500, Address: ownMAC, QueueLength: QueueLength, Quiet: true},
		}},
		{"seen at the uplink", Attachment{Bridge: "br0"}, "m1", Facts{Link: br0, Stations: []Station{{Port: "eth0"}}}, Plan{
			Make: MakeTap, Name: NewName, Bridge: "br0",
			Created: Created{LinkMTU: 1500, Address: ownMAC, QueueLength: QueueLength, Quiet: true},
		}},
		{"at its source's tap of this host", Attachment{Bridge: "br0"}, "m1", Facts{Link: br0, Stations: []Station{{Port: "ferry0", Tap: true, Alias: Mark("m1")}}}, Plan{
			Make: MakeTap, Name: NewName, Bridge: "br0",
			Created: Created{LinkMTU: 1500, Address: ownMAC, QueueLength: QueueLength, Quiet: true},
		}},
		{"tap that is not there", Attachment{Tap: "tap0"}, "", Facts{}, Plan{
			Make: MakeTap, Name: "tap0", Created: Created{LinkMTU: 1400, Address: ownMAC, QueueLength: QueueLength},
		}},
		{"tap that is there", Attachment{Tap: "tap0"}, "", Facts{Link: tap, Bridge: br0}, Plan{Name: "tap0", Bridge: "br0", Raise: true}},
		{"macvtap", Attachment{Parent: "eth0", Mode: "vepa"}, "", Facts{Link: &Link{Name: "eth0", Kind: "veth", MTU: 1500}}, Plan{
			Make: MakeMacvtap, Name: NewName,
			Created: Created{LinkMTU: 1500, Address: someMAC, QueueLength: QueueLength, Parent: "eth0", Mode: "vepa", Quiet: true},
		}},
		{"route", Attachment{Tap: "tap0", Routed: true}, "", Facts{Link: tap, Ways: []Way{{Addr: four, Forwards: true, Uplink: "eth0"}, {Addr: six, Forwards: true}}}, Plan{
			Name: "tap0", Raise: true, Routes: []Route{{Addr: four, Uplink: "eth0"}, {Addr: six}},
		}},
	}
	for _, tt := range tests {
		want := tt.want
		want.Queues, want.Multi, want.MTU, want.Guest = 2, true, 1400, someMAC
		got, err := NewPlan(tt.at, n, tt.move, tt.facts)
		if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", tt.name, err, diff)
		}
	}
}

// TestPlanChoosesMTU shows that the link decides where the guest does not yet.
func TestPlanChoosesMTU(t *testing.T) {
	n := NIC{ID: "eth", MAC: someMAC, Queues: 1}
	for _, tt := range []struct {
		at   Attachment
		link *Link
		want int
	}{
		{Attachment{Bridge: "b"}, &Link{Kind: KindBridge, MTU: 9000}, 9000},
		{Attachment{Tap: "t"}, &Link{Kind: KindTap, MTU: 1400}, 1400},
		{Attachment{Tap: "t"}, nil, 1500},
		{Attachment{Parent: "p", Mode: "bridge"}, &Link{MTU: 1300}, 1300},
	} {
		if p, err := NewPlan(tt.at, n, "", Facts{Link: tt.link}); err != nil || p.MTU != tt.want {
			t.Errorf("%v on %+v: got %d, %v; want %d", tt.at, tt.link, p.MTU, err, tt.want)
		}
	}
}

func TestPlanRefuses(t *testing.T) {
	n := NIC{ID: "eth", MAC: someMAC, Queues: 2, MTU: 1500}
	br0 := &Link{Name: "br0", Kind: KindBridge, MTU: 1500}
	tap := Link{Name: "tap0", Kind: KindTap, MTU: 1500, MultiQueue: true}
	small, single, busy := tap, tap, tap
	small.MTU, single.MultiQueue, busy.Taken = 1499, false, true
	bridge, routed, parent := Attachment{Bridge: "br0"}, Attachment{Tap: "tap0", Routed: true}, Attachment{Parent: "eth0", Mode: "bridge"}
	tests := []struct {
		name  string
		at    Attachment
		facts Facts
		code  string
		want  string // in message or remedy
	}{
		{"no bridge", bridge, Facts{}, CodeAbsent, "ip link add br0 type bridge"},
		{"none", bridge, Facts{Link: &Link{Name: "br0", Kind: "veth"}}, CodeMismatch, "veth"},
		{"small bridge", bridge, Facts{Link: &Link{Name: "br0", Kind: KindBridge, MTU: 1499}}, CodeMismatch, "ip link set br0 mtu 1500"},
		{"no VLANs", Attachment{Bridge: "br0", VLAN: 7}, Facts{Link: br0}, CodeMismatch, "vlan_filtering 1"},
		{"another's tap", bridge, Facts{Link: br0, Stations: []Station{{Port: "ferry3", Tap: true}}}, CodeTaken, "ferry3"},
		{"another move's tap", bridge, Facts{Link: br0, Stations: []Station{{Port: "ferry3", Tap: true, Alias: Mark("m2")}}}, CodeTaken, "ferry3"},
		{"the host's own", bridge, Facts{Link: br0, Stations: []Station{{Port: "eth0", Host: true}}}, CodeTaken, "ip link set eth0 address"},
		{"not a tap", Attachment{Tap: "tap0"}, Facts{Link: &Link{Name: "tap0", Kind: "veth"}}, CodeMismatch, "not a tap"},
		{"one queue", Attachment{Tap: "tap0"}, Facts{Link: &single}, CodeMismatch, "multi_queue"},
		{"busy", Attachment{Tap: "tap0"}, Facts{Link: &busy}, CodeBusy, "tap0"},
		{"small tap", Attachment{Tap: "tap0"}, Facts{Link: &small}, CodeMismatch, "mtu 1500"},
		{"no parent", parent, Facts{}, CodeAbsent, "eth0"},
		{"small parent", parent, Facts{Link: &Link{Name: "eth0", MTU: 1499}}, CodeMismatch, "mtu 1500"},
		{"the parent's own", parent, Facts{Link: &Link{Name: "eth0", MTU: 1500, MAC: someMAC}}, CodeTaken, "eth0"},
		{"route to a port", routed, Facts{Link: &tap, Bridge: br0}, CodeMismatch, "br0"},
		{"route to nobody", routed, Facts{Link: &tap}, CodeUsage, "ip="},
		{"route to itself", routed, Facts{Link: &tap, Ways: []Way{{Addr: four, Local: true, Forwards: true}}}, CodeTaken, "10.0.0.5"},
		{"no forwarding", routed, Facts{Link: &tap, Ways: []Way{{Addr: four}}}, CodeMismatch, "net.ipv4.ip_forward=1"},
		{"no forwarding of IPv6", routed, Facts{Link: &tap, Ways: []Way{{Addr: six}}}, CodeMismatch, "net.ipv6.conf.all.forwarding=1"},
		{"no proxy", routed, Facts{Link: &tap, Ways: []Way{{Addr: six, Forwards: true, Uplink: "eth0.7"}}}, CodeMismatch, "net.ipv6.conf.eth0/7.proxy_ndp=1"},
	}
	for _, tt := range tests {
		p, err := NewPlan(tt.at, n, "m1", tt.facts)
		var e *Error
		if !errors.As(err, &e) {
			t.Errorf("%s: got %+v, %v; want an error", tt.name, p, err)
			continue
		}
		if e.Code != tt.code || e.Remedy == "" || !strings.Contains(e.Error()+e.Remedy, tt.want) {
			t.Errorf("%s: got %s: %s (%s); want %s, %q", tt.name, e.Code, e.Error(), e.Remedy, tt.code, tt.want)
		}
	}
}

func TestCheckAttachment(t *testing.T) {
	for _, a := range []Attachment{{Tap: "t"}, {Tap: "t", Routed: true}, {Bridge: "b", VLAN: 1}, {Parent: "p", Mode: "bridge"}} {
		if err := a.Check(); err != nil || a.String() == "" {
			t.Errorf("%+v: got %v, %q; want it to be good", a, err, a)
		}
	}
	for _, a := range []Attachment{
		{}, {Tap: "t", Bridge: "b"}, {Tap: "a/b"}, {Bridge: "b", VLAN: -1}, {Bridge: "b", VLAN: 4095}, {Tap: "t", VLAN: 5},
		{Parent: "p"}, {Parent: "p", Mode: "x"}, {Bridge: "b", Mode: "vepa"}, {Bridge: "b", Routed: true},
	} {
		if a.Check() == nil {
			t.Errorf("%+v: got no error; want one", a)
		}
	}
}
