package supervisor

import (
	"errors"
	"testing"

	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// TestOpenDoubtsItsMachine has a machine, which a guest may have broken into,
// name devices that there cannot be: nothing is opened, and nobody crashes.
func TestOpenDoubtsItsMachine(t *testing.T) {
	disk := func(d vmm.Disk) vmm.Device { return vmm.Device{Kind: vmm.KindBlk, ID: "root", Disk: &d} }
	good := vmm.Disk{Path: "/dev/null", Size: 512, BlockSize: 512, Cache: "none", Queues: 1}
	cut := good
	cut.Queues = 1 << 40
	for name, devices := range map[string][]vmm.Device{
		"a disk without one":    {{Kind: vmm.KindBlk, ID: "root"}},
		"a network without one": {{Kind: vmm.KindNet, ID: "eth"}},
		"a network of nothing":  {{Kind: vmm.KindNet, ID: "eth", Net: &vmm.Net{}}},
		"a vsock without one":   {{Kind: vmm.KindVsock}},
		"no kind":               {{}},
		"another kind":          {{Kind: "gpu"}},
		"many queues":           {disk(cut)},
		"twice":                 {disk(good), disk(good)},
		"a path for a name":     {{Kind: vmm.KindBlk, ID: "../x", Disk: &good}},
		"too many":              make([]vmm.Device, 1000),
	} {
		a, err := Places{}.open(vmm.Arriving{Devices: devices}, &netHooks{})
		if refused, ok := errors.AsType[*api.Error](err); a != nil || !ok || refused.Code != "config" {
			t.Errorf("%s: got %v, %v; want it refused as no devices", name, a, err)
		}
	}
}
