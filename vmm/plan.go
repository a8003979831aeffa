package vmm

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/netmig"
	"github.com/ferryvmm/ferry/vcpu"
	"github.com/ferryvmm/ferry/vmm/firmware"
)

// Versions of Plan's encoding. A target takes all up to this one, and refuses
// others. The first has no slots. The third has policies of network devices, and
// is used only where there are some: a target that knows of none must not take them.
const (
	planVersion         = 3
	planWithoutPolicies = 2
)

// Plan is deterministic data: everything that must be the same at both ends of
// a move. Source and target build from the same plan; only building touches
// the kernel.
type Plan struct {
	Version    uint16
	Name       string
	Layout     guestmem.Layout
	HugePages  bool `cbor:",omitempty"`
	CPUs       int
	CPU        string           // for people
	CPUID      []kvm.CPUIDEntry // as the guest's first vCPU sees it
	MSRs       []kvm.MSREntry   // by which its CPU says what it can
	Cmdline    string
	Kernel     string // for people
	Clock      string
	TestDevice bool
	Slots      []Slot      // virtio devices, in the order of their registers
	Moves      int         // that the guest has completed
	Images     []ImageInfo // what a reset boots from: kernel, then initrd
}

// ImageInfo names a boot image by what it holds.
type ImageInfo struct {
	ID     string // kernel or initrd
	Size   int64
	SHA256 [32]byte
}

// NewPlan works a config out, for a guest with this CPU.
func NewPlan(c Config, cpu vcpu.Model) (Plan, error) {
	if err := c.Check(); err != nil {
		return Plan{}, err
	}
	layout, err := guestmem.NewLayout(c.MemoryBytes)
	if err != nil {
		return Plan{}, err
	}
	kernel := c.Kernel
	if kernel == "" {
		kernel = builtinKernel
	}
	slots, err := place(c.Devices)
	if err != nil {
		return Plan{}, err
	}
	return Plan{
		Version: version(slots), Name: c.Name, Layout: layout, HugePages: c.HugePages, CPUs: c.CPUs, CPU: c.CPU, CPUID: cpu.CPUID, MSRs: cpu.MSRs,
		Cmdline: deviceWords(c.cmdline(), slots), Kernel: kernel, Clock: c.Clock, TestDevice: c.testDevice(), Slots: slots,
	}, nil
}

// version is the lowest that can say what these devices are.
func version(slots []Slot) uint16 {
	if slices.ContainsFunc(slots, func(s Slot) bool { return s.Net != nil && s.Net.Policy != netmig.Policy{} }) {
		return planVersion
	}
	return planWithoutPolicies
}

// Encode packs the plan for the other end of a move.
func (p Plan) Encode() (cbor.RawMessage, error) { return cbor.Marshal(p) }

// decodePlan reads a plan that a peer or a file sent, and checks every field
// that building relies on.
func decodePlan(b []byte) (Plan, error) {
	var p Plan
	if err := planMode.Unmarshal(b, &p); err != nil {
		return p, fmt.Errorf("plan: %w", err)
	}
	if p.Version < 1 || p.Version > planVersion {
		return p, fmt.Errorf("plan: version %d; this vmm knows 1 to %d", p.Version, planVersion)
	}
	var size uint64
	for _, r := range p.Layout {
		size += r.Size
	}
	want, err := guestmem.NewLayout(size)
	if err != nil {
		return p, fmt.Errorf("plan: %w", err)
	}
	if !slices.Equal(want, p.Layout) {
		return p, errors.New("plan: memory layout is not one of ours")
	}
	c := Config{MemoryBytes: size, HugePages: p.HugePages, CPUs: p.CPUs, Cmdline: p.Cmdline, Clock: p.Clock, Devices: p.devices()}
	if err := c.Check(); err != nil {
		return p, fmt.Errorf("plan: %w", err)
	}
	slots, err := place(c.Devices)
	if err != nil {
		return p, fmt.Errorf("plan: %w", err)
	}
	if !reflect.DeepEqual(slots, p.Slots) {
		return p, errors.New("plan: the devices' places are not ours")
	}
	if len(p.Images) > 2 {
		return p, errors.New("plan: more than a kernel and an initrd")
	}
	return p, nil
}

// devices are the virtio devices without their places.
func (p Plan) devices() []Device {
	var devices []Device
	for _, s := range p.Slots {
		devices = append(devices, s.Device)
	}
	return devices
}

// firmware is what the tables describe that a kernel finds.
func (p Plan) firmware() firmware.Config {
	c := firmware.Config{CPUs: p.CPUs}
	for i, s := range p.Slots {
		c.Devices = append(c.Devices, firmware.MMIODevice{Base: s.Base, Size: slotSize, GSI: s.GSI, UID: i})
	}
	return c
}

var planMode = func() cbor.DecMode {
	m, err := cbor.DecOptions{MaxArrayElements: 4096, MaxMapPairs: 64, MaxNestedLevels: 8}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return m
}()
