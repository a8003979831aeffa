package blk

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// A range as a driver describes it, section 5.2.6: a sector, a number of sectors, flags.
const (
	rangeSize = 16 // bytes
	flagUnmap = 1  // a WRITE_ZEROES may give back the room
)

// span is part of an image, in bytes.
type span struct {
	offset, length int64
	unmap          bool
}

// Zeros are written a megabyte at a time, all of it the same small buffer.
const (
	zeroBytes = 64 << 10
	zeroParts = 16
)

// beginRanges begins a DISCARD or WRITE_ZEROES, whose ranges take length bytes.
func (s *server) beginRanges(r *request, length uint64) (more bool, status byte, err error) {
	discard := r.kind == typeDiscard
	feature, most, sectors := FeatureWriteZeroes, uint64(1), uint32(maxZeroSectors)
	if discard {
		feature, most, sectors = FeatureDiscard, maxRanges, maxDiscardSectors
	}
	switch {
	case s.dev.config.ReadOnly:
		return false, statusIOError, nil
	case !s.driver.Has(feature):
		return false, statusUnsupported, nil
	case length == 0 || length%rangeSize != 0 || length/rangeSize > most:
		return false, statusIOError, nil
	}
	var text [maxRanges * rangeSize]byte
	gather(text[:length], r.chain.Readable, headerSize)
	r.pending = r.ranges[:0]
	for p := text[:length]; len(p) > 0; p = p[rangeSize:] {
		first, count, flags := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint32(p[8:]), binary.LittleEndian.Uint32(p[12:])
		if flags&^flagUnmap != 0 || discard && flags != 0 {
			return false, statusUnsupported, nil
		}
		if count > sectors || !s.inside(first, uint64(count)) {
			return false, statusIOError, nil
		}
		if count > 0 {
			r.pending = append(r.pending, span{int64(first * SectorSize), int64(count) * SectorSize, flags&flagUnmap != 0 || discard})
		}
	}
	more, status = s.rangeOp(r)
	return more, status, nil
}

// rangeOp makes r.op of the first range that is not done, by the best means that
// the image has.
func (s *server) rangeOp(r *request) (more bool, status byte) {
	discard := r.kind == typeDiscard
	if discard && s.dev.noDiscard.Load() {
		r.pending = nil // it was only a hint
	}
	if len(r.pending) == 0 {
		return s.finishRanges(r)
	}
	left, op := r.pending[0], &r.op
	op.Offset, op.Length, op.Durable = left.offset, left.length, r.durable
	switch {
	case left.unmap && !s.dev.noDiscard.Load():
		op.Kind = Discard
	case !s.dev.noZero.Load():
		op.Kind = Zero
	default:
		op.Kind = Write
		op.Vec = op.Vec[:0]
		for n := int64(0); n < left.length && len(op.Vec) < zeroParts; n += zeroBytes {
			op.Vec = append(op.Vec, vector(s.dev.zeros[:min(zeroBytes, left.length-n)]))
		}
	}
	return true, 0
}

// nextRange takes the result of rangeOp.
func (s *server) nextRange(r *request, res int32) (more bool, status byte) {
	switch {
	case res == -int32(unix.EOPNOTSUPP) && r.op.Kind == Discard:
		s.dev.noDiscard.Store(true)
	case res == -int32(unix.EOPNOTSUPP) && r.op.Kind == Zero:
		s.dev.noZero.Store(true)
	case res < 0 || res == 0 && r.op.Kind == Write:
		return s.failed(r, res)
	default:
		n := r.op.Length
		if r.op.Kind == Write {
			n = int64(res)
		}
		first := &r.pending[0]
		first.offset, first.length = first.offset+n, first.length-n
		if first.length == 0 {
			r.pending = r.pending[1:]
		}
	}
	return s.rangeOp(r)
}

// finishRanges makes what was done durable if the driver relies on that.
func (s *server) finishRanges(r *request) (more bool, status byte) {
	if !r.durable {
		return false, statusOK
	}
	r.op.Kind = Sync
	return true, 0
}
