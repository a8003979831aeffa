package migration

import (
	"context"
	"net"
)

// ReceiveConfig says where a guest comes from and who takes it.
type ReceiveConfig struct {
	// Control and Bulk are the connections of one move, their hellos read.
	// Receive closes both.
	Control, Bulk net.Conn
	// Hello is what the source said on Control.
	Hello  Hello
	Host   Host
	Record Record
	// Progress is called now and then, never inside the switchover. It may be nil.
	Progress func(Progress)
}

// Receive takes one guest in. It returns when the guest runs here and the
// source knows it or is gone (OutcomeCompleted, no error), or when it does not:
// OutcomeFailed or OutcomeCancelled with the error that says why; what was
// built is discarded. OutcomeLost means that the record says started and
// Built.Start failed.
//
// When ctx is done before the commit came, the move fails; after that ctx has
// no effect.
func Receive(ctx context.Context, c ReceiveConfig) (Result, error) {
	return receive(ctx, c)
}
