package vmm

import (
	"errors"
	"fmt"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/kvm"
)

// Tracking is how a host logs what a guest writes while it moves. It is fixed when the VM is made, and each host's own affair: source and
// target of a move may differ.
type Tracking string

const (
	// TrackAuto is the bitmap where KVM lets it be cleared by hand, else the ring, else the bitmap that reading clears. Cleared by hand, a page
	// is logged again from just before it is sent, not from the end of the round before, so that fewer travel twice. Otherwise the two
	// cost the same: see BenchmarkFirstWriteKVM in guestmem.
	TrackAuto Tracking = "auto"
	// TrackBitmap is a bit for each page.
	TrackBitmap Tracking = "bitmap"
	// TrackRing is a list of pages for each vCPU.
	TrackRing Tracking = "ring"
)

// ringEntries of each vCPU: the most that KVM takes, 1 MiB. A full ring has all its pages protected again, so that one smaller than
// what the guest writes over and over would make each of those writes fault.
const ringEntries = 1 << 16

// check reports a word that is none of those. Nothing is TrackAuto.
func (k Tracking) check() error {
	switch k {
	case "", TrackAuto, TrackBitmap, TrackRing:
		return nil
	}
	return &Failure{Code: "config", Message: fmt.Sprintf("dirty tracking: %q is not known", string(k)), Remedy: "use --dirty-tracking auto, bitmap or ring"}
}

// attach gives the memory to the VM with that log. It must come before the VM's vCPUs. rings is nil for a bitmap.
func (k Tracking) attach(m *guestmem.Memory, vm *kvm.VM, cpus int) (rings *guestmem.Rings, err error) {
	if err := k.check(); err != nil {
		return nil, err
	}
	if k == TrackRing {
		rings, err := attachRings(m, vm, cpus)
		if errors.Is(err, kvm.ErrNotSupported) {
			return nil, &Failure{Code: "dirty_ring", Message: fmt.Sprintf("this host cannot track by ring: %v", err), Remedy: "use --dirty-tracking auto"}
		}
		return rings, err
	}
	_, err = vm.EnableManualDirtyProtect()
	switch {
	case err == nil:
		return nil, m.Attach(vm)
	case !errors.Is(err, kvm.ErrNotSupported):
		return nil, err
	case k != TrackBitmap:
		if rings, err = attachRings(m, vm, cpus); !errors.Is(err, kvm.ErrNotSupported) {
			return rings, err
		}
	}
	return nil, m.AttachPlain(vm)
}

func attachRings(m *guestmem.Memory, vm *kvm.VM, cpus int) (*guestmem.Rings, error) {
	if err := vm.EnableDirtyRing(ringEntries); err != nil {
		return nil, err
	}
	return m.AttachRings(vm, cpus, ringEntries)
}
