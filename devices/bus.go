// Package devices holds what the guest's devices share: the bus that finds a
// device for an access, and the line that a device raises.
package devices

import (
	"cmp"
	"fmt"
	"slices"
)

// Handler is a device's registers. Its methods are called on a vCPU's thread,
// by several at a time: it locks for itself, must not allocate, and must not
// block. data has 1, 2, 4 or 8 bytes; offset is from the start of its range.
type Handler interface {
	Read(offset uint64, data []byte)
	Write(offset uint64, data []byte)
}

// Interrupt is the line that a device raises.
type Interrupt interface {
	Set(level bool) error
}

type mapping struct {
	start, end uint64 // end is exclusive
	handler    Handler
}

// Bus finds the device for a port or an address. An access belongs to the device
// at its first byte. One that no device claims reads as all ones and writes
// nowhere, as on a PC. One that reaches beyond its device's end comes as single
// bytes, and what is beyond is claimed by nobody: a 32-bit access to the PCI
// port 0xcf8 must not reset the machine through the byte port 0xcf9.
//
// Precondition: nothing is added once vCPUs use it; then it needs no lock.
type Bus struct {
	ports, mmio []mapping
}

const (
	portSpace = 1 << 16
	mmioSpace = 1 << 52 // the widest physical address of x86
)

// AddPorts gives [start, start+size) of the port space to h. Ranges may not be
// empty, overlap, or reach beyond port 0xffff.
func (b *Bus) AddPorts(start uint16, size uint64, h Handler) error {
	return add(&b.ports, uint64(start), size, portSpace, h, "port")
}

// AddMMIO gives [start, start+size) of the address space to h. Ranges may not be
// empty, overlap, or reach beyond 52 bits.
func (b *Bus) AddMMIO(start, size uint64, h Handler) error {
	return add(&b.mmio, start, size, mmioSpace, h, "address")
}

func add(space *[]mapping, start, size, limit uint64, h Handler, what string) error {
	if size == 0 || size > limit || start > limit-size {
		return fmt.Errorf("%s range %#x+%#x is empty or out of bounds", what, start, size)
	}
	m := mapping{start: start, end: start + size, handler: h}
	for _, o := range *space {
		if m.start < o.end && o.start < m.end {
			return fmt.Errorf("%s range %#x+%#x overlaps %#x+%#x", what, start, size, o.start, o.end-o.start)
		}
	}
	*space = append(*space, m)
	slices.SortFunc(*space, func(a, b mapping) int { return cmp.Compare(a.start, b.start) })
	return nil
}

// find returns the device of an address, nil if there is none.
func find(space []mapping, addr uint64) *mapping {
	for i := range space {
		if m := &space[i]; addr < m.end {
			if addr >= m.start {
				return m
			}
			return nil
		}
	}
	return nil
}

// PortIn reads a port.
func (b *Bus) PortIn(port uint16, data []byte) { read(b.ports, uint64(port), data) }

// PortOut writes a port.
func (b *Bus) PortOut(port uint16, data []byte) { write(b.ports, uint64(port), data) }

// MMIORead reads an address.
func (b *Bus) MMIORead(addr uint64, data []byte) { read(b.mmio, addr, data) }

// MMIOWrite writes an address.
func (b *Bus) MMIOWrite(addr uint64, data []byte) { write(b.mmio, addr, data) }

func read(space []mapping, addr uint64, data []byte) {
	m := find(space, addr)
	switch {
	case m == nil:
		Unclaimed(data)
	case uint64(len(data)) <= m.end-addr:
		m.handler.Read(addr-m.start, data)
	default:
		n := m.end - addr
		for i := range n {
			m.handler.Read(addr-m.start+i, data[i:i+1])
		}
		Unclaimed(data[n:])
	}
}

func write(space []mapping, addr uint64, data []byte) {
	m := find(space, addr)
	switch {
	case m == nil:
	case uint64(len(data)) <= m.end-addr:
		m.handler.Write(addr-m.start, data)
	default:
		for i := range m.end - addr {
			m.handler.Write(addr-m.start+i, data[i:i+1])
		}
	}
}

// Unclaimed fills data with what a PC reads where no register is: all ones.
func Unclaimed(data []byte) {
	for i := range data {
		data[i] = 0xff
	}
}
