// Package record keeps what a target swore about a move: whether it started
// the guest of one commit. The record is what lets a source that lost the link
// learn, from any later process on the target's host, who owns the guest.
//
// A record is one block of a file that is created, sized and synced when the
// move is reserved, so that swearing costs one fdatasync. The states only move
// forward; from Started and Tombstone there is no way on.
//
//	Reserved ──► Started      the guest may have executed here: it is this host's
//	    └──────► Tombstone    this commit will never be started under this folder
package record

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Size of a record in bytes: one sector, so that a torn write is a bad sum.
const Size = 512

const magic = "FERRYREC"

// version of the record's layout.
const version = 1

// State is what the record says.
type State uint32

//go:generate go tool stringer -type=State
const (
	Reserved State = iota + 1
	Started
	Tombstone
	Complete // Started, and all of its memory is here
)

var (
	// ErrCorrupt: the file is no record, or was torn. It proves nothing.
	ErrCorrupt = errors.New("ownership record is damaged")
	// ErrNone: there is no record of that move. It proves nothing.
	ErrNone = errors.New("no ownership record of this move")
	// ErrDecided: the record already says otherwise; the caller must not act.
	ErrDecided = errors.New("the ownership record is already decided")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Record is the content of a record.
type Record struct {
	Move  [16]byte
	Epoch uint64
	State State
}

// Encode lays the record out: magic, version, state, move id, epoch, CRC-32C.
func (r Record) Encode() [Size]byte {
	var b [Size]byte
	copy(b[:], magic)
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint32(b[12:], uint32(r.State))
	copy(b[16:], r.Move[:])
	binary.LittleEndian.PutUint64(b[32:], r.Epoch)
	binary.LittleEndian.PutUint32(b[Size-4:], crc32.Checksum(b[:Size-4], castagnoli))
	return b
}

// Decode reads what Encode wrote. The error is ErrCorrupt.
func Decode(b []byte) (Record, error) {
	var r Record
	if len(b) != Size || string(b[:8]) != magic ||
		binary.LittleEndian.Uint32(b[Size-4:]) != crc32.Checksum(b[:Size-4], castagnoli) {
		return r, ErrCorrupt
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v != version {
		return r, fmt.Errorf("%w: version %d, this vmm knows %d", ErrCorrupt, v, version)
	}
	r.State = State(binary.LittleEndian.Uint32(b[12:]))
	copy(r.Move[:], b[16:])
	r.Epoch = binary.LittleEndian.Uint64(b[32:])
	if r.State < Reserved || r.State > Complete {
		return r, ErrCorrupt
	}
	return r, nil
}

func path(dir string, move [16]byte) string {
	return filepath.Join(dir, hex.EncodeToString(move[:])+".move")
}

// Create makes the record of a move, Reserved and durable, its folder entry
// included. It fails if there is one already: a move id is never used twice.
func Create(dir string, move [16]byte, epoch uint64) (*os.File, error) {
	f, err := os.OpenFile(path(dir, move), os.O_CREATE|os.O_EXCL|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("ownership record: %w", err)
	}
	b := Record{Move: move, Epoch: epoch, State: Reserved}.Encode()
	if _, err = f.WriteAt(b[:], 0); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		f.Close()
		os.Remove(path(dir, move))
		return nil, fmt.Errorf("ownership record: %w", err)
	}
	return f, nil
}

// Decide makes s durable in the record before it returns. ErrDecided if the
// record says something else already.
func Decide(f *os.File, s State) error {
	r, err := Read(f)
	if err != nil {
		return err
	}
	if r.State == s {
		return nil
	}
	if r.State != Reserved && !(r.State == Started && s == Complete) {
		return fmt.Errorf("%w: %v, not %v", ErrDecided, r.State, s)
	}
	r.State = s
	b := r.Encode()
	if _, err := f.WriteAt(b[:], 0); err != nil {
		return fmt.Errorf("ownership record: %w", err)
	}
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("ownership record: %w", err)
		}
	}
}

// Read returns what the record in f says.
func Read(f *os.File) (Record, error) {
	b := make([]byte, Size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return Decode(b)
}

// Find returns what the folder's record of a move says, or ErrNone.
func Find(dir string, move [16]byte) (Record, error) {
	f, err := os.Open(path(dir, move))
	if errors.Is(err, os.ErrNotExist) {
		return Record{}, ErrNone
	}
	if err != nil {
		return Record{}, err
	}
	defer f.Close()
	return Read(f)
}

// Open opens a move's record to decide it, or returns ErrNone.
func Open(dir string, move [16]byte) (*os.File, error) {
	f, err := os.OpenFile(path(dir, move), os.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, ErrNone
	}
	return f, err
}

// Remove forgets a move: only when nobody can ask about it any more.
func Remove(dir string, move [16]byte) error {
	err := os.Remove(path(dir, move))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
