package migration

import (
	"context"
	"io"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
)

// Guest is the source's running guest. Its methods are called by one goroutine.
type Guest interface {
	// Pause stops every vCPU and makes the devices quiet. When ctx is done it
	// gives up. Resume follows a Pause that failed, too.
	Pause(ctx context.Context) error
	// Save returns the state of everything but memory. It is called after
	// Pause and before the last dirty pages are looked for, so it may write
	// guest memory.
	Save() ([]Section, error)
	// Resume undoes Pause, whether or not it succeeded: the guest runs if it
	// ran before. It is never called once a commit may have left, unless the
	// target proved that it did not start.
	Resume() error
}

// Host is a place that takes guests.
type Host interface {
	// Build checks whether the guest can run here, builds everything it needs,
	// and rehearses the restore. The error is a *Refusal where the reason
	// concerns the peer; any other error is sent as a refusal with its text.
	// ctx is done when the source cancels or is lost.
	Build(ctx context.Context, d Description) (Built, error)
}

// Built is a guest at its target that has not started. Its methods are called
// by one goroutine at a time.
type Built interface {
	// Name is the guest's name here.
	Name() string
	// Memory is the guest's empty memory, of the Description's layout.
	Memory() *guestmem.Memory
	// Pull makes the memory ready to start with pages missing; [guestmem.Pull.Close]
	// is the caller's. The error says why the host cannot.
	Pull() (*guestmem.Pull, error)
	// Rehearsal is what Restore took in the rehearsal.
	Rehearsal() time.Duration
	// Blob returns where to put the bytes of a blob, or nil if they are not
	// needed. The writer is closed once all were written and their hash is
	// right; if they never come it is closed by Discard.
	Blob(BlobInfo) (io.WriteCloser, error)
	// Restore loads the state; all memory is in place. It must refuse a
	// section that it does not know unless that is Optional: see [Pick].
	Restore([]Section) error
	// Start lets the guest run, unless its state says that it is paused: it
	// returns once the first KVM_RUN may have begun. Record.Started is durable by then. An error means that nothing
	// ran, and that nothing ever will: the guest is lost.
	Start() error
	// Network is the guest's network, nil if it has none.
	Network() NetworkTarget
	// Images are what both hosts have of the guest's disks; nil: nothing.
	Images() Images
	// Discard gives everything back. It is called instead of Start, when no
	// page is on its way any more.
	Discard() error
}

// Record is the target's durable word on one commit. Each method returns only
// when its effect is on stable storage.
type Record interface {
	// Started is called before the first KVM_RUN.
	Started() error
	// Tombstone is called before anybody may say that the guest did not start:
	// from then on Started must fail.
	Tombstone() error
	// Complete is called when all memory of a guest that started with pages missing
	// has come: from then on its source has nothing that is needed.
	Complete() error
	// Remove is called when nobody can ask any more: the source gave up
	// before it could commit, or knows that the guest runs here.
	Remove() error
}

// Refusal is why a target does not take a guest, or a source gives up. It is an
// error that is sent to the peer.
type Refusal struct {
	Code    string `cbor:"code"`    // for programs: short, lower case, underscores
	Message string `cbor:"message"` // for people
	Remedy  string `cbor:"remedy"`  // what to do about it; may be empty
}

func (r *Refusal) Error() string { return r.Message }
