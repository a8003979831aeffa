package migration

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/ferryvmm/ferry/internal/sealed"
)

// The protocol versions that this vmm speaks.
const (
	VersionMin = 1
	VersionMax = 4 // 2: pages after the commit (pull). 3: packets after the commit. 4: channels beside bulk, packed pages

	versionFrames   = 3 // from which on packets are forwarded
	versionChannels = 4 // from which on there are channels beside bulk
	versionPacked   = 4 // from which on a target says which codecs it unpacks
)

// HelloSize is the length of a Hello on the wire, in every version.
const HelloSize = 64

const helloMagic = "FERRYMIG"

// Role is what a connection is for.
type Role uint8

//go:generate go tool stringer -type=Role -trimprefix=Role
const (
	RoleControl Role = iota + 1
	RoleBulk
	RoleAsk
	RoleUrgent  // pages that the guest waits for at its target
	RoleRejoin  // a control connection anew, while pages are missing at the target
	RoleBereave // the source's supervisor: its machine is dead; answered like an ask
	RoleChannel // carries pages of the push beside bulk
)

// Hello is the first thing on every connection, said by the side that dialled.
type Hello struct {
	VersionMin, VersionMax uint16 // what the dialler speaks
	Role                   Role
	Move                   MoveID
	Epoch                  uint64
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// EncodeHello lays a hello out, little-endian: magic [8], min and max version
// u16, role u8, zeros [3], move [16], epoch u64, zeros up to the CRC-32C of
// all before it in the last four bytes.
func EncodeHello(h Hello) [HelloSize]byte {
	var b [HelloSize]byte
	copy(b[:], helloMagic)
	binary.LittleEndian.PutUint16(b[8:], h.VersionMin)
	binary.LittleEndian.PutUint16(b[10:], h.VersionMax)
	b[12] = byte(h.Role)
	copy(b[16:], h.Move[:])
	binary.LittleEndian.PutUint64(b[32:], h.Epoch)
	binary.LittleEndian.PutUint32(b[HelloSize-4:], crc32.Checksum(b[:HelloSize-4], castagnoli))
	return b
}

// DecodeHello reads what EncodeHello wrote. The error is ErrNotFerry,
// ErrCorrupt, ErrVersion or ErrProtocol (an unknown role). With ErrVersion the
// hello is valid otherwise; answer it with Refuse, so that the peer learns why.
func DecodeHello(b []byte) (Hello, error) {
	if len(b) < len(helloMagic) || string(b[:len(helloMagic)]) != helloMagic {
		return Hello{}, ErrNotFerry
	}
	if len(b) != HelloSize {
		return Hello{}, fmt.Errorf("%w: a hello of %d bytes", ErrTruncated, len(b))
	}
	if binary.LittleEndian.Uint32(b[HelloSize-4:]) != crc32.Checksum(b[:HelloSize-4], castagnoli) {
		return Hello{}, fmt.Errorf("%w: hello", ErrCorrupt)
	}
	h := Hello{
		VersionMin: binary.LittleEndian.Uint16(b[8:]),
		VersionMax: binary.LittleEndian.Uint16(b[10:]),
		Role:       Role(b[12]),
		Move:       MoveID(b[16:32]),
		Epoch:      binary.LittleEndian.Uint64(b[32:]),
	}
	if _, err := h.Version(); err != nil {
		return h, err
	}
	if h.Role < RoleControl || h.Role > RoleProbe {
		return h, fmt.Errorf("%w: role %d", ErrProtocol, h.Role)
	}
	return h, nil
}

// Version is the version to speak: the highest that both know. The error is a
// *VersionError.
func (h Hello) Version() (uint16, error) {
	v := min(h.VersionMax, VersionMax)
	if h.VersionMin > h.VersionMax || v < h.VersionMin || v < VersionMin {
		return 0, &VersionError{TheirMin: h.VersionMin, TheirMax: h.VersionMax, OurMin: VersionMin, OurMax: VersionMax}
	}
	return v, nil
}

// ReadHello reads the hello of an accepted connection, and not a byte more. The
// caller sets a deadline: a peer may say nothing. Errors are ErrEncrypted, those of
// DecodeHello and of r.
func ReadHello(r io.Reader) (Hello, error) {
	var b [HelloSize]byte
	// The magic first: something else may wait for an answer after a short line.
	if _, err := io.ReadFull(r, b[:len(helloMagic)]); err != nil {
		return Hello{}, shortHello(err)
	}
	if sealed.Begins(b[:]) {
		return Hello{}, ErrEncrypted
	}
	if string(b[:len(helloMagic)]) != helloMagic {
		return Hello{}, ErrNotFerry
	}
	if _, err := io.ReadFull(r, b[len(helloMagic):]); err != nil {
		return Hello{}, shortHello(err)
	}
	return DecodeHello(b[:])
}

func shortHello(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: hello", ErrTruncated)
	}
	return fmt.Errorf("hello: %w", err)
}
