package pack

import (
	"fmt"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
)

// MaxBlock is the most that is compressed as one, in bytes: 32 pages. More would compress a little better, and cost more cache.
const MaxBlock = 32 * pageSize

// Codec is a way to pack pages. Values are for ever.
type Codec uint8

//go:generate go tool stringer -type=Codec -linecomment
const (
	Raw   Codec = iota // raw
	Words              // words
	Delta              // delta
	S2                 // s2
	Zstd               // zstd
	// Copy is the address of another page, and its Print.
	Copy // copy
	// Image is the address of a page of a disk image that both hosts have, and its Print.
	Image // image

	Codecs = iota // their number
)

// Packer compresses blocks. One goroutine uses it. What a codec needs is allocated with its first block, and nothing afterwards.
// The zero value is ready.
type Packer struct{ zstd *zstd.Encoder }

// Append appends a block compressed by S2 or Zstd. It is false, with nothing appended, if that is not smaller by an eighth.
// The block must not change meanwhile.
//
// Precondition: the block has at most MaxBlock bytes, dst has room for MaxPacked.
func (p *Packer) Append(dst []byte, c Codec, block []byte) ([]byte, bool) {
	var out []byte
	start := len(dst)
	if c == S2 {
		out = s2.Encode(dst[start:start+MaxPacked], block)
	} else {
		if p.zstd == nil {
			p.zstd = newZstd()
		}
		out = p.zstd.EncodeAll(block, dst[start:start:start+MaxPacked])
	}
	if len(out) > len(block)-len(block)/8 {
		return dst, false
	}
	return dst[:start+len(out)], true
}

// MaxPacked is the most that compressing a block may take while it goes on, in bytes.
const MaxPacked = MaxBlock + MaxBlock/4

func newZstd() *zstd.Encoder {
	e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(MaxBlock),
		zstd.WithLowerEncoderMem(true), zstd.WithAllLitEntropyCompression(true), zstd.WithEncoderCRC(false), zstd.WithSingleSegment(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return e
}

// Unpacker is the opposite of a Packer. The zero value is ready.
type Unpacker struct{ zstd *zstd.Decoder }

// Expand fills dst with the block that was compressed. The error is ErrDamaged; dst is then of no use.
//
// Precondition: dst has the length of the block.
func (u *Unpacker) Expand(dst []byte, c Codec, src []byte) error {
	switch c {
	case S2:
		if n, err := s2.DecodedLen(src); err != nil || n != len(dst) {
			return fmt.Errorf("%w: s2: %d bytes; want %d (%v)", ErrDamaged, n, len(dst), err)
		}
		if _, err := s2.Decode(dst, src); err != nil {
			return fmt.Errorf("%w: s2: %w", ErrDamaged, err)
		}
		return nil
	case Zstd:
		if u.zstd == nil {
			u.zstd = newUnzstd()
		}
		got, err := u.zstd.DecodeAll(src, dst[:0:len(dst)])
		if err != nil || len(got) != len(dst) {
			return fmt.Errorf("%w: zstd: %d bytes; want %d (%v)", ErrDamaged, len(got), len(dst), err)
		}
		return nil
	}
	return fmt.Errorf("%w: codec %d", ErrDamaged, c)
}

func newUnzstd() *zstd.Decoder {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(MaxBlock), zstd.WithDecoderMaxWindow(MaxBlock),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderLowmem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
}

// Close gives back what a codec needed.
func (u *Unpacker) Close() {
	if u.zstd != nil {
		u.zstd.Close()
		u.zstd = nil
	}
}
