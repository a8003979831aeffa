// Package firmware writes what a kernel expects of a PC's firmware: ACPI tables,
// and an Intel MP table for kernels without ACPI. There is no code in it: nothing
// of the guest runs before its kernel.
//
// Sources: ACPI 6.5, chapters 4, 5, 6 and 20; Intel MultiProcessor Specification
// 1.4, chapter 4.
package firmware

import (
	"errors"
	"fmt"
	"slices"
)

// Where the tables are. A kernel's memory map must reserve both areas.
const (
	MPTable    = 0x9fc00 // the last KiB of base memory
	MPTableEnd = 0xa0000
	Tables     = 0xe0000 // ACPI; the RSDP is first
	TablesEnd  = 0x100000
)

// MaxCPUs is how many processors the MP table has room for.
const MaxCPUs = 32

// The interrupts of what the DSDT describes. KVM's default routing connects GSI n
// to pin n of the I/O APIC, and below 16 to the PICs as well: nothing is moved,
// not even the timer, which other machines have on pin 2.
const (
	ButtonGSI = 9
	serialGSI = 4
)

// VirtioGSIs are the GSIs that are free for virtio devices, in the order in which
// to give them out: first those that reach the PICs too.
func VirtioGSIs() []uint32 {
	return []uint32{5, 6, 7, 10, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23}
}

// ErrConfig: the tables cannot describe what is asked for. It is a defect of the
// plan: refuse it.
var ErrConfig = errors.New("firmware: cannot be described")

// MMIODevice is a virtio-mmio device: its registers, in bytes below 4 GiB, its
// interrupt, one of VirtioGSIs, and its number.
type MMIODevice struct {
	Base, Size uint64
	GSI        uint32
	UID        int
}

// Config is what the tables describe.
type Config struct {
	CPUs    int // APIC ids 0 to CPUs-1, the first boots
	Devices []MMIODevice
}

// Memory is guest memory by guest-physical address.
type Memory interface {
	WriteAt(p []byte, gpa uint64) error
}

// Write puts the tables into guest memory and returns the guest-physical address
// of the RSDP. The same config gives the same bytes. The errors are ErrConfig and
// the memory's.
func Write(m Memory, c Config) (rsdp uint64, err error) {
	if err := c.check(); err != nil {
		return 0, err
	}
	acpi := acpiTables(c)
	if Tables+len(acpi) > TablesEnd {
		return 0, fmt.Errorf("%w: tables of %d bytes", ErrConfig, len(acpi))
	}
	if err := m.WriteAt(acpi, Tables); err != nil {
		return 0, err
	}
	return Tables, m.WriteAt(mpTable(c.CPUs), MPTable)
}

// check refuses what has no place in a table, or twice the same.
func (c Config) check() error {
	if c.CPUs < 1 || c.CPUs > MaxCPUs {
		return fmt.Errorf("%w: %d CPUs; there is room for 1 to %d", ErrConfig, c.CPUs, MaxCPUs)
	}
	free := VirtioGSIs()
	uids := make(map[int]bool)
	for _, d := range c.Devices {
		if d.Size == 0 || d.Base >= 1<<32 || d.Size > 1<<32-d.Base {
			return fmt.Errorf("%w: device %d at %#x+%#x is not below 4 GiB", ErrConfig, d.UID, d.Base, d.Size)
		}
		if uids[d.UID] || d.UID < 0 || d.UID >= maxDevices {
			return fmt.Errorf("%w: device number %d is taken twice, or not 0 to %d", ErrConfig, d.UID, maxDevices-1)
		}
		uids[d.UID] = true
		if !slices.Contains(free, d.GSI) {
			return fmt.Errorf("%w: device %d: GSI %d is none of %v, or taken twice", ErrConfig, d.UID, d.GSI, VirtioGSIs())
		}
		free = slices.DeleteFunc(free, func(g uint32) bool { return g == d.GSI })
	}
	return nil
}

// checksum is the byte that makes the sum of all zero.
func checksum(b []byte) byte {
	var sum byte
	for _, v := range b {
		sum += v
	}
	return -sum
}
