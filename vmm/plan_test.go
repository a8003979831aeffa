package vmm

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/vcpu"
)

func config() Config {
	return Config{Name: "a", MemoryBytes: 64 << 20, CPUs: 1, Clock: ClockAdvance}
}

// someDevices is one of each kind.
func someDevices() []Device {
	return []Device{
		{Kind: KindBlk, ID: "root", Disk: &Disk{Path: "root.img", Size: 1 << 20, BlockSize: 512, Cache: "none", Queues: 1}},
		{Kind: KindNet, ID: "eth", Net: &Net{NIC: netmig.NIC{ID: "eth", MAC: netmig.MAC{2, 0, 0, 0, 0, 1}, Queues: 2, MTU: 1500}, Attachment: netmig.Attachment{Bridge: "br0"}}},
		{Kind: KindRNG},
		{Kind: KindBalloon},
		{Kind: KindConsole, Spec: "none"},
		{Kind: KindVsock, Vsock: &Vsock{CID: 3, Path: "/x"}},
	}
}

func TestPlanRoundTrips(t *testing.T) {
	c := config()
	c.Devices, c.HugePages = someDevices(), true
	p, err := NewPlan(c, vcpu.Model{CPUID: []kvm.CPUIDEntry{{Function: 1, EAX: 2}}, MSRs: []kvm.MSREntry{{Index: 0x8b, Data: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	p.Images = []ImageInfo{{ID: imageKernel, Size: 3, SHA256: [32]byte{1}}}
	raw, err := p.Encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodePlan(raw)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestPolicyNeedsANewerTarget shows that a guest does not get rid of its policy by
// a move to a host that knows of none, and that others can go there.
func TestPolicyNeedsANewerTarget(t *testing.T) {
	c := config()
	c.Devices = someDevices()
	nic := &c.Devices[1].Net.NIC
	for _, tt := range []struct {
		policy netmig.Policy
		want   uint16
	}{{netmig.Policy{}, 2}, {netmig.Policy{Rate: 1e6}, 3}, {netmig.Policy{Packets: 100}, 3}, {netmig.Policy{AntiSpoof: true}, 3}} {
		nic.Policy = tt.policy
		p, err := NewPlan(c, vcpu.Model{})
		if err != nil {
			t.Fatal(err)
		}
		raw, err := p.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodePlan(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got.Version != tt.want || got.Slots[1].Net.Policy != tt.policy {
			t.Errorf("got version %d and %+v; want %d and %+v", got.Version, got.Slots[1].Net.Policy, tt.want, tt.policy)
		}
	}
}

func TestPlanOfAPeerIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"version":       func(p *Plan) { p.Version = planVersion + 1 },
		"half a page":   func(p *Plan) { p.HugePages, p.Layout[0].Size = true, 65<<20 },
		"moved device":  func(p *Plan) { p.Slots[0].Base += slotSize },
		"other line":    func(p *Plan) { p.Slots[0].GSI = 0 },
		"unknown kind":  func(p *Plan) { p.Slots[0].Kind = "gpu" },
		"disk without":  func(p *Plan) { p.Slots[0].Disk = nil },
		"odd disk":      func(p *Plan) { p.Slots[0].Disk.Size++ },
		"disk's id":     func(p *Plan) { p.Slots[0].ID = "../x" },
		"many queues":   func(p *Plan) { p.Slots[0].Disk.Queues = 1 << 20 },
		"cache":         func(p *Plan) { p.Slots[0].Disk.Cache = "some" },
		"network's MAC": func(p *Plan) { p.Slots[1].Net.MAC[0] = 1 },
		"network's MTU": func(p *Plan) { p.Slots[1].Net.MTU = 0 },
		"network's IP":  func(p *Plan) { p.Slots[1].Net.MoreIPs = make([]netip.Addr, 1) },
		"network limit": func(p *Plan) { p.Slots[1].Net.Rate = 1 },
		"two balloons":  func(p *Plan) { p.Slots[2].Kind = KindBalloon },
		"vsock's id":    func(p *Plan) { p.Slots[5].Vsock.CID = 2 },
		"many devices":  func(p *Plan) { p.Slots = append(p.Slots, make([]Slot, 1<<10)...) },
		"no memory":     func(p *Plan) { p.Layout = nil },
		"layout":        func(p *Plan) { p.Layout[0].GPA = 1 << 20 },
		"no vCPUs":      func(p *Plan) { p.CPUs = 0 },
		"many vCPUs":    func(p *Plan) { p.CPUs = MaxCPUs + 1 },
		"clock":         func(p *Plan) { p.Clock = "sundial" },
		"cmdline":       func(p *Plan) { p.Cmdline = strings.Repeat("x", maxCmdline) },
		"many images":   func(p *Plan) { p.Images = make([]ImageInfo, 3) },
	} {
		t.Run(name, func(t *testing.T) {
			c := config()
			c.Devices = someDevices()
			p, err := NewPlan(c, vcpu.Model{})
			if err != nil {
				t.Fatal(err)
			}
			change(&p)
			raw, err := p.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := decodePlan(raw); err == nil {
				t.Error("the plan was taken")
			}
		})
	}
}

func TestConfigErrorsSayWhatToDo(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"little memory": func(c *Config) { c.MemoryBytes = 1 << 20 },
		"odd memory":    func(c *Config) { c.MemoryBytes++ },
		"no vCPUs":      func(c *Config) { c.CPUs = 0 },
		"clock":         func(c *Config) { c.Clock = "" },
		"zero byte":     func(c *Config) { c.Cmdline = "a\x00b" },
		"initrd":        func(c *Config) { c.Initrd = "initrd" },
	} {
		t.Run(name, func(t *testing.T) {
			c := config()
			change(&c)
			var f *Failure
			if err := c.Check(); !errors.As(err, &f) || f.Remedy == "" {
				t.Errorf("got %v; want a *Failure with a remedy", err)
			}
		})
	}
}

func TestTestDeviceIsThereWhereItIsAskedFor(t *testing.T) {
	for _, tc := range []struct {
		kernel, cmdline string
		want            bool
	}{
		{"", "", true},
		{"vmlinux", "console=ttyS0", false},
		{"loadgen.elf", "fill=1 countreg=1", true},
		{"loadgen.elf", "countreg=10", false},
	} {
		c := config()
		c.Kernel, c.Cmdline, c.CmdlineSet = tc.kernel, tc.cmdline, true
		if got := c.testDevice(); got != tc.want {
			t.Errorf("kernel %q, command line %q: got %v; want %v", tc.kernel, tc.cmdline, got, tc.want)
		}
	}
}

func FuzzDecodePlan(f *testing.F) {
	c := config()
	c.Devices = someDevices()
	p, err := NewPlan(c, vcpu.Model{CPUID: []kvm.CPUIDEntry{{Function: 1}}})
	if err != nil {
		f.Fatal(err)
	}
	raw, err := p.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add([]byte(raw))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decodePlan(b)
		if err == nil && (p.CPUs < 1 || len(p.Layout) == 0) {
			t.Errorf("took %+v", p)
		}
	})
}

func TestDevicesAreNamedOnTheCommandLine(t *testing.T) {
	slots, err := place(someDevices()[:2])
	if err != nil {
		t.Fatal(err)
	}
	words := "virtio_mmio.device=4K@0xfea00000:5 virtio_mmio.device=4K@0xfea01000:6"
	for line, want := range map[string]string{
		"":                    words,
		"quiet":               "quiet " + words,
		"quiet -- single":     "quiet " + words + " -- single",
		"virtio_mmio.device=": "virtio_mmio.device=",
	} {
		if got := deviceWords(line, slots); got != want {
			t.Errorf("%q: got %q; want %q", line, got, want)
		}
	}
	if got := deviceWords("a  b", nil); got != "a  b" {
		t.Errorf("without devices: got %q; want the line as it was", got)
	}
}
