package blk

import "github.com/ferryvmm/ferry/devices/virtio"

// beginTransfer begins an IN or an OUT of length bytes of buffers, from skip on.
func (s *server) beginTransfer(r *request, sector uint64, buffers []virtio.Buffer, skip, length uint64) (more bool, status byte, err error) {
	c := &s.dev.config
	if length%SectorSize != 0 || !s.inside(sector, length/SectorSize) || r.kind == typeOut && c.ReadOnly {
		return false, statusIOError, nil
	}
	if length == 0 {
		return false, statusOK, nil
	}
	if c.Alignment > 1 && !aligned(buffers, skip, length, c.Alignment, c.BlockSize) {
		if r.bounce = s.bounces.take(); r.bounce == nil {
			return false, 0, errBounce
		}
	}
	r.offset, r.length, r.data, r.skip = int64(sector*SectorSize), length, buffers, skip
	s.piece(r)
	return true, 0, nil
}

// piece makes r.op of what is not done of a transfer, or as much of that as fits
// a bounce buffer.
func (s *server) piece(r *request) {
	op, left, skip := &r.op, r.length-r.done, r.skip+r.done
	op.Offset, op.Durable = r.offset+int64(r.done), r.durable
	op.Kind = Read
	if r.kind == typeOut {
		op.Kind = Write
	}
	if r.bounce == nil {
		op.Vec = vectors(op.Vec[:0], r.data, skip, left)
		return
	}
	p := r.bounce[:min(left, uint64(len(r.bounce)))]
	if r.kind == typeOut {
		gather(p, r.data, skip)
	}
	op.Vec = append(op.Vec[:0], vector(p))
}

// nextPiece takes the result of a piece: fewer bytes than asked for are no error.
func (s *server) nextPiece(r *request, res int32) (more bool, status byte) {
	if res <= 0 {
		return s.failed(r, res)
	}
	if r.bounce != nil && r.kind == typeIn {
		scatter(r.data, r.skip+r.done, r.bounce[:res])
	}
	if r.done += uint64(res); r.done == r.length {
		if r.kind == typeIn && s.dev.config.Read != nil {
			s.tell(r)
		}
		return false, statusOK
	}
	s.piece(r)
	return true, 0
}

// tell tells of a read that is complete.
func (s *server) tell(r *request) {
	offset, left := r.offset, r.length
	for _, b := range r.data {
		n := min(uint64(len(b.Bytes)), left)
		s.dev.config.Read(b.GPA, n, offset)
		offset, left = offset+int64(n), left-n
	}
}
