package boot

import (
	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/vmm/firmware"
)

// Types of memory, as in E820; PVH has the same.
const (
	ram      = 1
	reserved = 2
)

// mapped is an entry of the memory map.
type mapped struct {
	guestmem.Range
	kind uint32
}

// memoryMap is what a kernel is told of its memory: RAM, but for what a PC keeps
// below 1 MiB for video and firmware, although it is RAM here too; and where the
// firmware's tables are.
func memoryMap(l guestmem.Layout) []mapped {
	entry := func(start, end uint64, kind uint32) mapped {
		return mapped{guestmem.Range{GPA: start, Size: end - start}, kind}
	}
	entries := []mapped{
		entry(0, firmware.MPTable, ram),
		entry(firmware.MPTable, firmware.MPTableEnd, reserved),
		entry(firmware.Tables, firmware.TablesEnd, reserved),
		entry(firmware.TablesEnd, l[0].End(), ram),
	}
	for _, r := range l[1:] {
		entries = append(entries, mapped{r, ram})
	}
	return entries
}
