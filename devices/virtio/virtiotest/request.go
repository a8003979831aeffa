package virtiotest

import "bytes"

// Span is a piece of guest memory.
type Span struct{ GPA, Size uint64 }

// Request is a chain of buffers on its way through a device.
type Request struct {
	Done    bool
	Used    uint32 // how much the device says that it wrote
	Written []byte // the first Used bytes of the buffers that it could write; a copy

	q       *Queue
	out, in []Span
	owned   []Span // to be freed
	ids     []uint16
	head    uint16
	checked bool // what is to be written was filled
}

// In are the buffers that the device can write.
func (r *Request) In() []Span { return r.in }

// finish takes a request that the device has used, and checks what it did.
func (r *Request) finish(used uint32) {
	t, mem := r.q.d.t, r.q.d.mem
	t.Helper()
	r.Done, r.Used = true, used
	left := uint64(used)
	for i, s := range r.in {
		n := min(left, s.Size)
		left -= n
		b := mem.Bytes(s.GPA, s.Size)
		r.Written = append(r.Written, b[:n]...)
		if r.q.d.o.Unchecked || s.Size == 0 {
			continue
		}
		if n > 0 && !mem.Dirty(s.GPA, n) {
			t.Errorf("queue %d: buffer %d: of the %d bytes written not all were marked dirty before the used index moved", r.q.index, i, n)
		}
		if r.checked && !bytes.Equal(b[n:], filling(len(b))[n:]) && !mem.Dirty(s.GPA+n, s.Size-n) {
			t.Errorf("queue %d: buffer %d: bytes behind the %d that the device says it wrote have changed, not marked dirty", r.q.index, i, n)
		}
	}
	if left > 0 {
		t.Errorf("queue %d: used length: got %d; want at most %d, which is all that could be written", r.q.index, used, uint64(used)-left)
	}
	r.release()
}

// release frees the buffers.
func (r *Request) release() {
	for _, s := range r.owned {
		r.q.d.mem.Free(s.GPA, s.Size)
	}
	r.owned = nil
}

// fill is what is in buffers that the device has not written.
func fill(p []byte) {
	for i := range p {
		p[i] = byte(i*7) ^ 0xa5
	}
}

func filling(n int) []byte {
	p := make([]byte, n)
	fill(p)
	return p
}
