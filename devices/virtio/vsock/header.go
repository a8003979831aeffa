package vsock

import "encoding/binary"

// op is what a packet is for, section 5.10.6.
type op uint16

const (
	opRequest op = iota + 1
	opResponse
	opReset
	opShutdown
	opData
	opCreditUpdate
	opCreditRequest
)

const (
	typeStream = 1
	hostCID    = 2
	headerSize = 44 // bytes
)

// Flags of a shutdown: what its sender will not do any more.
const (
	noReceive = 1 << iota
	noSend

	noMore = noReceive | noSend
)

// header is what each packet begins with.
type header struct {
	srcCID, dstCID   uint64
	srcPort, dstPort uint32
	size             uint32 // of what follows, in bytes
	kind             uint16 // of socket
	op               op
	flags            uint32
	alloc            uint32 // of the sender's buffer, in bytes
	forwarded        uint32 // bytes that have left that buffer, modulo 2^32
}

func parseHeader(p *[headerSize]byte) header {
	le := binary.LittleEndian
	return header{
		srcCID: le.Uint64(p[0:]), dstCID: le.Uint64(p[8:]),
		srcPort: le.Uint32(p[16:]), dstPort: le.Uint32(p[20:]),
		size: le.Uint32(p[24:]), kind: le.Uint16(p[28:]), op: op(le.Uint16(p[30:])),
		flags: le.Uint32(p[32:]), alloc: le.Uint32(p[36:]), forwarded: le.Uint32(p[40:]),
	}
}

func (h header) put(p *[headerSize]byte) {
	le := binary.LittleEndian
	le.PutUint64(p[0:], h.srcCID)
	le.PutUint64(p[8:], h.dstCID)
	le.PutUint32(p[16:], h.srcPort)
	le.PutUint32(p[20:], h.dstPort)
	le.PutUint32(p[24:], h.size)
	le.PutUint16(p[28:], h.kind)
	le.PutUint16(p[30:], uint16(h.op))
	le.PutUint32(p[32:], h.flags)
	le.PutUint32(p[36:], h.alloc)
	le.PutUint32(p[40:], h.forwarded)
}

// reset is the answer to a packet for which there is no connection.
func (h header) reset() header {
	return header{
		srcCID: h.dstCID, dstCID: h.srcCID, srcPort: h.dstPort, dstPort: h.srcPort,
		kind: h.kind, op: opReset,
	}
}
