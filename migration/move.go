package migration

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"slices"

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
	// Postcopy moves the guest first, and sends its memory while it runs at the target.
	Postcopy Mode = "postcopy"
	// Hybrid sends memory once while the guest runs, and what changed meanwhile as Postcopy does.
	Hybrid Mode = "hybrid"
	// Auto is Precopy, or Hybrid from where the guest is found to write too much for it.
	Auto Mode = "auto"
	// Remote is Postcopy, but for what the guest needs nothing is sent until it is asked for.
	Remote Mode = "remote"
	// Local hands the memory itself to another process of the same host, and
	// whatever else the guest has open: nothing is copied. Connections to that
	// process are unix sockets. ParseMode does not know it: where it is possible, nothing else makes sense.
	Local Mode = "local"
)

// modes are all, in the order in which people are told of them.
var modes = []Mode{Auto, Precopy, Postcopy, Hybrid, StopCopy, Remote}

// mayPull says whether pages may be missing when the guest starts at its target.
func (m Mode) mayPull() bool { return m == Auto || m.mustPull() }

// mustPull says whether a target that cannot do with missing pages is of no use.
func (m Mode) mustPull() bool { return m == Postcopy || m == Hybrid || m == Remote }

// atOnce says whether the guest is stopped before any of its memory is sent.
func (m Mode) atOnce() bool { return m == StopCopy || m == Postcopy || m == Remote || m == Local }

// ParseMode returns the mode of that name.
func ParseMode(s string) (Mode, error) {
	if m := Mode(s); slices.Contains(modes, m) {
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
	// Handed, of Local, are the files that go with the guest: its memory's, and what its devices work on. At the target they are the Host's.
	Handed []Handed
}

// BlobInfo describes a file that belongs to the guest, such as its kernel.
type BlobInfo struct {
	ID     string // unique in its Description
	Size   uint64
	SHA256 [32]byte
}
