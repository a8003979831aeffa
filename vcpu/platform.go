package vcpu

import (
	"errors"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// platform is what the VM was found to have.
type platform struct {
	irqchip, pit  bool
	clockRealtime bool // SET_CLOCK can advance by the host's real time
	tscScaling    bool
}

// probePlatform asks the VM for what it was created with: controllers and PIT cannot be queried otherwise.
func (s *Set) probePlatform() error {
	vm := s.cfg.VM
	chip := kvm.IRQChip{ID: kvm.IOAPIC}
	switch err := vm.IRQChip(&chip); {
	case err == nil:
		s.platform.irqchip = true
	case !errors.Is(err, unix.ENXIO):
		return err
	}
	switch err := vm.PIT2(&kvm.PIT{}); {
	case err == nil:
		s.platform.pit = true
	case !errors.Is(err, unix.ENXIO):
		return err
	}
	_, flags := vm.CheckExtension(kvm.CapAdjustClock)
	s.platform.clockRealtime = uint32(flags)&kvm.ClockRealtime != 0
	support, _ := vm.CheckExtension(kvm.CapTSCControl)
	s.platform.tscScaling = support == kvm.Yes
	return nil
}

// savePlatform reads what the vCPUs share.
func (s *Set) savePlatform(p *PlatformState) error {
	vm := s.cfg.VM
	if p.HasIRQChip = s.platform.irqchip; p.HasIRQChip {
		for i := range p.IRQChips {
			p.IRQChips[i].ID = uint32(i)
			if err := vm.IRQChip(&p.IRQChips[i]); err != nil {
				return err
			}
		}
	}
	if p.HasPIT = s.platform.pit; p.HasPIT {
		if err := vm.PIT2(&p.PIT); err != nil {
			return err
		}
	}
	var err error
	if p.TSC, err = s.cpus[0].readTSC(); err != nil {
		return err
	}
	p.HostTime = time.Now().UnixNano()
	return vm.Clock(&p.Clock)
}

// restoreChips sets the controllers, then the PIT.
func (s *Set) restoreChips(p *PlatformState) error {
	vm := s.cfg.VM
	if p.HasIRQChip {
		// The I/O APIC is the last of the three: setting it delivers its pending interrupts to the LAPICs.
		for i := range p.IRQChips {
			if err := vm.SetIRQChip(&p.IRQChips[i]); err != nil {
				return err
			}
		}
	}
	if p.HasPIT {
		// After the controllers: it may raise IRQ 0 at once.
		return vm.SetPIT2(&p.PIT)
	}
	return nil
}
