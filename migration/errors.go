package migration

import (
	"errors"
	"fmt"
)

var (
	// ErrNotFerry: the peer, or the file, speaks something else. Check the address.
	ErrNotFerry = errors.New("this is not Ferry's migration protocol")
	// ErrEncrypted: the peer speaks TLS. Start both sides with it, or neither.
	ErrEncrypted = errors.New("the peer speaks TLS, and this side was started without --tls")
	// ErrVersion: the peer, or the file, is of a version that this vmm does not
	// speak; the error is a *VersionError. Upgrade the older of the two.
	ErrVersion = errors.New("migration protocol versions do not match")
	// ErrProtocol: the peer broke the protocol. It is a bug, or an attack: report it.
	ErrProtocol = errors.New("migration protocol error")
	// ErrTruncated: the stream ends before its end. Make the copy again.
	ErrTruncated = errors.New("the migration stream is cut short")
	// ErrCorrupt: a checksum is wrong: the stream was altered on its way.
	ErrCorrupt = errors.New("the migration stream is damaged")
	// ErrLinkLost: a connection broke, or the peer was silent for too long. Try again.
	ErrLinkLost = errors.New("the link to the peer is lost")
	// ErrCancelled: somebody cancelled the move.
	ErrCancelled = errors.New("cancelled")
	// ErrTimeout: the move did not come to its end in the time given. Allow
	// more time or downtime, or let the guest write less.
	ErrTimeout = errors.New("timeout")
	// ErrNoPull: the target cannot start a guest with pages missing. Use another mode.
	ErrNoPull = errors.New("the target cannot start a guest before all of its memory is there")
	// ErrNotLocal: a guest was to be handed over by a connection that carries no
	// descriptors. It is a mistake of the caller: connect by a unix socket.
	ErrNotLocal = errors.New("the connection is no unix socket")
	// ErrTargetLost: the target's machine died while pages of the guest were still
	// here alone. Neither copy is whole.
	ErrTargetLost = errors.New("the guest is lost: its machine at the target died before it had all of its memory")
	// ErrInDoubt: the commit left and nobody could say whether it arrived.
	// Bring the target's host back, or let a person decide.
	ErrInDoubt = errors.New("in doubt whether the target started the guest")
	// ErrNotStarted: the target proved that it did not start the guest after
	// the commit. The guest is at the source.
	ErrNotStarted = errors.New("the target did not start the guest")
	// ErrLost: the target owns the guest by its record, and could not start it, or
	// was killed. Start the guest anew, or restore a snapshot.
	ErrLost = errors.New("the guest is lost: it was handed over, and could not be started or was killed")
)

// VersionError tells which versions each side speaks.
type VersionError struct {
	TheirMin, TheirMax, OurMin, OurMax uint16
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%v: the peer speaks %d to %d, this vmm %d to %d: upgrade the older one",
		ErrVersion, e.TheirMin, e.TheirMax, e.OurMin, e.OurMax)
}

// Unwrap makes it an ErrVersion.
func (e *VersionError) Unwrap() error { return ErrVersion }
