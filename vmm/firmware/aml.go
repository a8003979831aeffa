package firmware

import (
	"encoding/binary"
	"fmt"
)

// Opcodes of AML, ACPI 6.5 20.3.
const (
	opName        = 0x08
	opByte        = 0x0a
	opWord        = 0x0b
	opDWord       = 0x0c
	opString      = 0x0d
	opScope       = 0x10
	opBuffer      = 0x11
	opPackage     = 0x12
	opMethod      = 0x14
	opExtended    = 0x5b
	opRegion      = 0x80 // extended
	opField       = 0x81 // extended
	opDevice      = 0x82 // extended
	opLocal0      = 0x60
	opStore       = 0x70
	opAnd         = 0x7b
	opNotify      = 0x86
	opIf          = 0xa0
	prefixRoot    = '\\'
	prefixDual    = 0x2e
	serialized    = 1 << 3
	regionPorts   = 1
	fieldDWord    = 3 // access type; no lock, preserve
	addressPorts  = 1 // of a generic address structure
	resourceEnd   = 0x79
	resourcePorts = 0x47
	resourceMem32 = 0x86
	resourceIRQ   = 0x89
)

// term is encoded AML.
type term []byte

// block encodes an opcode with a length in front of its body.
func block(op term, body ...term) term {
	var b term
	for _, t := range body {
		b = append(b, t...)
	}
	return append(append(op, length(len(b))...), b...)
}

// length encodes a PkgLength (20.2.4), which counts its own bytes. Six bits fit
// one byte; longer ones have four in the first and eight in each that follows.
func length(n int) term {
	if n+1 < 1<<6 {
		return term{byte(n + 1)}
	}
	extra := 1
	for n+1+extra >= 1<<(4+8*extra) {
		extra++
	}
	n += 1 + extra
	b := term{byte(extra)<<6 | byte(n&0xf)}
	for i := range extra {
		b = append(b, byte(n>>(4+8*i)))
	}
	return b
}

// segment encodes a name of at most four characters.
func segment(name string) term { return term(fmt.Sprintf("%-4.4s", name)).underscored() }

// underscored pads a name as 20.2.2 wants it.
func (t term) underscored() term {
	for i := range t {
		if t[i] == ' ' {
			t[i] = '_'
		}
	}
	return t
}

// path encodes the absolute name \first.second.
func path(first, second string) term {
	return append(append(term{prefixRoot, prefixDual}, segment(first)...), segment(second)...)
}

// integer encodes a constant in its shortest form.
func integer(v uint32) term {
	switch {
	case v <= 1:
		return term{byte(v)} // ZeroOp, OneOp
	case v <= 0xff:
		return term{opByte, byte(v)}
	case v <= 0xffff:
		return binary.LittleEndian.AppendUint16(term{opWord}, uint16(v))
	}
	return binary.LittleEndian.AppendUint32(term{opDWord}, v)
}

func text(s string) term { return append(append(term{opString}, s...), 0) }

// eisa encodes an EISA id such as PNP0501: three letters of five bits and four
// hexadecimal digits, big-endian.
func eisa(id string) term {
	v := uint32(0)
	for _, c := range id[:3] {
		v = v<<5 | uint32(c-'@')
	}
	var product uint16
	if _, err := fmt.Sscanf(id[3:], "%04X", &product); err != nil {
		panic("firmware: " + id + " is no EISA id") // the ids are constants
	}
	return binary.BigEndian.AppendUint32(term{opDWord}, v<<16|uint32(product))
}

func name(n string, value term) term {
	return append(append(term{opName}, segment(n)...), value...)
}

func scope(n string, body ...term) term {
	return block(term{opScope}, append([]term{segment(n)}, body...)...)
}

func device(n string, body ...term) term {
	return block(term{opExtended, opDevice}, append([]term{segment(n)}, body...)...)
}

// method encodes a serialized method.
func method(n string, args byte, body ...term) term {
	return block(term{opMethod}, append([]term{segment(n), {args | serialized}}, body...)...)
}

func list(elements ...term) term {
	return block(term{opPackage}, append([]term{{byte(len(elements))}}, elements...)...)
}

// ports declares an operation region in the port space.
func ports(n string, start, size uint32) term {
	t := append(append(term{opExtended, opRegion}, segment(n)...), regionPorts)
	return append(append(t, integer(start)...), integer(size)...)
}

// field declares one 32-bit register at the start of a region.
func field(region, n string) term {
	return block(term{opExtended, opField}, segment(region), term{fieldDWord}, segment(n), length(32-1))
}

// resources encodes a resource template (6.4): its descriptors, and an end tag
// whose zero checksum stands for none.
func resources(descriptors ...term) term {
	var b term
	for _, d := range descriptors {
		b = append(b, d...)
	}
	b = append(b, resourceEnd, 0)
	return block(term{opBuffer}, integer(uint32(len(b))), b)
}

// portRange describes I/O ports, decoded with 16 bits.
func portRange(start uint16, size byte) term {
	t := term{resourcePorts, 1}
	t = binary.LittleEndian.AppendUint16(t, start)
	t = binary.LittleEndian.AppendUint16(t, start)
	return append(t, 1, size)
}

// memory32 describes registers below 4 GiB.
func memory32(base, size uint32) term {
	t := binary.LittleEndian.AppendUint16(term{resourceMem32}, 9)
	t = append(t, 1) // read and write
	t = binary.LittleEndian.AppendUint32(t, base)
	return binary.LittleEndian.AppendUint32(t, size)
}

// interrupt describes a GSI: consumed, edge, active high, exclusive.
func interrupt(gsi uint32) term {
	const consumer, edge = 1 << 0, 1 << 1
	t := binary.LittleEndian.AppendUint16(term{resourceIRQ}, 6)
	t = append(t, consumer|edge, 1)
	return binary.LittleEndian.AppendUint32(t, gsi)
}
