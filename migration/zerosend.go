package migration

import (
	"net"
	"os"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/uring"
)

// write sends parts in order, as many at a time as the ring takes.
func (z *zeroCopy) write(v net.Buffers) (n int64, err error) {
	for len(v) > 0 {
		z.steps, z.parts = z.steps[:0], z.parts[:0]
		for len(v) > 0 {
			taken := z.add(v[0])
			if v[0] = v[0][taken:]; len(v[0]) > 0 {
				if taken > 0 {
					continue
				}
				break // there is no room before what there is has been sent
			}
			v = v[1:]
		}
		for _, s := range z.steps {
			n += int64(s.size)
		}
		if err := z.send(); err != nil {
			for _, s := range z.steps {
				n -= int64(s.size)
				if s.p != nil && s.size > 0 {
					z.table.Release(s.piece)
				}
			}
			return n, &net.OpError{Op: "write", Net: "tcp", Source: z.conn.LocalAddr(), Addr: z.conn.RemoteAddr(), Err: err}
		}
	}
	return n, nil
}

// add makes a part, or its beginning, a step, or adds it to the last, and returns how many bytes it took: 0 if there is no room.
func (z *zeroCopy) add(p []byte) int {
	if len(p) == 0 || len(z.steps) == cap(z.steps) || len(z.parts) == cap(z.parts) {
		return 0
	}
	if piece, ok := z.acquire(p); ok {
		p = p[:piece.Length]
		z.steps = append(z.steps, zeroStep{p: p, piece: piece, size: len(p)})
		return len(p)
	}
	z.parts = append(z.parts, p)
	at := len(z.parts)
	if n := len(z.steps); n > 0 && z.steps[n-1].p == nil && len(z.steps[n-1].parts) < zeroIovecs {
		s := &z.steps[n-1]
		s.parts, s.size = z.parts[at-1-len(s.parts):at], s.size+len(p)
		return len(p)
	}
	z.steps = append(z.steps, zeroStep{parts: z.parts[at-1 : at], size: len(p)})
	return len(p)
}

// acquire has the beginning of a part sent from where it is, if that is possible and worth it.
func (z *zeroCopy) acquire(p []byte) (guestmem.Piece, bool) {
	limit := uint64(zeroExtent)
	if !z.known {
		limit = zeroTrial - min(z.tried, zeroTrial)
		p = p[:min(uint64(len(p)), limit)]
	}
	if len(p) < zeroLeast || z.off.Load() {
		return guestmem.Piece{}, false
	}
	piece, ok, err := z.table.Acquire(p, limit)
	if err != nil {
		z.fall(z.reason(err))
	}
	if ok {
		z.tried += uint64(len(p))
	}
	return piece, ok
}

// send sends the steps. A socket takes what it has room for: the rest follows once there is more.
func (z *zeroCopy) send() error {
	full := false
	for i := 0; i < len(z.steps); {
		for z.steps[i].p != nil && len(z.free) == 0 {
			if z.over.Load() {
				return os.ErrDeadlineExceeded
			}
			if err := z.enter(); err != nil {
				return err
			}
		}
		pending := z.submit(i, full)
		for pending > 0 {
			if err := z.ring.Enter(true); err != nil {
				return err
			}
			pending -= z.reap()
		}
		for full = false; i < len(z.steps) && !full; {
			s := &z.steps[i]
			if errno := unix.Errno(-s.result); s.result < 0 && errno != unix.EAGAIN && errno != unix.EINTR && errno != unix.ECANCELED {
				return os.NewSyscallError("send", errno)
			}
			s.take(int(max(s.result, 0)))
			s.result = -int32(unix.ECANCELED)
			if full = s.size > 0; !full {
				if s.p != nil {
					z.table.Release(s.piece)
				}
				i++
			}
		}
	}
	return nil
}

// submit prepares a chain of the steps from i on, behind room in the socket if that is full, and returns how many completions will come.
func (z *zeroCopy) submit(i int, full bool) (pending int) {
	room, fly, end := z.ring.Room(), len(z.free), i
	if full {
		z.ring.Writable(zeroWritable, z.fd, true)
		room--
		pending++
	}
	for end < len(z.steps) && room > 0 && (z.steps[end].p == nil || fly > 0) {
		if z.steps[end].p != nil {
			fly--
		}
		room--
		end++
	}
	z.iovecs = z.iovecs[:0]
	for k := i; k < end; k++ {
		s, linked := &z.steps[k], k+1 < end
		s.result = -int32(unix.ECANCELED)
		pending++
		if s.p == nil {
			from := len(z.iovecs)
			for _, p := range s.parts {
				z.iovecs = append(z.iovecs, unix.Iovec{Base: &p[0]})
				z.iovecs[len(z.iovecs)-1].SetLen(len(p))
			}
			h := &z.headers[k]
			*h = unix.Msghdr{Iov: &z.iovecs[from]}
			h.SetIovlen(len(s.parts))
			z.ring.Sendmsg(zeroCopied|uint64(k), z.fd, h, linked)
			continue
		}
		f := z.free[len(z.free)-1]
		z.free = z.free[:len(z.free)-1]
		z.flights[f] = zeroFlight{piece: s.piece, step: k}
		z.table.Hold(s.piece)
		z.ring.SendFixed(uint64(f), z.fd, s.piece.Key, s.p, linked)
	}
	return pending
}

// take notes that n bytes of a step have been sent.
func (s *zeroStep) take(n int) {
	s.size -= n
	if s.p != nil {
		s.p = s.p[n:]
		return
	}
	for n > 0 {
		if n < len(s.parts[0]) {
			s.parts[0] = s.parts[0][n:]
			return
		}
		n -= len(s.parts[0])
		s.parts = s.parts[1:]
	}
}

// enter waits for a completion of any kind while nothing is being submitted.
func (z *zeroCopy) enter() error {
	err := z.ring.Enter(true)
	z.reap()
	return err
}

// reap takes the completions that have come, and returns how many of them end a submission.
func (z *zeroCopy) reap() (ended int) {
	for c, ok := z.ring.Next(); ok; c, ok = z.ring.Next() {
		switch {
		case c.Token == zeroWake:
		case c.Token == zeroWritable:
			ended++
		case c.Token&zeroCopied != 0:
			ended++
			z.steps[c.Token&(zeroCopied-1)].result = c.Result
		default:
			f := &z.flights[c.Token]
			if !c.Notify {
				ended++
				f.sent = int(max(c.Result, 0))
				z.steps[f.step].result = c.Result
			}
			if !c.More {
				z.land(uint16(c.Token), c.Result == uring.Copied)
			}
		}
	}
	return ended
}

// land notes that the kernel does not read what a flight has sent any more, and whether it had made a copy.
func (z *zeroCopy) land(flight uint16, copied bool) {
	f := &z.flights[flight]
	z.table.Release(f.piece)
	z.registered.Add(uint64(f.sent))
	z.free = append(z.free, flight)
	switch {
	case f.sent == 0:
	case !copied:
		z.sent.Add(uint64(f.sent))
		z.known = true
	case !z.known:
		z.fall("the kernel copies it all the same, as it does over loopback and veth")
	}
}

// settleAll waits until nothing is read any more.
func (z *zeroCopy) settleAll() {
	for z.table != nil && len(z.free) < zeroFlying && !z.over.Load() {
		if z.enter() != nil {
			return
		}
	}
}
