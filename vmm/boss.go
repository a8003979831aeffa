package vmm

import (
	"context"
	"os"
	"sync/atomic"
	"time"

	"github.com/ferryvmm/ferry/internal/ipc"
)

// boss is the connection to the supervisor: to another, once that has adopted the guest. What was asked of the one that died
// fails.
type boss struct{ now atomic.Pointer[ipc.Conn] }

func (b *boss) Call(ctx context.Context, method string, in, out any, files ...*os.File) ([]*os.File, error) {
	return b.now.Load().Call(ctx, method, in, out, files...)
}

func (b *boss) Notify(method string, in any) error { return b.now.Load().Notify(method, in) }

// Done is closed when the supervisor of now is gone.
func (b *boss) Done() <-chan struct{} { return b.now.Load().Done() }

// end lets the last answers out, and closes the connection.
func (b *boss) end(within time.Duration) {
	c := b.now.Load()
	c.Drain(within)
	c.Close()
}
