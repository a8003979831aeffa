package boot

import (
	"debug/elf"
	"fmt"
	"io"
)

// Offsets in a bzImage's first sectors: the setup header, at the place where the
// zero page has it too.
const (
	setupStart      = 0x1f1
	setupSectors    = 0x1f1
	setupLength     = 0x201 // from setupMagic on
	setupMagic      = 0x202
	setupVersion    = 0x206
	setupLoader     = 0x210
	setupRamdisk    = 0x218
	setupRamdiskLen = 0x21c
	setupCmdline    = 0x228
	setupInitrdMax  = 0x22c
	setupAlignment  = 0x230
	setupRelocate   = 0x234
	setupXLoad      = 0x236
	setupCmdlineMax = 0x238
	setupPayload    = 0x248
	setupPayloadLen = 0x24c
	setupPreferred  = 0x258
	setupInitSize   = 0x260
	setupEnd        = 0x268 // of what protocol 2.12 has

	sector        = 512
	version64     = 0x20c // 2.12, the first with the 64-bit entry
	xload64       = 1 << 0
	entry64       = 0x200 // from where the image is loaded
	loaderUnknown = 0xff
)

// setup is what the setup header of a bzImage says.
type setup struct {
	header      []byte // from setupStart on, for the zero page
	initrdMax   uint64 // last address that an initrd may have
	cmdlineMax  uint64 // bytes, without the zero
	alignment   uint64
	relocatable bool // it unpacks itself, and may be loaded elsewhere
}

func isSetup(head []byte) bool {
	return len(head) >= headSize && head[0x1fe] == 0x55 && head[0x1ff] == 0xaa && string(head[setupMagic:setupMagic+4]) == "HdrS"
}

// parseBzImage reads the setup header, and looks into what is packed behind it.
func parseBzImage(r io.ReaderAt, size int64, head []byte) (*Kernel, error) {
	if v := le.Uint16(head[setupVersion:]); v < version64 || head[setupXLoad]&xload64 == 0 {
		return nil, fmt.Errorf("%w: a bzImage without a 64-bit entry (boot protocol %d.%02d)", ErrMachine, v>>8, v&0xff)
	}
	end := setupMagic + int(head[setupLength])
	if end < setupEnd || end > len(head) {
		return nil, fmt.Errorf("%w: a setup header of %d bytes", ErrTruncated, end-setupStart)
	}
	sectors := int64(head[setupSectors])
	if sectors == 0 {
		sectors = 4 // a convention older than the header
	}
	start := (sectors + 1) * sector
	if start+entry64 >= size {
		return nil, fmt.Errorf("%w: a bzImage of %d bytes, of which %d are setup", ErrTruncated, size, start)
	}
	s := &setup{
		header:     head[setupStart:end],
		initrdMax:  uint64(le.Uint32(head[setupInitrdMax:])),
		cmdlineMax: uint64(le.Uint32(head[setupCmdlineMax:])),
		alignment:  uint64(le.Uint32(head[setupAlignment:])),
	}
	k, err := parsePayload(r, size, start, head)
	if err != nil {
		return nil, err
	}
	if k == nil {
		at, room := le.Uint64(head[setupPreferred:]), uint64(le.Uint32(head[setupInitSize:]))
		bytes := uint64(size - start)
		if room < bytes || at > 1<<32 {
			return nil, fmt.Errorf("%w: a bzImage of %d bytes that wants %d at %#x", ErrTruncated, bytes, room, at)
		}
		s.relocatable = head[setupRelocate] != 0
		k = &Kernel{r: r, segments: []segment{{gpa: at, offset: uint64(start), bytes: bytes, size: room}}, entry: at + entry64}
	}
	k.setup = s
	return k, nil
}

// parsePayload looks for a kernel that can be unpacked here; it is nil if there
// is none.
func parsePayload(r io.ReaderAt, size, start int64, head []byte) (*Kernel, error) {
	offset, length := start+int64(le.Uint32(head[setupPayload:])), int64(le.Uint32(head[setupPayloadLen:]))
	if length < tailSize || offset > size-length {
		return nil, fmt.Errorf("%w: a payload of %d bytes at %#x of a file of %d", ErrTruncated, length, offset, size)
	}
	u, err := newUnpacker(io.NewSectionReader(r, offset, length))
	if u == nil || err != nil {
		return nil, err
	}
	defer u.close()
	if !isELF(u.head) {
		return nil, nil // whatever it is, the code around it knows how to start it
	}
	f, segments, err := parseSegments(u, maxUnpacked)
	if err == nil && f.Machine != elf.EM_X86_64 {
		err = fmt.Errorf("%w: %v behind a 64-bit entry", ErrMachine, f.Machine)
	}
	if err != nil {
		return nil, fmt.Errorf("the kernel in the bzImage: %w", err)
	}
	k := &Kernel{r: u, packed: u, segments: segments, entry: f.Entry}
	return k, k.checkEntry()
}
