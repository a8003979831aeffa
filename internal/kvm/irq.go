package kvm

import (
	"fmt"
	"unsafe"
)

// The in-kernel interrupt controllers that [VM.IRQChip] reads.
const (
	PICMaster uint32 = iota
	PICSlave
	IOAPIC
	IRQChips // how many there are
)

// IRQChip is the state of one interrupt controller (struct kvm_irqchip), as the kernel encodes it.
type IRQChip struct {
	ID, Reserved uint32
	State        [512]byte
}

// CreateIRQChip creates the in-kernel PICs and I/O APIC and gives every later vCPU a local APIC.
func (v *VM) CreateIRQChip() error {
	_, errno := ioctlValue(v.fd, reqCreateIRQChip, 0)
	return check("KVM_CREATE_IRQCHIP", errno)
}

// IRQChip reads the controller named by chip.ID.
func (v *VM) IRQChip(chip *IRQChip) error {
	_, errno := ioctl(v.fd, reqGetIRQChip, unsafe.Pointer(chip))
	return check("KVM_GET_IRQCHIP", errno)
}

// SetIRQChip sets the controller named by chip.ID.
func (v *VM) SetIRQChip(chip *IRQChip) error {
	_, errno := ioctl(v.fd, reqSetIRQChip, unsafe.Pointer(chip))
	return check("KVM_SET_IRQCHIP", errno)
}

// irqLevel is struct kvm_irq_level.
type irqLevel struct{ IRQ, Level uint32 }

// IRQLine drives an input of the interrupt controllers.
func (v *VM) IRQLine(irq uint32, level bool) error {
	l := irqLevel{IRQ: irq}
	if level {
		l.Level = 1
	}
	_, errno := ioctl(v.fd, reqIRQLine, unsafe.Pointer(&l))
	return check("KVM_IRQ_LINE", errno)
}

// Flags of [VM.IRQFD].
const (
	irqfdDeassign = 1 << 0
	irqfdResample = 1 << 1
)

// irqfd is struct kvm_irqfd.
type irqfd struct {
	FD, GSI, Flags, ResampleFD uint32
	Pad                        [16]uint8
}

// IRQFD makes writes to an eventfd raise a GSI, without an exit to this process. With resample >= 0 the interrupt is
// level-triggered: the guest's EOI lowers it and signals that second eventfd.
func (v *VM) IRQFD(fd int, gsi uint32, resample int) error {
	q := irqfd{FD: uint32(fd), GSI: gsi}
	if resample >= 0 {
		q.Flags, q.ResampleFD = irqfdResample, uint32(resample)
	}
	return v.irqfd(&q)
}

// RemoveIRQFD ends what IRQFD began, for the same eventfd and GSI.
func (v *VM) RemoveIRQFD(fd int, gsi uint32) error {
	return v.irqfd(&irqfd{FD: uint32(fd), GSI: gsi, Flags: irqfdDeassign})
}

func (v *VM) irqfd(q *irqfd) error {
	_, errno := ioctl(v.fd, reqIRQFD, unsafe.Pointer(q))
	if errno != 0 {
		return fmt.Errorf("KVM_IRQFD GSI %d: %w", q.GSI, errno)
	}
	return nil
}

// Flags of [IOEvent].
const (
	IOEventDatamatch uint32 = 1 << 0 // signal only when the value written is Datamatch
	IOEventPIO       uint32 = 1 << 1 // Addr is a port
	ioEventDeassign  uint32 = 1 << 2
)

// IOEvent is struct kvm_ioeventfd: guest writes of Len bytes (0, 1, 2, 4 or 8; 0 matches any) at Addr signal the eventfd FD.
type IOEvent struct {
	Datamatch, Addr uint64
	Len             uint32
	FD              int32
	Flags           uint32
	Pad             [36]uint8
}

// IOEventFD makes a guest write signal an eventfd instead of exiting to this process.
func (v *VM) IOEventFD(e IOEvent) error {
	_, errno := ioctl(v.fd, reqIOEventFD, unsafe.Pointer(&e))
	if errno != 0 {
		return fmt.Errorf("KVM_IOEVENTFD at %#x: %w", e.Addr, errno)
	}
	return nil
}

// RemoveIOEventFD ends what IOEventFD began, for the same values.
func (v *VM) RemoveIOEventFD(e IOEvent) error {
	e.Flags |= ioEventDeassign
	return v.IOEventFD(e)
}
