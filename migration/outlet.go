package migration

import (
	"hash/crc32"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// outlet writes frames in order to one connection, or to a file.
type outlet struct {
	mu   sync.Mutex // guards all below but sent
	w    io.Writer
	head []byte // header and small payload of the frame being written
	seq  uint32
	bufs net.Buffers // backing of the vectors, kept between writes
	vec  net.Buffers // what is left of bufs; a field so that it does not escape anew
	file *fileSums   // nil on a connection

	sent atomic.Uint64 // bytes written
}

// fileSums is what an outlet to a file keeps for the trailer. Pages of a
// running guest are copied before they are summed and written, or the sum
// could be of other bytes than the file's.
type fileSums struct {
	stable []byte
	sum    uint32
}

// buffersWriter is what writes several parts in one go by a way of its own.
type buffersWriter interface {
	WriteBuffers(net.Buffers) (int64, error)
}

func newOutlet(w io.Writer) *outlet {
	return &outlet{w: w, head: make([]byte, 0, 3*headerSize+maxRuns*runSize)}
}

func newFileOutlet(w io.Writer) *outlet {
	o := newOutlet(w)
	o.file = &fileSums{stable: make([]byte, 0, 1<<20)}
	return o
}

// through has all that follows written to w.
func (o *outlet) through(w io.Writer) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.w = w
}

// frame writes one frame whose payload is small: header and payload go in one write.
func (o *outlet) frame(h header, payload []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.head = o.head[:0]
	o.put(h, payload)
	return o.write(nil, nil)
}

// message writes one frame with a CBOR payload.
func (o *outlet) message(h header, v any) error {
	payload, err := canonical.Marshal(v)
	if err != nil {
		return err
	}
	return o.frame(h, payload)
}

// pagesFrame writes a Pages frame, whose Length and DataSum the caller has set,
// and behind it, in the same write, the small frame end if that is not nil.
func (o *outlet) pagesFrame(h header, table []byte, data [][]byte, end *header, endPayload []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.head = o.head[:0]
	o.put(h, table)
	split := len(o.head)
	if end != nil {
		o.put(*end, endPayload)
	}
	all := o.head
	o.head = all[:split]
	return o.write(data, all[split:])
}

// put appends a frame with the next sequence number to head: a header, whose
// Length it sets if that is 0, and the summed payload. The caller holds mu.
func (o *outlet) put(h header, payload []byte) {
	h.Seq = o.seq
	o.seq++
	if h.Length == 0 {
		h.Length = uint32(len(payload))
	}
	h.Sum = crc32.Checksum(payload, castagnoli)
	n := len(o.head)
	o.head = append(o.head, zeroHeader[:]...)
	h.put(o.head[n:])
	o.head = append(o.head, payload...)
}

var zeroHeader [headerSize]byte

// write writes head, data and tail. The caller holds mu.
func (o *outlet) write(data [][]byte, tail []byte) error {
	if o.file != nil {
		return o.writeFile(data, tail)
	}
	o.bufs = append(append(o.bufs[:0], o.head), data...)
	if len(tail) > 0 {
		o.bufs = append(o.bufs, tail)
	}
	o.vec = o.bufs
	var all uint64
	for _, b := range o.bufs {
		all += uint64(len(b))
	}
	o.sent.Add(all) // before: with the last of them the move may be over
	var n int64
	var err error
	if w, ok := o.w.(buffersWriter); ok {
		n, err = w.WriteBuffers(o.vec)
	} else {
		n, err = o.vec.WriteTo(o.w)
	}
	o.sent.Add(uint64(n) - all) // what was not written
	return err
}

// writeFile copies what is written: pages change while a guest runs. The caller
// holds mu.
func (o *outlet) writeFile(data [][]byte, tail []byte) error {
	if err := o.raw(o.head); err != nil {
		return err
	}
	for _, v := range data {
		if err := o.raw(v); err != nil {
			return err
		}
	}
	return o.raw(tail)
}

// raw buffers bytes for a file and sums the copy. The caller holds mu, or
// nobody else uses the outlet yet.
func (o *outlet) raw(b []byte) error {
	f := o.file
	for len(b) > 0 {
		n := min(len(b), cap(f.stable)-len(f.stable))
		from := len(f.stable)
		f.stable = append(f.stable, b[:n]...)
		f.sum = crc32.Update(f.sum, castagnoli, f.stable[from:])
		b = b[n:]
		if len(f.stable) == cap(f.stable) {
			if err := o.flush(); err != nil {
				return err
			}
		}
	}
	return nil
}

// flush writes to the file what is buffered. The caller is as for raw.
func (o *outlet) flush() error {
	n, err := o.w.Write(o.file.stable)
	o.file.stable = o.file.stable[:0]
	o.sent.Add(uint64(n))
	return err
}

// hello writes the first bytes of a connection.
func (o *outlet) hello(h Hello) error {
	b := EncodeHello(h)
	o.mu.Lock()
	defer o.mu.Unlock()
	n, err := o.w.Write(b[:])
	o.sent.Add(uint64(n))
	return err
}
