package vsock

// ring is a queue of bytes of fixed room, between one goroutine that adds and one
// that takes. Its methods are called with the device's lock held; what space and
// data return may be used without: nobody else touches it before add and drop.
type ring struct {
	buf         []byte
	head, count int
}

func (r *ring) room() int { return len(r.buf) - r.count }

// space is where n more bytes can be put. Precondition: there is room.
func (r *ring) space(n int) (first, second []byte) {
	return r.cut(r.head+r.count, n)
}

// data is the n oldest bytes. Precondition: there are as many.
func (r *ring) data(n int) (first, second []byte) {
	return r.cut(r.head, n)
}

func (r *ring) cut(at, n int) (first, second []byte) {
	if at >= len(r.buf) {
		at -= len(r.buf)
	}
	first = r.buf[at:min(at+n, len(r.buf))]
	return first, r.buf[:n-len(first)]
}

// add says that n bytes of space were filled.
func (r *ring) add(n int) { r.count += n }

// drop forgets the n oldest bytes.
func (r *ring) drop(n int) {
	if r.head += n; r.head >= len(r.buf) {
		r.head -= len(r.buf)
	}
	r.count -= n
}
