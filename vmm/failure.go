package vmm

import (
	"errors"
	"fmt"

	"github.com/ferryvmm/ferry/internal/ipc"
	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/migration"
)

// Failure is an error that a user can act on.
type Failure struct {
	Code    string // for programs
	Message string // what happened
	Remedy  string // what to do about it
}

func (f *Failure) Error() string { return f.Message }

// Failure lets it cross to the supervisor.
func (f *Failure) Failure() (code, message, remedy string) { return f.Code, f.Message, f.Remedy }

var _ ipc.Failure = (*Failure)(nil)

// openSystem takes the KVM device that was handed over.
func openSystem(files fileSet) (*kvm.System, error) {
	sys, err := kvm.NewSystem(files.take(RoleKVM))
	if err != nil {
		return nil, &Failure{Code: "no_kvm", Message: fmt.Sprintf("/dev/kvm cannot be used: %v", err), Remedy: "check that the kvm module works on this host"}
	}
	return sys, nil
}

// badState is asked for something that the guest's state does not allow.
func badState(message, remedy string) error {
	return &Failure{Code: "bad_state", Message: message, Remedy: remedy}
}

// guestEnded is why a guest that goes its own way is not moved.
func guestEnded(message string) *Failure {
	return &Failure{Code: "guest_ended", Message: message, Remedy: "look at what it did: vmm ps, and what vmm run said at its end"}
}

// refusal says to the other end of a move why the guest is not taken.
func refusal(err error) error {
	var r *migration.Refusal
	var f *Failure
	var e *ipc.Error
	switch {
	case errors.As(err, &r):
		return err
	case errors.As(err, &f):
		return &migration.Refusal{Code: f.Code, Message: f.Message, Remedy: f.Remedy}
	case errors.As(err, &e):
		return &migration.Refusal{Code: e.Code, Message: e.Message, Remedy: e.Remedy}
	}
	return &migration.Refusal{Code: "internal", Message: err.Error(), Remedy: "see the log of the receiver"}
}

// crossing gives an error the shape that crosses to the supervisor, with the
// code and the remedy of what caused it.
func crossing(err error) *ipc.Error {
	var r *migration.Refusal
	if errors.As(err, &r) {
		remedy := r.Remedy
		if remedy == "" { // the peer gave up without one
			remedy = "look into the log of the other side, and start the move again"
		}
		return &ipc.Error{Code: r.Code, Message: err.Error(), Remedy: remedy}
	}
	var f ipc.Failure
	if errors.As(err, &f) {
		code, _, remedy := f.Failure()
		return &ipc.Error{Code: code, Message: err.Error(), Remedy: remedy}
	}
	for _, c := range moveErrors {
		if errors.Is(err, c.is) {
			return &ipc.Error{Code: c.code, Message: err.Error(), Remedy: c.remedy}
		}
	}
	return &ipc.Error{Code: "internal", Message: err.Error()}
}

// moveErrors are the ways in which a move goes wrong: for programs, and what a
// person can do about each.
var moveErrors = []struct {
	is           error
	code, remedy string
}{
	{migration.ErrCancelled, "cancelled", "start the move again when it suits"},
	{migration.ErrTimeout, "timeout", "allow a longer --timeout or --downtime-limit, or let the guest write less"},
	{migration.ErrNotFerry, "not_ferry", "check the address: something else answers there"},
	{migration.ErrVersion, "version", "use the same version of vmm on both hosts"},
	{migration.ErrTruncated, "truncated", "start again: the stream ended too early"},
	{migration.ErrCorrupt, "corrupt", "start again, and check the network or the disk: the stream was altered on its way"},
	{migration.ErrProtocol, "protocol", "use the same version of vmm on both hosts, and report this"},
	{migration.ErrInDoubt, "in_doubt", "bring the target's host or the network back: the machine goes on asking"},
	{migration.ErrLost, "lost", "start the guest anew, or restore a snapshot"},
	{migration.ErrNotStarted, "not_started", "look into the receiver's log, and start the move again"},
	{migration.ErrLinkLost, "link_lost", "check the network and the receiver, and start the move again"},
}

// streamFailure explains a snapshot that cannot be restored.
func streamFailure(err error) error {
	e := crossing(err)
	switch {
	case errors.Is(err, migration.ErrVersion):
		e.Remedy = "restore it with the version of vmm that wrote it"
	case errors.Is(err, migration.ErrNotFerry), errors.Is(err, migration.ErrTruncated), errors.Is(err, migration.ErrCorrupt), errors.Is(err, migration.ErrProtocol):
		e.Remedy = "take the snapshot again, or use another copy of it"
	}
	return e
}
