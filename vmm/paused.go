package vmm

import (
	"fmt"
	"slices"

	"github.com/ferryvmm/ferry/migration"
)

const (
	// sectionPaused is in the state of a guest that a person has paused, and in no
	// other: the guest stays paused where it arrives. It is not optional: a vmm
	// that does not know it refuses the guest, rather than run it.
	sectionPaused = "paused"
	pausedVersion = 1
)

// markPaused adds to a state that its guest is paused.
func markPaused(sections []migration.Section) ([]migration.Section, error) {
	s, err := migration.NewSection(sectionPaused, pausedVersion, true)
	if err != nil {
		return nil, err
	}
	return append(sections, s), nil
}

// takePaused tells whether a state is that of a paused guest, and returns the rest of it.
func takePaused(sections []migration.Section) (rest []migration.Section, paused bool, err error) {
	at := slices.IndexFunc(sections, func(s migration.Section) bool { return s.ID == sectionPaused })
	if at < 0 {
		return sections, false, nil
	}
	s := sections[at]
	if s.Version != pausedVersion {
		return nil, false, &Failure{Code: "state", Message: fmt.Sprintf("state of %s: version %d; this vmm knows %d", s.ID, s.Version, pausedVersion),
			Remedy: "use the same version of vmm on both hosts"}
	}
	if err := s.Decode(&paused); err != nil {
		return nil, false, err
	}
	return slices.Delete(slices.Clone(sections), at, at+1), paused, nil
}
