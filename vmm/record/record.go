// Package record keeps what became of a move: who owns the guest of one commit.
// It is what lets a source that lost the link learn, from any later process on
// the target's host, who owns the guest; and what lets a later process on the
// source's host know what that source had learnt.
//
// A record is one block of a file that is created, sized and synced when the
// move begins, so that deciding costs one fdatasync. The states only move
// forward, under a lock on the file: whoever decides first has decided for all
// who see the file, on this host or, on shared storage, on the other.
//
//	Reserved ──► Started ──► Complete ──► Ended    the target may have executed the guest: it is the target's
//	    └──────► Tombstone                         this commit will never be started: the guest is the source's
package record

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"

	"golang.org/x/sys/unix"
)

// Size of a record in bytes: one sector, so that a torn write is a bad sum.
const Size = 512

const magic = "FERRYREC"

// version of the record's layout. Records of version 1 end behind the epoch,
// with zeros, and so read as of this version.
const version = 2

// Where the fields are. Name and address are behind their lengths, in bytes.
const (
	maxName    = 64
	maxAddress = 320
	// MaxPlace is how long address and TLS of a record may be together, in bytes.
	MaxPlace  = Size - 4 - (addressAt + 2) - 2
	byAt      = 40
	flagsAt   = 41
	nameAt    = 42
	addressAt = nameAt + 1 + maxName
)

const flagHanded = 1

// State is what the record says.
type State uint32

//go:generate go tool stringer -type=State
const (
	Reserved State = iota + 1
	Started
	Tombstone
	Complete // Started, and all of its memory is here
	// Ended is Started of a guest that came to its end, or moved on, in order:
	// without it a guest whose processes are gone was killed.
	Ended
)

// By is on whose word it was decided.
type By uint8

//go:generate go tool stringer -type=By -linecomment
const (
	ByTarget By = iota // the target
	ByFence            // a fencing hook
	ByPerson           // a person
)

