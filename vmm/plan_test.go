package vmm

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/internal/kvm"
)

func config() Config {
	return Config{Name: "a", MemoryBytes: 64 << 20, CPUs: 1, Clock: ClockAdvance}
}

func TestPlanRoundTrips(t *testing.T) {
	p, err := NewPlan(config(), []kvm.CPUIDEntry{{Function: 1, EAX: 2}})
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
	if diff := cmp.Diff(p, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestPlanOfAPeerIsChecked(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"version":     func(p *Plan) { p.Version++ },
		"no memory":   func(p *Plan) { p.Layout = nil },
		"layout":      func(p *Plan) { p.Layout[0].GPA = 1 << 20 },
		"no vCPUs":    func(p *Plan) { p.CPUs = 0 },
		"many vCPUs":  func(p *Plan) { p.CPUs = MaxCPUs + 1 },
		"clock":       func(p *Plan) { p.Clock = "sundial" },
		"cmdline":     func(p *Plan) { p.Cmdline = strings.Repeat("x", maxCmdline) },
		"many images": func(p *Plan) { p.Images = make([]ImageInfo, 3) },
	} {
		t.Run(name, func(t *testing.T) {
			p, err := NewPlan(config(), nil)
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
	p, err := NewPlan(config(), []kvm.CPUIDEntry{{Function: 1}})
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
