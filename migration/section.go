package migration

import (
	"errors"
	"fmt"
	"slices"

	"github.com/fxamacker/cbor/v2"
)

// StateFormat is the version of the state's outermost format. The sections have
// versions of their own.
const StateFormat = 1

// Section is the saved state of one component.
type Section struct {
	ID       string          `cbor:"id"`      // such as "vcpu" or "serial/0"; unique in a state
	Version  uint16          `cbor:"version"` // of Data, the component's own
	Optional bool            `cbor:"optional,omitempty"`
	Data     cbor.RawMessage `cbor:"data"`
}

// State is a tree of sections keyed by component id.
type State struct {
	Format   uint16    `cbor:"format"`
	Sections []Section `cbor:"sections"`
}

var (
	// ErrSection: a state lacks a section, has it twice, or has one that this
	// vmm does not know. Upgrade the target.
	ErrSection = errors.New("state does not fit this vmm")
)

// NewSection packs v, canonically.
func NewSection(id string, version uint16, v any) (Section, error) {
	data, err := canonical.Marshal(v)
	if err != nil {
		return Section{}, fmt.Errorf("state of %s: %w", id, err)
	}
	return Section{ID: id, Version: version, Data: data}, nil
}

// Decode unpacks the section into v, strictly: unknown and repeated keys are errors.
func (s Section) Decode(v any) error {
	if err := strict.Unmarshal(s.Data, v); err != nil {
		return fmt.Errorf("state of %s: %w", s.ID, err)
	}
	return nil
}

// Pick returns the sections by id. The error is ErrSection if one of the known
// ids is missing, or if there is another one that is not Optional.
func Pick(sections []Section, known ...string) (map[string]Section, error) {
	m := make(map[string]Section, len(sections))
	for _, s := range sections {
		m[s.ID] = s
	}
	for _, id := range known {
		if _, ok := m[id]; !ok {
			return nil, fmt.Errorf("%w: no section %q", ErrSection, id)
		}
	}
	for _, s := range sections {
		if !s.Optional && !slices.Contains(known, s.ID) {
			return nil, fmt.Errorf("%w: unknown section %q", ErrSection, s.ID)
		}
	}
	return m, nil
}
