package vmm

import (
	"net/netip"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ferryvmm/ferry/devices/virtio/net"
	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/netmig/announce"
)

var watchedMAC = netmig.MAC{2, 0, 0, 0, 0, 1}

// gratuitous is an ARP reply of an address for itself.
func gratuitous(mac netmig.MAC, ip string) []byte {
	frames := announce.Frames(mac, []announce.Address{{MAC: mac, IP: netip.MustParseAddr(ip)}})
	return frames[len(frames)-1]
}

func mustWatch(t *testing.T, n netmig.NIC, w watched) *watch {
	t.Helper()
	v, err := newWatch(n, w)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestWatchKeepsToThePolicy(t *testing.T) {
	n := netmig.NIC{ID: "eth", MAC: watchedMAC, IP: netip.MustParseAddr("10.0.0.5"), Policy: netmig.Policy{AntiSpoof: true, Packets: 10}}
	w := mustWatch(t, n, watched{})
	forged := gratuitous(watchedMAC, "10.0.0.6")
	own := gratuitous(watchedMAC, "10.0.0.5")
	if (outward{w}).Inspect(forged, len(forged)) {
		t.Error("a forged frame passed; want none")
	}
	for _, i := range []net.Inspector{outward{w}, inward{w}} {
		passed := 0
		for range 40 {
			if i.Inspect(own, len(own)) {
				passed++
			}
		}
		if passed < 32 || passed > 33 { // one more may have come in time
			t.Errorf("%T: got %d frames through; want a burst of 32", i, passed)
		}
	}
	if !(inward{mustWatch(t, n, watched{})}).Inspect(forged, len(forged)) {
		t.Error("a frame of another was not received; want it to be")
	}
	var f DeviceFacts
	w.facts(&f, watchedMAC)
	if f.Watch.TxSpoofed != 1 || f.Watch.TxLimited < 7 || f.Watch.RxLimited < 7 {
		t.Errorf("got %+v; want what was dropped", f.Watch)
	}
}

// TestWatchAnnounces shows whose addresses are announced: those that were given,
// and those that the guest was seen to have, but none that it must not have.
func TestWatchAnnounces(t *testing.T) {
	given, seen := netip.MustParseAddr("10.0.0.5"), netip.MustParseAddr("10.0.0.6")
	another := netmig.MAC{2, 0, 0, 0, 0, 9}
	n := netmig.NIC{ID: "eth", MAC: watchedMAC, IP: given, MoreIPs: []netip.Addr{netip.MustParseAddr("fd00::5")}}
	w := mustWatch(t, n, watched{})
	for _, frame := range [][]byte{gratuitous(watchedMAC, "10.0.0.6"), gratuitous(another, "fd00::5")} {
		outward{w}.Inspect(frame, len(frame))
	}
	changed := netmig.MAC{2, 0, 0, 0, 0, 7}
	want := []announce.Address{{MAC: changed, IP: given}, {MAC: another, IP: n.MoreIPs[0]}, {MAC: watchedMAC, IP: seen}}
	if diff := cmp.Diff(want, w.addresses(changed), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	n.AntiSpoof = true
	guarded := mustWatch(t, n, w.save())
	if diff := cmp.Diff(want[:2], guarded.addresses(changed), cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("guarded (-want +got):\n%s", diff)
	}
}

// TestWatchTravels shows that what was seen, and what is owed, is in the state of
// the device, and that a state without them is taken too.
func TestWatchTravels(t *testing.T) {
	n := netmig.NIC{ID: "eth", MAC: watchedMAC, Policy: netmig.Policy{Packets: 10}}
	w := mustWatch(t, n, watched{})
	frame := gratuitous(watchedMAC, "10.0.0.6")
	for (outward{w}).Inspect(frame, len(frame)) {
	}
	state := netState{net.State{MAC: watchedMAC, Pairs: 1}, w.save()}
	raw, err := cbor.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeState[netState](raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(state, *got, cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	moved := mustWatch(t, n, got.Watched)
	if owed := moved.sent.Owed().Packets; owed < 3*time.Second || (outward{moved}).Inspect(frame, len(frame)) {
		t.Errorf("got %v owed, and a frame through; want the limit to go on", owed)
	}
	if got := moved.addresses(watchedMAC); len(got) != 1 || got[0].IP != netip.MustParseAddr("10.0.0.6") {
		t.Errorf("got %v; want 10.0.0.6", got)
	}

	// As a host of before sends it, and as one of before reads it.
	if raw, err = cbor.Marshal(state.State); err != nil {
		t.Fatal(err)
	}
	if got, err = decodeState[netState](raw); err != nil || got.MAC != watchedMAC {
		t.Errorf("a state of before: got %+v, %v; want it read", got, err)
	}
	if raw, err = cbor.Marshal(state); err != nil {
		t.Fatal(err)
	}
	if before, err := decodeState[net.State](raw); err != nil || before.MAC != watchedMAC {
		t.Errorf("as one of before: got %+v, %v; want it read", before, err)
	}
}
