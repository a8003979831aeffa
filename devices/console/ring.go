package console

// ring is a queue of bytes of fixed room. It is as large as it may get from the
// start, so that a vCPU's thread allocates nothing; pages of it that were never
// used cost no memory, and an empty ring starts over at the front.
type ring struct {
	buf         []byte
	head, count int
}

func newRing(size int) ring { return ring{buf: make([]byte, size)} }

// put adds a byte, and tells whether the oldest was lost for it.
func (r *ring) put(b byte) (lost bool) {
	if r.count == len(r.buf) {
		r.head = (r.head + 1) % len(r.buf)
		r.count--
		lost = true
	}
	r.buf[(r.head+r.count)%len(r.buf)] = b
	r.count++
	return lost
}

// room is how many bytes fit without losing any.
func (r *ring) room() int { return len(r.buf) - r.count }

// peek copies the oldest bytes to p and returns how many.
func (r *ring) peek(p []byte) int {
	n := copy(p, r.buf[r.head:min(r.head+r.count, len(r.buf))])
	if n < r.count && r.head+n == len(r.buf) {
		n += copy(p[n:], r.buf[:r.count-n])
	}
	return n
}

// parts is the content, oldest first, where it lies.
func (r *ring) parts() (first, second []byte) {
	first = r.buf[r.head:min(r.head+r.count, len(r.buf))]
	return first, r.buf[:r.count-len(first)]
}

// drop forgets the n oldest bytes. Precondition: there are as many.
func (r *ring) drop(n int) {
	r.head = (r.head + n) % len(r.buf)
	if r.count -= n; r.count == 0 {
		r.head = 0
	}
}
