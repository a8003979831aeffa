package firmware

import (
	"encoding/binary"

	"github.com/ferryvmm/ferry/devices/power"
	"github.com/ferryvmm/ferry/devices/rtc"
)

var le = binary.LittleEndian

// Addresses of the interrupt controllers, as KVM has them.
const (
	localAPIC = 0xfee00000
	ioAPIC    = 0xfec00000
)

// Sizes of tables, in bytes.
const (
	rsdpSize   = 36
	headerSize = 36
	xsdtSize   = headerSize + 2*8
	fadtSize   = 276
	tableAlign = 16
)

// acpiTables lays the tables out from Tables on: RSDP, XSDT, FADT, MADT, DSDT.
func acpiTables(c Config) []byte {
	var out []byte
	place := func(table []byte) uint64 {
		out = append(out, make([]byte, -len(out)&(tableAlign-1))...)
		at := Tables + uint64(len(out))
		out = append(out, table...)
		return at
	}
	place(make([]byte, rsdpSize))
	xsdtAt := place(make([]byte, xsdtSize))
	definitions := place(table("DSDT", 2, dsdt(c)))
	fixed := place(table("FACP", 6, fadt(definitions)))
	interrupts := place(table("APIC", 5, madt(c.CPUs)))
	copy(out[xsdtAt-Tables:], table("XSDT", 1, le.AppendUint64(le.AppendUint64(nil, fixed), interrupts)))
	copy(out, rsdp(xsdtAt))
	return out
}

// rsdp is the root pointer, revision 2 (5.2.5.3). Its first 20 bytes, those of
// revision 0, have a checksum of their own.
func rsdp(xsdt uint64) []byte {
	const first, sumAt, extendedSumAt = 20, 8, 32
	b := append([]byte("RSD PTR \x00"), oemID...)
	b = append(b, 2)
	b = le.AppendUint32(b, 0) // no RSDT
	b = le.AppendUint32(b, rsdpSize)
	b = le.AppendUint64(b, xsdt)
	b = append(b, make([]byte, rsdpSize-len(b))...)
	b[sumAt] = checksum(b[:first])
	b[extendedSumAt] = checksum(b)
	return b
}

const (
	oemID      = "FERRY "
	oemTableID = "FERRYVMM"
	creatorID  = "FRRY"
)

// table puts the header (5.2.6) in front of a table's body.
func table(signature string, revision byte, body []byte) []byte {
	const sumAt = 9
	b := le.AppendUint32([]byte(signature), uint32(headerSize+len(body)))
	b = append(b, revision, 0)
	b = append(b, oemID+oemTableID...)
	b = le.AppendUint32(b, 1)
	b = append(b, creatorID...)
	b = le.AppendUint32(b, 1)
	b = append(b, body...)
	b[sumAt] = checksum(b)
	return b
}

// fadt is the body of the fixed table, revision 6.5 (5.2.9), of a machine without
// the fixed hardware: buttons are devices, power is in the sleep registers.
func fadt(dsdt uint64) []byte {
	const (
		wbinvd      = 1 << 0
		powerButton = 1 << 4 // no fixed one
		sleepButton = 1 << 5 // no fixed one
		resetReg    = 1 << 10
		reduced     = 1 << 20

		legacyDevices = 1 << 0
		noVGA         = 1 << 2
		// Bit 1, the 8042, stays off: it is only there for its reset line, and a
		// kernel need not look for a keyboard.
	)
	b := make([]byte, fadtSize)
	le.PutUint32(b[40:], uint32(dsdt))
	b[108] = rtc.Century
	le.PutUint16(b[109:], legacyDevices|noVGA)
	le.PutUint32(b[112:], wbinvd|powerButton|sleepButton|resetReg|reduced)
	copy(b[116:], port(power.ResetPort))
	b[128] = power.ResetValue
	b[131] = 5 // minor revision
	le.PutUint64(b[140:], dsdt)
	copy(b[244:], port(power.SleepPort)) // control
	copy(b[256:], port(power.SleepPort)) // status
	copy(b[268:], "FERRYVMM")
	return b[headerSize:]
}

// port is the generic address structure (5.2.3.2) of a byte in the port space.
func port(p uint16) []byte {
	const bits, byteAccess = 8, 1
	return le.AppendUint64([]byte{addressPorts, bits, 0, byteAccess}, uint64(p))
}

// madt is the body of the interrupt controller table (5.2.12).
func madt(cpus int) []byte {
	const (
		hasPICs   = 1 << 0
		enabled   = 1
		typeLAPIC = 0
		typeIO    = 1
		typeISA   = 2
		typeNMI   = 4
		every     = 0xff
		nmiPin    = 1
	)
	b := le.AppendUint32(nil, localAPIC)
	b = le.AppendUint32(b, hasPICs)
	for id := range cpus {
		b = append(b, typeLAPIC, 8, byte(id), byte(id))
		b = le.AppendUint32(b, enabled)
	}
	b = append(b, typeIO, 12, byte(cpus), 0)
	b = le.AppendUint32(b, ioAPIC)
	b = le.AppendUint32(b, 0) // its first GSI
	// ISA interrupts are where they are by default. The one entry is for kernels
	// that set up only listed ones on hardware-reduced machines, and drive the
	// serial port without asking the DSDT.
	b = append(b, typeISA, 10, 0, serialGSI)
	b = le.AppendUint32(b, serialGSI)
	b = le.AppendUint16(b, 0) // as the bus: edge, active high
	return append(b, typeNMI, 6, every, 0, 0, nmiPin)
}
