package blk

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/virtio"
)

// Types of requests, and what their last byte says of them, section 5.2.6.
const (
	typeIn          = 0
	typeOut         = 1
	typeFlush       = 4
	typeGetID       = 8
	typeDiscard     = 11
	typeWriteZeroes = 13

	statusOK          = 0
	statusIOError     = 1
	statusUnsupported = 2

	headerSize = 16 // bytes: type, a reserved word, sector
)

// request is a request on its way: a chain, and the operations that it takes.
type request struct {
	op    Op
	chain virtio.Chain
	kind  uint32

	// Of a transfer: where in the image it begins, how long it is, how much of it
	// is done; its buffers, and how many bytes of them come before the data.
	offset       int64
	length, done uint64
	data         []virtio.Buffer
	skip         uint64
	bounce       []byte // nil: the guest's memory itself

	// Of DISCARD and WRITE_ZEROES: what is still to be done, first what is left of the first.
	ranges  [maxRanges]span
	pending []span // of ranges

	durable bool // it is done when it is durable
}

// errBounce: the request needs a bounce buffer, and all are in use.
var errBounce = errors.New("no bounce buffer is free")

// begin reads a request that was popped. It says whether there is an operation
// to begin with, r.op, or else what the request's status is. Errors: errBounce,
// and ErrDriver, both of which leave the request as it was.
func (s *server) begin(r *request) (more bool, status byte, err error) {
	in, out := virtio.Len(r.chain.Writable), virtio.Len(r.chain.Readable)
	if in == 0 || in > maxWritable {
		return false, 0, fmt.Errorf("%w: disk %s: %d bytes to be written to, with no place for a status or more than can be told", virtio.ErrDriver, s.dev.config.Name, in)
	}
	in-- // the status
	var header [headerSize]byte
	if gather(header[:], r.chain.Readable, 0) < headerSize {
		r.kind = ^uint32(0)
		return false, statusIOError, nil
	}
	out -= headerSize
	r.kind = binary.LittleEndian.Uint32(header[:])
	sector := binary.LittleEndian.Uint64(header[8:])
	r.durable, r.done, r.length, r.pending = s.durable(), 0, 0, nil
	switch r.kind {
	case typeIn:
		return s.beginTransfer(r, sector, r.chain.Writable, 0, in)
	case typeOut:
		return s.beginTransfer(r, sector, r.chain.Readable, headerSize, out)
	case typeFlush:
		r.op.Kind = Sync
		return true, 0, nil
	case typeGetID:
		scatter(r.chain.Writable, 0, s.dev.serial[:min(IDSize, in)])
		return false, statusOK, nil
	case typeDiscard, typeWriteZeroes:
		return s.beginRanges(r, out)
	}
	return false, statusUnsupported, nil
}

// maxWritable is how many bytes a used entry can tell of.
const maxWritable = 1<<32 - 1

// next takes the result of r.op. It says whether there is another operation, and
// else what the request's status is.
func (s *server) next(r *request) (more bool, status byte) {
	res := r.op.Result
	if res == -int32(unix.EINTR) || res == -int32(unix.EAGAIN) {
		return true, 0 // the same again
	}
	if r.op.Kind == Sync {
		return false, s.synced(r, res)
	}
	if r.kind == typeIn || r.kind == typeOut {
		return s.nextPiece(r, res)
	}
	return s.nextRange(r, res)
}

// synced takes the result of a sync. After one that failed the kernel has
// forgotten what it could not write: no later one can make up for that.
func (s *server) synced(r *request, res int32) byte {
	if res < 0 {
		s.dev.report(&r.op, res)
		s.dev.lost.CompareAndSwap(0, -res)
	}
	if s.dev.lost.Load() != 0 {
		return statusIOError
	}
	return statusOK
}

// failed says that an operation was not carried out.
func (s *server) failed(r *request, res int32) (more bool, status byte) {
	if res == 0 { // nothing is moved at the end of an image that became shorter
		res = -int32(unix.EIO)
	}
	s.dev.report(&r.op, res)
	return false, statusIOError
}

// inside tells whether count sectors from first are part of the disk.
func (s *server) inside(first, count uint64) bool {
	sectors := s.dev.config.Size / SectorSize
	return first <= sectors && count <= sectors-first
}
