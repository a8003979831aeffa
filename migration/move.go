package migration

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"

	"github.com/fxamacker/cbor/v2"

	"github.com/ferryvmm/ferry/guestmem"
)

// Mode is how a guest's memory is moved.
type Mode string

const (
	// StopCopy pauses the guest first, then sends everything.
	StopCopy Mode = "stopcopy"
	// Precopy sends memory in rounds while the guest runs, and pauses it for the last.
	Precopy Mode = "precopy"
)

// ParseMode returns the mode of that name.
func ParseMode(s string) (Mode, error) {
	switch m := Mode(s); m {
	case StopCopy, Precopy:
		return m, nil
	}
	return "", fmt.Errorf("unknown migration mode %q", s)
}

// MoveID names one move for ever. It is drawn at random for each attempt.
type MoveID [16]byte

// NewMoveID draws an id.
func NewMoveID() MoveID {
	var m MoveID
	rand.Read(m[:]) // never fails: crypto/rand ends the process instead
	return m
}

func (m MoveID) String() string { return hex.EncodeToString(m[:]) }

// Description is what a target must know to build the guest, and to refuse it.
type Description struct {
	Name          string          // of the guest at the source
	MemoryBytes   uint64          // as configured; the sum of Layout
	Layout        guestmem.Layout // of guest memory
	ResidentBytes uint64          // data in the source's memory when the move started
	Plan          cbor.RawMessage // for Host alone: devices, CPUID, whatever else building needs
	Blobs         []BlobInfo      // files that belong to the guest
	Modes         []Mode          // the algorithms that the source can use; Send fills it in
	Keep          bool            // a copy is made: the guest goes on at the source
}

// BlobInfo describes a file that belongs to the guest, such as its kernel.
type BlobInfo struct {
	ID     string // unique in its Description
	Size   uint64
	SHA256 [32]byte
}
