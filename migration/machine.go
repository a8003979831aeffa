package migration

import "fmt"

// IllegalError is a transition that a state machine does not have: the peer, or
// this program, did something out of turn.
type IllegalError struct {
	State, Event fmt.Stringer
}

func (e *IllegalError) Error() string { return fmt.Sprintf("%v in state %v", e.Event, e.State) }

// Unwrap makes it an ErrProtocol.
func (e *IllegalError) Unwrap() error { return ErrProtocol }
