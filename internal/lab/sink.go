package lab

import (
	"errors"
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sink is what the far end of a pump does with what arrives. All but Discard
// put it into fresh pages of a memfd: what the path and the kernel's page allocation together allow, the limit of a migration.
type Sink string

const (
	Discard  Sink = "discard"  // receive into one hot buffer: what the path carries
	Place    Sink = "pwrite"   // receive into one hot buffer, and write that to the file
	Map      Sink = "mapping"  // receive straight into a mapping of the file, whose pages fault in
	Populate Sink = "populate" // likewise, but each piece is faulted in at once ahead (MADV_POPULATE_WRITE)
	Allocate Sink = "allocate" // as Place, into pages that are allocated ahead (fallocate)
	Huge     Sink = "huge"     // as Place, into huge pages that are asked for ahead (MADV_COLLAPSE)
	HugeMap  Sink = "huge map" // as Map, into huge pages that are asked for ahead
)

// Placing are the sinks that place.
var Placing = []Sink{Place, Map, Populate, Allocate, Huge, HugeMap}

// drain is a sink of one stream.
type drain struct {
	sink   Sink
	buffer []byte // hot; nil: received into the mapping
	fd     int    // -1: nothing is placed
	memory []byte
}

func (s Sink) open(pieces uint64) (d drain, err error) {
	d = drain{sink: s, fd: -1}
	if s == Discard || s == Place || s == Allocate || s == Huge {
		d.buffer = make([]byte, pumpPiece)
	}
	if s == Discard {
		return d, nil
	}
	if d.fd, err = unix.MemfdCreate("ferry-pump", unix.MFD_CLOEXEC); err != nil {
		return d, fmt.Errorf("lab: make a memfd to pump into: %w", err)
	}
	if err := unix.Ftruncate(d.fd, int64(pieces*pumpPiece)); err != nil {
		return d, errors.Join(fmt.Errorf("lab: size the memfd to pump into: %w", err), d.close())
	}
	if d.buffer == nil || s == Huge {
		if d.memory, err = mapAligned(d.fd, pieces*pumpPiece); err != nil {
			return d, errors.Join(fmt.Errorf("lab: map the memfd to pump into: %w", err), d.close())
		}
	}
	return d, nil
}

// room is where piece i is to be received.
func (d drain) room(i uint64) ([]byte, error) {
	if d.buffer != nil {
		return d.buffer, nil
	}
	piece := d.memory[i*pumpPiece : (i+1)*pumpPiece]
	switch d.sink {
	case Populate:
		return piece, unix.Madvise(piece, unix.MADV_POPULATE_WRITE)
	case HugeMap:
		return piece, d.thicken(i * pumpPiece)
	}
	return piece, nil
}

// thicken gets a huge page for what begins at one.
func (d drain) thicken(at uint64) error {
	if at%hugePage != 0 || at+hugePage > uint64(len(d.memory)) {
		return nil
	}
	if err := unix.Fallocate(d.fd, 0, int64(at), int64(os.Getpagesize())); err != nil { // one page must be there
		return err
	}
	if err := unix.Madvise(d.memory[at:at+hugePage], unix.MADV_COLLAPSE); err != nil {
		return fmt.Errorf("lab: get a huge page: %w", err)
	}
	return nil
}

// place puts piece i where it belongs.
func (d drain) place(p []byte, i uint64) error {
	if d.buffer == nil || d.fd < 0 {
		return nil
	}
	at := i * pumpPiece
	var err error
	switch d.sink {
	case Allocate:
		err = unix.Fallocate(d.fd, 0, int64(at), pumpPiece)
	case Huge:
		err = d.thicken(at)
	}
	if err == nil {
		_, err = unix.Pwrite(d.fd, p, int64(at))
	}
	return err
}

func (d drain) close() (err error) {
	if d.memory != nil {
		err = unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(d.memory)), uintptr(len(d.memory))) // SAFETY: mapAligned has mapped it, and nobody uses it any more.
	}
	if d.fd >= 0 {
		err = errors.Join(err, unix.Close(d.fd))
	}
	return err
}

// hugePage is the size of a huge page, in bytes.
const hugePage = 2 << 20

// mapAligned maps a file at a multiple of hugePage.
func mapAligned(fd int, size uint64) ([]byte, error) {
	room, err := unix.MmapPtr(-1, 0, nil, uintptr(size+hugePage), unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	if err != nil {
		return nil, err
	}
	// SAFETY: the address is within what was just mapped, where nothing of Go's is; the rest of the room stays, as a guard.
	at := unsafe.Add(room, -uintptr(room)%hugePage)
	at, err = unix.MmapPtr(fd, 0, at, uintptr(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_FIXED)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*byte)(at), size), nil // SAFETY: size bytes are mapped there until close.
}
