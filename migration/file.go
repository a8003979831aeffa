package migration

import (
	"context"
	"io"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
)

// SaveConfig says what to write to a file and how. Its fields are those of
// SendConfig.
type SaveConfig struct {
	// Stream takes the copy. It is not closed. If it has Sync() error, that is called last.
	Stream        io.Writer
	Guest         Guest
	Memory        *guestmem.Memory
	Description   Description
	Blobs         map[string]io.ReaderAt
	Mode          Mode // Precopy: written while the guest runs. StopCopy: each page once
	DowntimeLimit time.Duration
	Timeout       time.Duration
	SaveCost      func() time.Duration
	Cancel        <-chan struct{}
	Progress      func(Progress)
	Accepted      time.Time
}

// Save writes a copy of the guest to a stream. The guest goes on as soon as
// its last page and its state are written; the stream is synced after that.
// Unless the outcome is OutcomeCompleted the stream is incomplete, and a
// Restore from it says so.
func Save(ctx context.Context, c SaveConfig) (Result, error) {
	return save(ctx, c)
}

// Restore takes a guest from a stream that Save wrote, and starts it. Of an
// error the sentinels tell whether the stream is something else (ErrNotFerry),
// of another version (ErrVersion), cut short (ErrTruncated) or altered
// (ErrCorrupt); in each of these cases the guest was not started.
func Restore(ctx context.Context, stream io.Reader, h Host) (Result, error) {
	return restore(ctx, stream, h)
}
