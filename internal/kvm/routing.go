package kvm

import (
	"fmt"
	"unsafe"
)

// The kinds of a [Route].
const (
	RouteIRQChip uint32 = 1
	RouteMSI     uint32 = 2
)

// Route sends one GSI to a pin of an interrupt controller or out as a message (struct kvm_irq_routing_entry). For
// RouteIRQChip, Target holds the chip and the pin; for RouteMSI the low and high half of the address, the data, and the device id.
type Route struct {
	GSI, Type, Flags, Reserved uint32
	Target                     [8]uint32
}

// NewIRQChipRoute routes a GSI to a controller's pin.
func NewIRQChipRoute(gsi, chip, pin uint32) Route {
	return Route{GSI: gsi, Type: RouteIRQChip, Target: [8]uint32{chip, pin}}
}

// NewMSIRoute routes a GSI to a message-signalled interrupt.
func NewMSIRoute(gsi uint32, addr uint64, data uint32) Route {
	return Route{GSI: gsi, Type: RouteMSI, Target: [8]uint32{uint32(addr), uint32(addr >> 32), data}}
}

const routeSize = int(unsafe.Sizeof(Route{}))

// SetGSIRouting replaces the whole routing table. An empty one cuts every line.
func (v *VM) SetGSIRouting(routes []Route) error {
	table := make([]uint64, 1+len(routes)*routeSize/8) // struct kvm_irq_routing: count, flags, entries
	table[0] = uint64(uint32(len(routes)))
	if len(routes) > 0 {
		// SAFETY: the table has room for len(routes) entries behind its first word, which is aligned to 8 bytes.
		copy(unsafe.Slice((*Route)(unsafe.Pointer(&table[1])), len(routes)), routes)
	}
	_, errno := ioctl(v.fd, reqSetGSIRouting, unsafe.Pointer(&table[0]))
	if errno != 0 {
		return fmt.Errorf("KVM_SET_GSI_ROUTING, %d routes: %w", len(routes), errno)
	}
	return nil
}