var (
	// ErrCorrupt: the file is no record, or was torn. It proves nothing.
	ErrCorrupt = errors.New("ownership record is damaged")
	// ErrNone: there is no record of that move. It proves nothing.
	ErrNone = errors.New("no ownership record of this move")
	// ErrDecided: the record already says otherwise; the caller must not act.
	ErrDecided = errors.New("the ownership record is already decided")
	// ErrBusy: somebody else keeps the record locked. It proves nothing; try again.
	ErrBusy = errors.New("the ownership record is locked")
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Record is the content of a record.
type Record struct {
	Move  [16]byte
	Epoch uint64
	State State
	By    By
	// Handed: the guest was stopped to be handed over, and a commit may have
	// left. Only a source's record has it.
	Handed bool
	// Name of the guest at this host, at most 64 bytes; empty while not known.
	Name string
	// Address at which the target is asked, at most 320 bytes: tcp:HOST:PORT.
	Address string
	// TLS is the folder of the identity by which the target is asked, empty: it is asked without. Only a source's record has it. Address
	// and TLS have at most MaxPlace bytes together.
	TLS string
}

// Decided says whether the record names an owner.
func (r Record) Decided() bool { return r.State != Reserved }

// Started says whether the target may have executed the guest.
func (r Record) Started() bool { return r.State == Started || r.State == Complete || r.State == Ended }

// Encode lays the record out: magic, version, state, move id, epoch, by, flags,
// name, address, folder for TLS, CRC-32C. What is too long is cut; of a folder nothing is left then.
func (r Record) Encode() [Size]byte {
	var b [Size]byte
	copy(b[:], magic)
	binary.LittleEndian.PutUint32(b[8:], version)
	binary.LittleEndian.PutUint32(b[12:], uint32(r.State))
	copy(b[16:], r.Move[:])
	binary.LittleEndian.PutUint64(b[32:], r.Epoch)
	b[byAt] = byte(r.By)
	if r.Handed {
		b[flagsAt] = flagHanded
	}
	b[nameAt] = byte(copy(b[nameAt+1:nameAt+1+maxName], r.Name))
	n := copy(b[addressAt+2:addressAt+2+maxAddress], r.Address)
	binary.LittleEndian.PutUint16(b[addressAt:], uint16(n))
	if tls := b[addressAt+2+n : Size-4]; len(r.TLS) <= len(tls)-2 {
		binary.LittleEndian.PutUint16(tls, uint16(copy(tls[2:], r.TLS)))
	}
	binary.LittleEndian.PutUint32(b[Size-4:], crc32.Checksum(b[:Size-4], castagnoli))
	return b
}

// Decode reads what Encode wrote, or an older version did. The error is
// ErrCorrupt.
func Decode(b []byte) (Record, error) {
	var r Record
	if len(b) != Size || string(b[:8]) != magic ||
		binary.LittleEndian.Uint32(b[Size-4:]) != crc32.Checksum(b[:Size-4], castagnoli) {
		return r, ErrCorrupt
	}
	if v := binary.LittleEndian.Uint32(b[8:]); v < 1 || v > version {
		return r, fmt.Errorf("%w: version %d, this vmm knows 1 to %d", ErrCorrupt, v, version)
	}
	name, address := int(b[nameAt]), int(binary.LittleEndian.Uint16(b[addressAt:]))
	r.State, r.By = State(binary.LittleEndian.Uint32(b[12:])), By(b[byAt])
	if r.State < Reserved || r.State > Ended || r.By > ByPerson || b[flagsAt] > flagHanded || name > maxName || address > maxAddress {
		return Record{}, ErrCorrupt
	}
	copy(r.Move[:], b[16:])
	r.Epoch = binary.LittleEndian.Uint64(b[32:])
	r.Handed = b[flagsAt] == flagHanded
	r.Name = string(b[nameAt+1 : nameAt+1+name])
	r.Address = string(b[addressAt+2 : addressAt+2+address])
	tls := b[addressAt+2+address : Size-4] // zeros in a record of before there was any
	n := int(binary.LittleEndian.Uint16(tls))
	if n > len(tls)-2 {
		return Record{}, ErrCorrupt
	}
	r.TLS = string(tls[2 : 2+n])
	return r, nil
}

// Read returns what the record in f says.
func Read(f *os.File) (Record, error) {
	b := make([]byte, Size)
	if _, err := f.ReadAt(b, 0); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return Decode(b)
}

// Decide makes s durable in the record before it returns. ErrDecided if the
// record says something else already, ErrBusy if it is locked for long.
func Decide(f *os.File, s State, by By) error { return decide(f, s, by, unix.Fdatasync) }

// Note is Decide for who looks at the record after a kill, not after a power cut:
// it is not synced.
func Note(f *os.File, s State, by By) error {
	return decide(f, s, by, func(int) error { return nil })
}

func decide(f *os.File, s State, by By, sync func(fd int) error) error {
	return change(f, func(r *Record) error {
		switch {
		case r.State == s, s == Started && r.Started(), s == Complete && r.State == Ended:
			return errSame
		case r.State == Reserved && (s == Started || s == Tombstone), r.Started() && (s == Complete || s == Ended):
			r.State, r.By = s, by
			return nil
		}
		return fmt.Errorf("%w: %v, not %v", ErrDecided, r.State, s)
	}, sync)
}

// Describe adds whose guest it is, and where the target is asked; durable
// before it returns.
func Describe(f *os.File, name, address string) error {
	return change(f, func(r *Record) error {
		r.Name, r.Address = name, address
		return nil
	}, unix.Fdatasync)
}

// Hand notes whether a commit may have left. It is for who looks at the record
// after a kill, not after a power cut: it is not synced.
func Hand(f *os.File, handed bool) error {
	return change(f, func(r *Record) error {
		r.Handed = handed
		return nil
	}, func(int) error { return nil })
}

// errSame ends a change that is none.
var errSame = errors.New("nothing changes")

// change edits the record in f while it is locked.
func change(f *os.File, edit func(*Record) error, sync func(fd int) error) error {
	if err := lock(f); err != nil {
		return err
	}
	defer unlock(f)
	r, err := Read(f)
	if err != nil {
		return err
	}
	switch err := edit(&r); {
	case errors.Is(err, errSame):
		return nil
	case err != nil:
		return err
	}
	b := r.Encode()
	if _, err := f.WriteAt(b[:], 0); err != nil {
		return fmt.Errorf("ownership record: %w", err)
	}
	for {
		err := sync(int(f.Fd()))
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("ownership record: %w", err)
		}
	}
}
