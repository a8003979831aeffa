package image

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// SectorSize is the unit of a disk's size, in bytes (VIRTIO 1.2, section 5.2).
const SectorSize = 512

// Kind is what an image is.
type Kind string

const (
	File   Kind = "file"   // a regular file
	Device Kind = "device" // a block device
)

// Image is an open disk image.
type Image struct {
	File *os.File
	Kind Kind
	// Cache is how it was opened.
	Cache Cache
	// Size is how much of it a guest can use, in bytes: a multiple of BlockSize.
	Size uint64
	// BlockSize is what offset and length of each access must be a multiple of, in bytes:
	// a power of two, at least SectorSize.
	BlockSize uint32
	// Alignment is what the addresses of buffers must be a multiple of: a power of
	// two; 1 if any will do.
	Alignment uint32
}

// Open opens the image of a disk, without a lock. The file is closed on exec.
// Errors: *Failure that is ErrUnusable.
func Open(s Spec) (*Image, error) {
	// Looked at before it is opened: opening a pipe would wait, and a device might do something.
	var st unix.Stat_t
	if err := unix.Stat(s.Path, &st); err != nil {
		return nil, cannotOpen(s, err)
	}
	if _, err := kindOf(s.Path, &st); err != nil {
		return nil, err
	}
	if s.Cache == "" {
		s.Cache = CacheNone
		// A guest must find the sectors that it knows on whatever host it is.
		if i, err := open(s); err == nil && (i.Kind == Device || i.BlockSize == SectorSize) {
			return i, nil
		} else if err == nil {
			_ = i.File.Close()
		}
		s.Cache = CacheWriteback
	}
	return open(s)
}

func open(s Spec) (*Image, error) {
	flags := unix.O_RDWR | unix.O_CLOEXEC
	if s.ReadOnly {
		flags = unix.O_RDONLY | unix.O_CLOEXEC
	}
	if s.Cache == CacheNone {
		flags |= unix.O_DIRECT
	}
	fd, err := unix.Open(s.Path, flags, 0)
	if err != nil {
		return nil, cannotOpen(s, err)
	}
	f := os.NewFile(uintptr(fd), s.Path)
	i, err := Inspect(f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	i.Cache = s.Cache
	return i, nil
}

// Inspect tells what an open file is as an image: for who was handed the
// descriptor. Errors: *Failure that is ErrUnusable; then the file stays the caller's.
func Inspect(f *os.File) (*Image, error) {
	fd := int(f.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("disk image %s: %w", f.Name(), err)
	}
	kind, err := kindOf(f.Name(), &st)
	if err != nil {
		return nil, err
	}
	i := &Image{File: f, Kind: kind, Size: uint64(st.Size), BlockSize: SectorSize, Alignment: 1}
	if kind == Device {
		if err := i.askDevice(fd); err != nil {
			return nil, fmt.Errorf("disk image %s: %w", f.Name(), err)
		}
	}
	if flags, err := unix.FcntlInt(f.Fd(), unix.F_GETFL, 0); err != nil {
		return nil, fmt.Errorf("disk image %s: %w", f.Name(), err)
	} else if flags&unix.O_DIRECT != 0 {
		if err := i.askDirect(fd); err != nil {
			return nil, err
		}
	}
	if i.Size < uint64(i.BlockSize) {
		return nil, unusable(fmt.Sprintf("make it larger: truncate -s 10G %s", f.Name()),
			"disk image %s has %d bytes: shorter than a block of %d", f.Name(), i.Size, i.BlockSize)
	}
	i.Size -= i.Size % uint64(i.BlockSize)
	return i, nil
}

// kindOf refuses what is neither a regular file nor a block device.
func kindOf(path string, st *unix.Stat_t) (Kind, error) {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return File, nil
	case unix.S_IFBLK:
		return Device, nil
	case unix.S_IFDIR:
		return "", unusable("name a file in it", "disk image %s is a directory", path)
	default:
		return "", unusable("use a regular file or a block device", "disk image %s is neither a file nor a block device", path)
	}
}

// Requests of <linux/fs.h> that golang.org/x/sys lacks.
const blkGetSize64 = 0x80081272

// Requests are the numbers of all requests that a machine process needs, for a filter of system calls. BLKFLSBUF is not one: it is root's alone.
func Requests() []uint32 { return []uint32{blkGetSize64, unix.BLKSSZGET} }

// askDevice asks a block device for its sizes.
func (i *Image) askDevice(fd int) error {
	size, err := unix.IoctlGetInt(fd, blkGetSize64)
	if err != nil {
		return fmt.Errorf("size: %w", err)
	}
	block, err := unix.IoctlGetUint32(fd, unix.BLKSSZGET)
	if err != nil {
		return fmt.Errorf("block size: %w", err)
	}
	i.Size, i.BlockSize = uint64(size), max(block, SectorSize)
	return nil
}

// pageSize is an alignment that every filesystem and device takes.
const pageSize = 4096

// askDirect asks what direct I/O demands. Kernels before 6.1, and filesystems
// that do not say, get what always works for the addresses.
func (i *Image) askDirect(fd int) error {
	i.Alignment = pageSize
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_DIOALIGN, &st); err != nil || st.Mask&unix.STATX_DIOALIGN == 0 {
		return nil
	}
	if st.Dio_offset_align == 0 {
		return unusable("use cache=writeback, or move the image to another filesystem",
			"disk image %s: its filesystem has no direct I/O", i.File.Name())
	}
	i.BlockSize, i.Alignment = max(st.Dio_offset_align, i.BlockSize), max(st.Dio_mem_align, 1)
	return nil
}
