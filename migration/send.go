package migration

import (
	"context"
	"io"
	"net"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
)

// SendConfig says what to move and how.
type SendConfig struct {
	// Control and Bulk are fresh connections to the target, of which nothing
	// was read and to which nothing was written: Send says hello on both. It
	// closes both. They must come with TCP_NODELAY (the default in Go).
	Control, Bulk net.Conn
	Move          MoveID
	Epoch         uint64

	Guest       Guest
	Memory      *guestmem.Memory
	Description Description            // Modes, Keep and ResidentBytes are filled in
	Blobs       map[string]io.ReaderAt // the bytes of Description.Blobs by id
	// Network is the guest's network, nil if it has none or if that goes with it (Local).
	Network NetworkSource
	// Images are what both hosts have of the guest's disks; nil: nothing.
	Images Images
	Mode   Mode // Precopy if empty
	// DowntimeLimit bounds the forecast at which precopy stops the guest. 50 ms if 0.
	DowntimeLimit time.Duration
	// Bandwidth limits what all channels together carry while the guest runs, in bits a second. 0: none.
	Bandwidth uint64
	// DataPath is how memory leaves while the guest runs. Where it cannot be what is asked for it is PathCopy; PathZeroCopy goes on where the kernel is seen to copy.
	DataPath DataPath
	// Channels is how many connections carry pages of the push side by side, from 1 to MaxChannels; 0: more than one from where that is seen to be faster.
	// Where Dial is nil, or the target knows of no more, it is one.
	Channels int
	// Compress is how pages are made smaller; off if empty. What the target does not unpack is not used.
	Compress Compression
	// Throttle is how much the guest, if it is a [Throttler], may be slowed down when rounds do not converge, in percent of its
	// time from 0, never, to 99.
	Throttle int
	// Timeout cancels the move if it did not come to the commit; Auto and Hybrid
	// then stop pushing, and the target pulls. 0: none.
	Timeout time.Duration
	// SaveCost forecasts what Guest.Pause and Guest.Save take. It may be nil.
	SaveCost func() time.Duration
	// Ask dials the target anew to learn what became of the commit; see [AskPeer].
	// It is called until it says Started or NotStarted, with at least 500 ms between
	// the calls. An error means the same as Unknown. If nil, a move that is in doubt stays so.
	Ask func(context.Context) (Answer, error)
	// Dial makes a further connection to the target, to which nothing has been
	// written. It is called for modes that may pull, for further channels, and again when the link is lost in a
	// pull. If nil, there is none of these.
	Dial func(context.Context) (net.Conn, error)
	// Cancel, when closed, cancels the move if the commit did not leave yet.
	// After that it does nothing. It may be nil.
	Cancel <-chan struct{}
	// Continue, if not nil, has the move wait once the guest is paused, until it is
	// closed, or the move is cancelled.
	Continue <-chan struct{}
	// Progress is called now and then by one goroutine, never inside the
	// switchover, but when a wait for Continue begins and ends. It must return quickly. It may be nil.
	Progress func(Progress)
	// Accepted is when the move was asked for; total_ms counts from it. Now if zero.
	Accepted time.Time
}

// Send moves a guest to a target. It returns when the move is decided: with
// OutcomeCompleted and no error, the guest runs at the target and the caller
// must end its own copy (where the target pulled, it has all memory); with OutcomeFailed or OutcomeCancelled the guest is at
// the source as before, dirty logging off; the error says why. In doubt it goes
// on asking.
//
// When ctx is done before the commit, the move is cancelled. When ctx is done
// after it, Send waits no longer: the outcome is OutcomeInDoubt unless it is
// known, and the guest stays paused. To cancel without that risk use Cancel.
func Send(ctx context.Context, c SendConfig) (Result, error) {
	return send(ctx, c)
}
