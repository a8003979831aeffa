package main

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// cancelWithin bounds how long a machine may take to answer that it cancels.
const cancelWithin = 5 * time.Second

// attend runs a move or a snapshot, shows its progress, and cancels it at the first signal to end; spared says what that
// leaves. At the second signal it leaves the move alone.
func (a *app) attend(
	ctx context.Context, client *api.Client, spared string,
	work func(context.Context, func(api.Progress)) (api.Result, error),
) (api.Result, error) {
	ctx, leave := context.WithCancelCause(ctx)
	defer leave(nil)
	got, stop := a.signals(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	show := newDisplay(a.stderr, !a.json)
	ended, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-got:
		case <-ended:
			return
		}
		show.note("cancelling: %s; again to leave without waiting", spared)
		go a.cancelQuietly(ctx, client, show)
		select {
		case <-got:
			leave(errLeft)
		case <-ended:
		}
	}()
	result, err := work(ctx, show.progress)
	close(ended)
	<-watched
	show.close()
	if errors.Is(err, errLeft) {
		err = api.Errorf(api.CodeConnectionLost, "vmm ps", "%v", errLeft)
	}
	return result, err
}

// cancelQuietly asks for the end of a move; that it came too late is said, not an error: the move's own result counts.
func (a *app) cancelQuietly(ctx context.Context, client *api.Client, show *display) {
	ctx, stop := context.WithTimeout(ctx, cancelWithin)
	defer stop()
	if err := client.CancelMigrate(ctx); err != nil && ctx.Err() == nil {
		show.note("it cannot be cancelled: %v", err)
	}
}
