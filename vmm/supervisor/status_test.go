package supervisor

import (
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/vmm"
)

// TestStatusIsReadAsItWasWritten: who adopts a guest has nothing else.
func TestStatusIsReadAsItWasWritten(t *testing.T) {
	n, err := claim(t.TempDir(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer n.release(false)
	want := status{
		Name: "a", SupervisorPID: 1, MachinePID: 2, CPUs: 3, MemoryBytes: 4, StartedAt: time.Unix(5, 6).UTC(),
		Console: Console{Kind: "unix", Path: "/c"}, Guard: Guard{FenceHook: "/h", SharedRecords: "/r"}, Confinement: []string{"seccomp"},
		Devices: []vmm.Device{
			{Kind: vmm.KindBlk, ID: "d", Disk: &vmm.Disk{Path: "/d", Size: 1 << 40, BlockSize: 512, ReadOnly: true, Cache: "none", Queues: 2}},
			{Kind: vmm.KindNet, ID: "n", Net: &vmm.Net{
				NIC: netmig.NIC{ID: "n", MAC: netmig.MAC{2, 0, 0, 0, 0, 1}, IP: netip.MustParseAddr("192.0.2.1"), MoreIPs: []netip.Addr{netip.MustParseAddr("2001:db8::1")}, Queues: 2, MTU: 1500,
					Policy: netmig.Policy{Rate: 1000000, AntiSpoof: true}},
				Attachment: netmig.Attachment{Bridge: "br0", VLAN: 7}, Link: "tap0", Bridged: true,
			}},
			{Kind: vmm.KindVsock, Vsock: &vmm.Vsock{CID: 3, Path: "/v"}},
			{Kind: vmm.KindConsole, Spec: "unix:/k"},
		},
		Routed: []routedTap{{Tap: "tap0", Routes: []netmig.Route{{Addr: netip.MustParseAddr("192.0.2.1"), Uplink: "eth0"}}}},
	}
	if err := want.write(n); err != nil {
		t.Fatal(err)
	}
	got, err := readStatus(n.dir, n.name)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("NAME.json (-want +got):\n%s", diff)
	}
}
