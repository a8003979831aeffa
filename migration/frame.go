package migration

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// frameType says what a frame carries. Values are for ever.
type frameType uint8

//go:generate go tool stringer -type=frameType -trimprefix=frame
const (
	// Control, source to target.
	frameReserve frameType = 1 // reserveMessage
	frameState   frameType = 4 // State
	frameCommit  frameType = 6 // Query: the commit that this is
	frameRelease frameType = 8 // nothing: the source knows that the target runs

	// Control, target to source.
	frameReserved frameType = 2  // reservedMessage
	frameRefused  frameType = 3  // Refusal; the same in every version
	framePrepared frameType = 5  // preparedMessage
	frameRunning  frameType = 7  // runningMessage
	frameRoundAck frameType = 11 // nothing: the round is in place

	// Control, both ways.
	frameAbort frameType = 9  // Refusal
	framePing  frameType = 10 // nothing; answered with flagReply

	// Control, while pages are missing at the target.
	frameMissing frameType = 13 // target to source, after a rejoin: runs that are missing; flagLast
	framePulled  frameType = 14 // target to source: pulledMessage
	frameFetch   frameType = 15 // target to source: nothing; send all that is missing

	// Control, behind a Commit with flagFrames.
	frameFrames    frameType = 16 // source to target: Count packets that came for the guest, see packets.go; none: all that were in time have come
	frameDrained   frameType = 17 // source to target: nothing; there will be no more of them
	frameDelivered frameType = 18 // target to source, behind Running: deliveredMessage; the answer to Drained

	// On a connection with RoleAsk.
	frameAnswer frameType = 12 // answerMessage

	// Bulk.
	framePages    frameType = 20 // run table, then the bytes of its data runs
	frameRoundEnd frameType = 21 // roundTotals, of this connection; on bulk, Count other channels carry some of the round
	frameBlob     frameType = 22 // bytes of the blob with index Count

	frameTaken frameType = 23 // target to source, of pulled pages: nothing; Count bytes are in place

	// Urgent.
	frameWant frameType = 25 // target to source: addresses of pages, u64 each

	// File.
	frameEnd frameType = 30 // streamTotals
)

const (
	flagSummed = 1 << iota // Pages: DataSum is of the pages
	flagFinal              // Pages, RoundEnd: the guest is stopped, no round follows
	flagLast               // Blob: its last bytes. Missing: the last runs
	flagReply              // Ping: answers one
	flagFrames             // Commit: what comes for the guest is forwarded, up to Drained
	flagPacked             // Pages: some of them are packed
)

const (
	headerSize = 32
	magic0     = 0xFE
	magic1     = 0x59

	maxRuns      = 4096      // in one Pages frame
	maxFrameData = 4 << 20   // bytes of pages in one Pages frame
	maxBlobData  = 256 << 10 // bytes in one Blob frame
	maxPullData  = 256 << 10 // bytes of pages in one Pages frame that is pulled
	maxWants     = 256       // pages in one Want frame
)

// limit is the largest payload of a frame type in bytes.
func (t frameType) limit() (uint32, bool) {
	switch t {
	case frameReserve:
		return 4 << 20, true
	case frameState:
		return 64 << 20, true
	case frameReserved, frameRefused, frameAbort:
		return 64 << 10, true
	case framePrepared, frameCommit, frameRunning, framePulled, frameAnswer, frameRoundEnd, frameEnd, frameDelivered:
		return 4 << 10, true
	case frameRelease, frameRoundAck, framePing, frameFetch, frameTaken, frameDrained:
		return 0, true
	case frameFrames:
		return maxFrames, true
	case frameMissing:
		return maxRuns * runSize, true
	case frameWant:
		return maxWants * 8, true
	case framePages:
		return maxRuns*runSize + maxFrameData, true
	case frameBlob:
		return maxBlobData, true
	}
	return 0, false
}

// header precedes every payload. On the wire, little-endian: magic [2], type
// u8, flags u8, round, count, length, the two payload checksums, sequence
// number, all u32, and the CRC-32C of all before it.
type header struct {
	Type   frameType
	Flags  uint8
	Round  uint32 // Pages, RoundEnd, RoundAck
	Count  uint32 // Pages: runs. Blob: its index. Taken: bytes. RoundEnd: other channels
	Length uint32 // of the payload in bytes
	Sum    uint32 // CRC-32C of the payload; of Pages: of the run table
	// DataSum is the CRC-32C of the pages if flagSummed says so. Pages of a
	// running guest have none: they may change while they are sent.
	DataSum uint32
	Seq     uint32 // of the frame on its connection and in its direction, from 0
}

// put writes the header to b, which is headerSize bytes long.
func (h header) put(b []byte) {
	_ = b[headerSize-1]
	b[0], b[1], b[2], b[3] = magic0, magic1, byte(h.Type), h.Flags
	binary.LittleEndian.PutUint32(b[4:], h.Round)
	binary.LittleEndian.PutUint32(b[8:], h.Count)
	binary.LittleEndian.PutUint32(b[12:], h.Length)
	binary.LittleEndian.PutUint32(b[16:], h.Sum)
	binary.LittleEndian.PutUint32(b[20:], h.DataSum)
	binary.LittleEndian.PutUint32(b[24:], h.Seq)
	binary.LittleEndian.PutUint32(b[28:], crc32.Checksum(b[:28], castagnoli))
}

// parseHeader reads a header that is to have the sequence number seq. The
// error is ErrNotFerry if the first frame of a connection is none, else
// ErrCorrupt or ErrProtocol.
func parseHeader(b []byte, seq uint32) (header, error) {
	_ = b[headerSize-1]
	if b[0] != magic0 || b[1] != magic1 {
		if seq == 0 {
			return header{}, ErrNotFerry
		}
		return header{}, fmt.Errorf("%w: no frame after frame %d", ErrCorrupt, seq)
	}
	if binary.LittleEndian.Uint32(b[28:]) != crc32.Checksum(b[:28], castagnoli) {
		return header{}, fmt.Errorf("%w: header of frame %d", ErrCorrupt, seq)
	}
	h := header{
		Type:    frameType(b[2]),
		Flags:   b[3],
		Round:   binary.LittleEndian.Uint32(b[4:]),
		Count:   binary.LittleEndian.Uint32(b[8:]),
		Length:  binary.LittleEndian.Uint32(b[12:]),
		Sum:     binary.LittleEndian.Uint32(b[16:]),
		DataSum: binary.LittleEndian.Uint32(b[20:]),
		Seq:     binary.LittleEndian.Uint32(b[24:]),
	}
	limit, known := h.Type.limit()
	switch {
	case h.Seq != seq:
		return h, fmt.Errorf("%w: frame %d where %d was due", ErrCorrupt, h.Seq, seq)
	case !known:
		return h, fmt.Errorf("%w: frame type %d", ErrProtocol, h.Type)
	case h.Length > limit:
		return h, fmt.Errorf("%w: %v of %d bytes, more than %d", ErrProtocol, h.Type, h.Length, limit)
	case h.Flags&^(flagSummed|flagFinal|flagLast|flagReply|flagFrames|flagPacked) != 0:
		return h, fmt.Errorf("%w: %v with flags %#x", ErrProtocol, h.Type, h.Flags)
	}
	return h, nil
}

// checkSum compares a payload with its checksum.
func (h header) checkSum(payload []byte) error {
	if crc32.Checksum(payload, castagnoli) != h.Sum {
		return fmt.Errorf("%w: %v, frame %d", ErrCorrupt, h.Type, h.Seq)
	}
	return nil
}
