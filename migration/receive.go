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
	// Joined brings further connections of the move, their hellos read: the urgent
	// one, and all of them anew after a link was lost in a pull. It may be nil, then
	// there is no pull. Receive closes the connections that it takes.
	Joined <-chan Joined
	// Fetch, when closed, has the source send all that is missing. It may be nil.
	Fetch <-chan struct{}
	// Broken is called when faults cannot be served any more: a guest that misses
	// pages can then not go on. It may be nil.
	Broken func(error)
	// Ended, when closed, says that the guest is no more, and so misses nothing. It may be nil.
	Ended <-chan struct{}
	// Settle is called at the end, however it is, before the source may see that this side is done. It may be nil.
	Settle func()
	// Progress is called now and then, never inside the switchover. It may be nil.
	Progress func(Progress)
}

// Joined is a connection that came later.
type Joined struct {
	Role Role
	Conn net.Conn
}

// Receive takes one guest in. It returns when the guest runs here and the
// source knows it or is gone, with all of its memory (OutcomeCompleted, no error), or when it does not:
// OutcomeFailed or OutcomeCancelled with the error that says why; what was
// built is discarded. OutcomeLost means that the record says started and
// Built.Start failed.
//
// When ctx is done before the commit came, the move fails; after that ctx has
// no effect.
func Receive(ctx context.Context, c ReceiveConfig) (Result, error) {
	return receive(ctx, c)
}
