package migration

import (
	"fmt"
	"math"

	"github.com/fxamacker/cbor/v2"

	"github.com/ferryvmm/ferry/guestmem"
)

const (
	maxRegions = 64
	maxBlobs   = 64
	maxCodecs  = 64
	maxName    = 255     // bytes of a name or an id
	maxMemory  = 1 << 46 // bytes: what a guest physical address can reach
)

// reserveMessage is a Description on the wire.
type reserveMessage struct {
	Name     string          `cbor:"name"`
	Layout   [][2]uint64     `cbor:"layout"` // address, size
	Resident uint64          `cbor:"resident"`
	Plan     cbor.RawMessage `cbor:"plan,omitempty"`
	Blobs    []blobMessage   `cbor:"blobs,omitempty"`
	Modes    []Mode          `cbor:"modes"`
	Keep     bool            `cbor:"keep,omitempty"`
	Handed   []string        `cbor:"handed,omitempty"` // roles of the descriptors that come with this message
}

type blobMessage struct {
	ID     string   `cbor:"id"`
	Size   uint64   `cbor:"size"`
	SHA256 [32]byte `cbor:"sha256"`
}

// reservedMessage says that the guest is built and rehearsed.
type reservedMessage struct {
	Version   uint16   `cbor:"version"` // that both speak from here on
	Name      string   `cbor:"name"`    // of the guest at the target
	Rehearsal int64    `cbor:"rehearsal_ns"`
	Blobs     []string `cbor:"blobs,omitempty"`  // ids of those that are wanted
	Pull      bool     `cbor:"pull,omitempty"`   // pages may be missing when the guest starts; only said where a mode asks for it
	Codecs    []string `cbor:"codecs,omitempty"` // that the target unpacks; not said to a source before versionPacked
}

type preparedMessage struct {
	Restore int64 `cbor:"restore_ns"` // what restoring took
}

type runningMessage struct {
	Record int64 `cbor:"record_ns"` // what making the record durable took
	Start  int64 `cbor:"start_ns"`  // what starting took
}

// pulledMessage says that the target has all pages.
type pulledMessage struct {
	Faults Faults `cbor:"faults"`
}

// deliveredMessage counts the packets that the source forwarded.
type deliveredMessage struct {
	Packets uint64 `cbor:"packets"`
	Dropped uint64 `cbor:"dropped"` // of these: the guest could not be given them
	Late    uint64 `cbor:"late"`    // of these: they came when those of this host were let through already
}

type answerMessage struct {
	Query  Query  `cbor:"query"`
	Answer Answer `cbor:"answer"`
}

func (d Description) message() reserveMessage {
	m := reserveMessage{Name: d.Name, Resident: d.ResidentBytes, Plan: d.Plan, Modes: d.Modes, Keep: d.Keep}
	for _, r := range d.Layout {
		m.Layout = append(m.Layout, [2]uint64{r.GPA, r.Size})
	}
	for _, h := range d.Handed {
		m.Handed = append(m.Handed, h.Role)
	}
	for _, b := range d.Blobs {
		m.Blobs = append(m.Blobs, blobMessage(b))
	}
	return m
}

// description checks what a peer or a file describes. The error is ErrProtocol.
func (m reserveMessage) description() (Description, error) {
	d := Description{Name: m.Name, ResidentBytes: m.Resident, Plan: m.Plan, Modes: m.Modes, Keep: m.Keep}
	bad := func(format string, a ...any) (Description, error) {
		return Description{}, fmt.Errorf("%w: reserve: %s", ErrProtocol, fmt.Sprintf(format, a...))
	}
	if len(m.Name) == 0 || len(m.Name) > maxName {
		return bad("a name of %d bytes", len(m.Name))
	}
	if len(m.Layout) == 0 || len(m.Layout) > maxRegions || len(m.Blobs) > maxBlobs || len(m.Modes) > 16 {
		return bad("%d regions, %d blobs, %d modes", len(m.Layout), len(m.Blobs), len(m.Modes))
	}
	end := uint64(0)
	for i, r := range m.Layout {
		gpa, size := r[0], r[1]
		if gpa%guestmem.PageSize != 0 || size%guestmem.PageSize != 0 || size == 0 ||
			gpa < end || gpa > maxMemory || size > maxMemory-gpa {
			return bad("region %d: %#x bytes at %#x", i, size, gpa)
		}
		end = gpa + size
		d.MemoryBytes += size
		d.Layout = append(d.Layout, guestmem.Range{GPA: gpa, Size: size})
	}
	ids := make(map[string]bool, len(m.Blobs))
	for _, b := range m.Blobs {
		if len(b.ID) == 0 || len(b.ID) > maxName || ids[b.ID] || b.Size > math.MaxInt64 {
			return bad("blob %q of %d bytes", b.ID, b.Size)
		}
		ids[b.ID] = true
		d.Blobs = append(d.Blobs, BlobInfo(b))
	}
	return d, nil
}

// check refuses what no target says.
func (m reservedMessage) check() error {
	if m.Version < VersionMin || m.Version > VersionMax || len(m.Name) > maxName || m.Rehearsal < 0 || len(m.Blobs) > maxBlobs || len(m.Codecs) > maxCodecs {
		return fmt.Errorf("%w: reserved: %+v", ErrProtocol, m)
	}
	return nil
}

// check refuses a state that could be read in two ways.
func (s State) check() error {
	if s.Format != StateFormat {
		return fmt.Errorf("%w: state format %d, this vmm knows %d", ErrSection, s.Format, StateFormat)
	}
	seen := make(map[string]bool, len(s.Sections))
	for _, sec := range s.Sections {
		if len(sec.ID) == 0 || len(sec.ID) > maxName || seen[sec.ID] {
			return fmt.Errorf("%w: section %q twice or nameless", ErrSection, sec.ID)
		}
		seen[sec.ID] = true
	}
	return nil
}

// EncodeState writes a state as it is on the wire. The error is ErrSection for
// a repeated id.
func EncodeState(sections []Section) ([]byte, error) {
	s := State{Format: StateFormat, Sections: sections}
	if err := s.check(); err != nil {
		return nil, err
	}
	return canonical.Marshal(s)
}

// DecodeState reads what EncodeState wrote, strictly.
func DecodeState(b []byte) ([]Section, error) {
	var s State
	if err := decode(frameState, b, &s); err != nil {
		return nil, err
	}
	if err := s.check(); err != nil {
		return nil, err
	}
	return s.Sections, nil
}

// decode reads a payload from a peer or file. The error is ErrProtocol: the
// checksum was right, so the peer meant what it sent.
func decode(t frameType, payload []byte, v any) error {
	if err := strict.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("%w: %v: %w", ErrProtocol, t, err)
	}
	return nil
}
