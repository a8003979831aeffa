package vmm

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/kvm"
)

// planVersion is the version of Plan's encoding. A target refuses another.
const planVersion = 1

// Plan is deterministic data: everything that must be the same at both ends of
// a move. Source and target build from the same plan; only building touches
// the kernel.
type Plan struct {
	Version    uint16
	Name       string
	Layout     guestmem.Layout
	CPUs       int
	CPUID      []kvm.CPUIDEntry // as the guest's first vCPU sees it
	Cmdline    string
	Kernel     string // for people
	Clock      string
	TestDevice bool
	Moves      int         // that the guest has completed
	Images     []ImageInfo // what a reset boots from: kernel, then initrd
}

// ImageInfo names a boot image by what it holds.
type ImageInfo struct {
	ID     string // kernel or initrd
	Size   int64
	SHA256 [32]byte
}

// NewPlan works a config out for a host whose KVM offers cpuid.
func NewPlan(c Config, cpuid []kvm.CPUIDEntry) (Plan, error) {
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
	return Plan{
		Version: planVersion, Name: c.Name, Layout: layout, CPUs: c.CPUs, CPUID: cpuid,
		Cmdline: c.cmdline(), Kernel: kernel, Clock: c.Clock, TestDevice: c.testDevice(),
	}, nil
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
	if p.Version != planVersion {
		return p, fmt.Errorf("plan: version %d; this vmm knows %d", p.Version, planVersion)
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
	c := Config{MemoryBytes: size, CPUs: p.CPUs, Cmdline: p.Cmdline, Clock: p.Clock}
	if err := c.Check(); err != nil {
		return p, fmt.Errorf("plan: %w", err)
	}
	if len(p.Images) > 2 {
		return p, errors.New("plan: more than a kernel and an initrd")
	}
	return p, nil
}

var planMode = func() cbor.DecMode {
	m, err := cbor.DecOptions{MaxArrayElements: 4096, MaxMapPairs: 64, MaxNestedLevels: 8}.DecMode()
	if err != nil {
		panic(err) // the options are constants
	}
	return m
}()
