package boot

import "github.com/ferryvmm/ferry/guestmem"

// Offsets in the zero page (struct boot_params), beside the setup header's.
const (
	zeroRSDP          = 0x070
	zeroRamdiskHigh   = 0x0c0
	zeroRamdiskLnHigh = 0x0c4
	zeroE820Count     = 0x1e8
	zeroE820          = 0x2d0
	zeroPageSize      = 0x1000
)

// zeroPage is what a Linux kernel of this setup header is told.
func (s *setup) zeroPage(o Options, initrd guestmem.Range) []byte {
	p := make([]byte, zeroPageSize)
	copy(p[setupStart:zeroE820], s.header)
	p[setupLoader] = loaderUnknown
	le.PutUint32(p[setupCmdline:], cmdlineAddr)
	le.PutUint32(p[setupRamdisk:], uint32(initrd.GPA))
	le.PutUint32(p[setupRamdiskLen:], uint32(initrd.Size))
	le.PutUint32(p[zeroRamdiskHigh:], uint32(initrd.GPA>>32))
	le.PutUint32(p[zeroRamdiskLnHigh:], uint32(initrd.Size>>32))
	le.PutUint64(p[zeroRSDP:], o.RSDP)
	entries := memoryMap(o.Layout)
	p[zeroE820Count] = byte(len(entries))
	for i, e := range entries {
		at := p[zeroE820+20*i:]
		le.PutUint64(at, e.GPA)
		le.PutUint64(at[8:], e.Size)
		le.PutUint32(at[16:], e.kind)
	}
	return p
}

// Paging and segments of 64-bit mode.
const (
	tableSize    = 4096
	tableEntries = 512
	largePage    = 2 << 20
	directories  = 3 // of 1 GiB each: RAM below 4 GiB ends there

	present, writable, large = 1 << 0, 1 << 1, 1 << 7

	descriptorCode = 0x00af9b000000ffff // 64-bit, execute and read
	descriptorData = 0x00cf93000000ffff // read and write
)

// writeLongMode writes page tables that map low memory one to one, and the
// descriptors that the protocol wants at selectors 0x10 and 0x18.
func writeLongMode(m Memory) error {
	const pointers, first = tablesAddr + tableSize, tablesAddr + 2*tableSize
	tables := make([]byte, (2+directories)*tableSize)
	le.PutUint64(tables, pointers|present|writable)
	for d := range uint64(directories) {
		le.PutUint64(tables[tableSize+8*d:], first+d*tableSize|present|writable)
	}
	for n := range uint64(directories * tableEntries) {
		le.PutUint64(tables[2*tableSize+8*n:], n*largePage|present|writable|large)
	}
	if err := m.WriteAt(tables, tablesAddr); err != nil {
		return err
	}
	gdt := make([]byte, 32)
	le.PutUint64(gdt[16:], descriptorCode)
	le.PutUint64(gdt[24:], descriptorData)
	return m.WriteAt(gdt, gdtAddr)
}
