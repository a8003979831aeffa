package boot

import "github.com/ferryvmm/ferry/guestmem"

// startMagic is XEN_HVM_START_MAGIC_VALUE.
const startMagic = 0x336ec578

// startInfoVersion has the memory map in it.
const startInfoVersion = 1

// writeStartInfo lays out hvm_start_info with its memory map and module list.
func writeStartInfo(m Memory, o Options, initrd guestmem.Range) error {
	var memmap []byte
	entries := memoryMap(o.Layout)
	for _, e := range entries {
		memmap = le.AppendUint64(memmap, e.GPA)
		memmap = le.AppendUint64(memmap, e.Size)
		memmap = le.AppendUint32(memmap, e.kind)
		memmap = le.AppendUint32(memmap, 0)
	}
	if err := m.WriteAt(memmap, memmapAddr); err != nil {
		return err
	}
	modules, modulesAt := uint32(0), uint64(0)
	if initrd.Size != 0 {
		modules, modulesAt = 1, modulesAddr
		entry := le.AppendUint64(nil, initrd.GPA)
		entry = le.AppendUint64(entry, initrd.Size)
		entry = append(entry, make([]byte, 16)...) // no command line, reserved
		if err := m.WriteAt(entry, modulesAddr); err != nil {
			return err
		}
	}
	info := le.AppendUint32(nil, startMagic)
	info = le.AppendUint32(info, startInfoVersion)
	info = le.AppendUint32(info, 0) // flags
	info = le.AppendUint32(info, modules)
	info = le.AppendUint64(info, modulesAt)
	info = le.AppendUint64(info, cmdlineAddr)
	info = le.AppendUint64(info, o.RSDP)
	info = le.AppendUint64(info, memmapAddr)
	info = le.AppendUint32(info, uint32(len(entries)))
	info = le.AppendUint32(info, 0)
	return m.WriteAt(info, startInfoAddr)
}
