package firmware

// isaInterrupts are the sources on the ISA bus; the second is the cascade of the
// PICs, which raises nothing.
const (
	isaInterrupts = 16
	isaCascade    = 2
	ioAPICPins    = 24
)

// mpTable is the floating pointer (4.1) with the configuration table behind it
// (4.2, 4.3). The pins above the ISA interrupts are listed as such too, edge and
// active high: Linux uses only what is listed, and there is no other bus here.
func mpTable(cpus int) []byte {
	const (
		pointerSize = 16
		configAt    = MPTable + pointerSize
		revision    = 4 // 1.4
	)
	pointer := le.AppendUint32([]byte("_MP_"), configAt)
	pointer = append(pointer, pointerSize/16, revision, 0)
	pointer = append(pointer, make([]byte, pointerSize-len(pointer))...) // a table follows; PICs in virtual-wire mode
	pointer[10] = checksum(pointer)

	entries, count := mpEntries(cpus)
	config := append([]byte("PCMP"), 0, 0, revision, 0)
	config = append(config, "FERRY   FERRYVMM    "...) // maker, product
	config = le.AppendUint32(config, 0)                // no table of the maker's
	config = le.AppendUint16(config, 0)
	config = le.AppendUint16(config, count)
	config = le.AppendUint32(config, localAPIC)
	config = le.AppendUint32(config, 0) // no extended table
	config = append(config, entries...)
	le.PutUint16(config[4:], uint16(len(config)))
	config[7] = checksum(config)
	return append(pointer, config...)
}

// mpEntries are the base table's entries, and how many.
func mpEntries(cpus int) (b []byte, count uint16) {
	const (
		processor, bus, apic, source, local = 0, 1, 2, 3, 4

		enabled, boots        = 1 << 0, 1 << 1
		localVersion          = 0x14
		ioVersion             = 0x11
		signature             = 0x600 // family 6
		features              = 1<<0 | 1<<9
		busISA                = 0
		kindINT               = 0
		kindNMI               = 1
		kindExtINT            = 3
		asBus                 = 0
		edgeHigh       uint16 = 1<<2 | 1<<0
		every                 = 0xff
	)
	ioID := byte(cpus)
	add := func(entry ...byte) {
		b = append(b, entry...)
		count++
	}
	for id := range cpus {
		flags := byte(enabled)
		if id == 0 {
			flags |= boots
		}
		e := []byte{processor, byte(id), localVersion, flags}
		e = le.AppendUint32(e, signature)
		e = le.AppendUint32(e, features)
		add(append(e, make([]byte, 8)...)...)
	}
	add(append([]byte{bus, busISA}, "ISA   "...)...)
	add(le.AppendUint32([]byte{apic, ioID, ioVersion, enabled}, ioAPIC)...)
	for pin := range byte(ioAPICPins) {
		flags := edgeHigh
		switch {
		case pin == isaCascade:
			continue
		case pin < isaInterrupts:
			flags = asBus
		}
		add(source, kindINT, byte(flags), 0, busISA, pin, ioID, pin)
	}
	add(local, kindExtINT, 0, 0, busISA, 0, 0, 0)
	add(local, kindNMI, 0, 0, busISA, 0, every, 1)
	return b, count
}
