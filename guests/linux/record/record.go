// Package record is what the Linux guest's disk writer leaves on a disk: numbered records that tell whether one was
// lost, torn, doubled or put elsewhere. The guest checks them while it writes; who has the image can check it, too.
package record

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
)

// Size of a record in bytes: a page, and a whole number of sectors of every disk.
const Size = 4096

// Errors of Decode. The caller should count both as data lost, unless nothing was written there yet, or was
// being written when the guest was killed.
var (
	ErrEmpty = errors.New("record: nothing but zeros")
	ErrTorn  = errors.New("record: neither a record nor zeros")
)

// A record is, little-endian: magic, number, writer, slots of the writer, a filling that depends on number and
// writer, and the CRC-32C of all before it.
const (
	magic    = 0x44524f4345525246 // "FRRECORD"
	numberAt = 8
	writerAt = 16
	slotsAt  = 20
	bodyAt   = 24
	sumAt    = Size - 4
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Record is one record.
type Record struct {
	Number uint64 // from 1
	Writer uint32
	Slots  uint32 // how many slots the writer has; the record is in slot (Number-1) % Slots
}

// Encode fills the first Size bytes of b.
// Precondition: len(b) >= Size.
func (r Record) Encode(b []byte) {
	le := binary.LittleEndian
	le.PutUint64(b, magic)
	le.PutUint64(b[numberAt:], r.Number)
	le.PutUint32(b[writerAt:], r.Writer)
	le.PutUint32(b[slotsAt:], r.Slots)
	// An xorshift generator: no two records have much in common.
	x := r.Number<<16 ^ uint64(r.Writer) ^ magic
	for at := bodyAt; at+8 <= sumAt; at += 8 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		le.PutUint64(b[at:], x)
	}
	le.PutUint32(b[sumAt-4:], uint32(x))
	le.PutUint32(b[sumAt:], crc32.Checksum(b[:sumAt], castagnoli))
}

// Decode reads the record in the first Size bytes of b. Its errors are ErrEmpty and ErrTorn.
// Precondition: len(b) >= Size.
func Decode(b []byte) (Record, error) {
	b = b[:Size]
	le := binary.LittleEndian
	r := Record{Number: le.Uint64(b[numberAt:]), Writer: le.Uint32(b[writerAt:]), Slots: le.Uint32(b[slotsAt:])}
	switch {
	case empty(b):
		return Record{}, ErrEmpty
	case le.Uint64(b) != magic, le.Uint32(b[sumAt:]) != crc32.Checksum(b[:sumAt], castagnoli), r.Number == 0, r.Slots == 0:
		return Record{}, ErrTorn
	}
	return r, nil
}

func empty(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
