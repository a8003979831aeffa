package blk

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math/bits"
	"os"
)

// Limits of a disk.
const (
	// QueueSize is the most descriptors, and so the most requests, of a queue.
	QueueSize = 256
	// MaxQueues is as many as a guest has CPUs at most.
	MaxQueues = 8
	// SectorSize is the unit of offsets and sizes, in bytes (section 5.2).
	SectorSize = 512
	// IDSize is the length of a serial number, in bytes (section 5.2.6).
	IDSize = 20
)

// ErrConfig means that a Config makes no disk: the caller has a fault.
var ErrConfig = errors.New("impossible disk")

// Config is what a disk is made of.
type Config struct {
	// Name is the disk's, for messages, and, as far as it fits IDSize, its serial number.
	Name string
	// File is the image. The device closes it.
	File *os.File
	// Size is that of the disk, in bytes: a multiple of BlockSize.
	Size uint64
	// BlockSize is what the guest should use as unit, in bytes: a power of two, at least SectorSize.
	BlockSize uint32
	// Alignment is what direct I/O demands of the addresses of buffers, in bytes: a
	// power of two, at most a page; 0 or 1 without direct I/O.
	Alignment uint32
	ReadOnly  bool
	Queues    int // from 1 to MaxQueues
	// Engine makes the engines; nil is Best.
	Engine Opener
	// Read, if not nil, is told of each piece of the guest's memory that was filled with bytes of the image from an offset on. It must be quick.
	Read func(gpa, size uint64, offset int64)
	Log  *slog.Logger
}

func (c *Config) check() error {
	powerOfTwo := func(n uint32, most uint32) bool { return n <= most && bits.OnesCount32(n) <= 1 }
	switch {
	case c.BlockSize < SectorSize || !powerOfTwo(c.BlockSize, 1<<20):
		return fmt.Errorf("%w %s: blocks of %d bytes", ErrConfig, c.Name, c.BlockSize)
	case c.Size == 0 || c.Size%uint64(c.BlockSize) != 0 || c.Size > 1<<62:
		return fmt.Errorf("%w %s: %d bytes in blocks of %d", ErrConfig, c.Name, c.Size, c.BlockSize)
	case !powerOfTwo(c.Alignment, pageSize):
		return fmt.Errorf("%w %s: alignment of %d bytes", ErrConfig, c.Name, c.Alignment)
	case c.Queues < 1 || c.Queues > MaxQueues:
		return fmt.Errorf("%w %s: %d queues, not 1 to %d", ErrConfig, c.Name, c.Queues, MaxQueues)
	}
	return nil
}

// Features, section 5.2.3.
const (
	FeatureSegMax      uint64 = 1 << 2
	FeatureReadOnly    uint64 = 1 << 5
	FeatureBlockSize   uint64 = 1 << 6
	FeatureFlush       uint64 = 1 << 9
	FeatureTopology    uint64 = 1 << 10
	FeatureConfigWCE   uint64 = 1 << 11
	FeatureMultiQueue  uint64 = 1 << 12
	FeatureDiscard     uint64 = 1 << 13
	FeatureWriteZeroes uint64 = 1 << 14
)

func (c *Config) features() uint64 {
	f := FeatureSegMax | FeatureBlockSize | FeatureFlush | FeatureTopology | FeatureConfigWCE
	if c.ReadOnly {
		f |= FeatureReadOnly
	} else {
		f |= FeatureDiscard | FeatureWriteZeroes
	}
	if c.Queues > 1 {
		f |= FeatureMultiQueue
	}
	return f
}

// What a request may ask for at most. A larger one takes longer than a guest
// that is to be stopped can be kept waiting.
const (
	segMax            = QueueSize - 2          // buffers of data: header and status take two descriptors
	maxRanges         = 8                      // of a DISCARD; of a WRITE_ZEROES it is 1
	maxDiscardSectors = 128 << 20 / SectorSize // of one range
	maxZeroSectors    = 16 << 20 / SectorSize  // of one range
	physicalBlock     = 4096                   // bytes: what filesystems and disks use
	configSize        = 60                     // bytes
	writebackOffset   = 32                     // of the one field that can be written
)

// space is the configuration space, section 5.2.4.
func (c *Config) space(writeback bool) [configSize]byte {
	var s [configSize]byte
	le := binary.LittleEndian
	le.PutUint64(s[0:], c.Size/SectorSize)
	le.PutUint32(s[12:], segMax)
	le.PutUint32(s[20:], c.BlockSize)
	// Topology: the physical block as a power of two of logical ones, and the best size of a transfer in logical ones.
	perPhysical := max(physicalBlock/c.BlockSize, 1)
	s[24] = byte(bits.TrailingZeros32(perPhysical))
	le.PutUint16(s[26:], uint16(perPhysical))
	if writeback {
		s[writebackOffset] = 1
	}
	le.PutUint16(s[34:], uint16(c.Queues))
	if !c.ReadOnly {
		le.PutUint32(s[36:], maxDiscardSectors)
		le.PutUint32(s[40:], maxRanges)
		le.PutUint32(s[44:], c.BlockSize/SectorSize)
		le.PutUint32(s[48:], maxZeroSectors)
		le.PutUint32(s[52:], 1)
		s[56] = 1 // write-zeroes may unmap
	}
	return s
}
