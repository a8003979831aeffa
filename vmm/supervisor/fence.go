package supervisor

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm/record"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

const (
	// fenceAfter is how long a target is asked in vain before it is fenced: long
	// enough for a link that was only reset, and for a receiver that starts anew.
	fenceAfter = 2 * time.Second
	// fenceEvery is the least time between two runs of a hook that failed.
	fenceEvery = 5 * time.Second
	// fenceWithin bounds one run of the hook.
	fenceWithin = 30 * time.Second
)

// checkHook returns the absolute path of a fencing hook that can be run, "" for
// none.
func checkHook(path string) (string, error) {
	if path == "" {
		return "", nil
	}
	const remedy = "give --fence-hook a program, or a script that is executable and begins with #!"
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	st, err := os.Stat(abs)
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", abs)
	}
	if err == nil {
		if err = unix.Access(abs, unix.X_OK); err != nil {
			err = fmt.Errorf("%s cannot be executed: %w", abs, err)
		}
	}
	if err != nil {
		return "", api.Errorf("fence_hook", remedy, "fence hook: %v", err)
	}
	return abs, nil
}

// fencing runs the hook of a departure that is in doubt.
type fencing struct {
	hook string
	out  *os.File // where what it says goes: the log
	d    *departure

	mu    sync.Mutex // guards what follows
	since time.Time  // of the first question that was in vain
	next  time.Time  // no run before it
	ctx   context.Context
	stop  context.CancelFunc // no run behind it; one that is under way is killed
	runs  bool
}

func newFencing(hook string, out *os.File, d *departure) *fencing {
	f := &fencing{hook: hook, out: out, d: d}
	f.ctx, f.stop = context.WithCancel(context.Background())
	return f
}

// due is called when the target was asked in vain. The hook runs beside the
// questions; when it says that the target is fenced, the next one finds that in
// the departure's own record.
func (f *fencing) due() {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if f.since.IsZero() {
		f.since = now
	}
	if f.runs || now.Before(f.since.Add(fenceAfter)) || now.Before(f.next) {
		return
	}
	f.runs = true
	go func() {
		err := f.run()
		switch {
		case err == nil:
			f.d.conclude(migration.NotStarted, record.ByFence)
		case f.ctx.Err() == nil:
			f.d.log.Warn("the fencing hook did not fence the target", "move", f.d.query.Move, "error", err)
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.runs, f.next = false, time.Now().Add(fenceEvery)
	}()
}

// run runs the hook once. Only if it exits with 0 in time is the error nil.
func (f *fencing) run() error {
	in, err := json.Marshal(struct {
		Move  string `json:"move_id"`
		Epoch uint64 `json:"epoch"`
		Role  string `json:"role"` // of this host
	}{f.d.query.Move.String(), f.d.query.Epoch, "source"})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(f.ctx, fenceWithin)
	defer cancel()
	cmd := hookCommand(ctx, f.hook, in)
	cmd.Stdout, cmd.Stderr = f.out, f.out
	f.d.log.Info("fencing the target", "move", f.d.query.Move, "hook", f.hook)
	err = cmd.Run()
	if ctx.Err() != nil {
		err = fmt.Errorf("it was ended: %w", ctx.Err())
	}
	if err != nil {
		return fmt.Errorf("%s: %w", f.hook, err)
	}
	return nil
}
