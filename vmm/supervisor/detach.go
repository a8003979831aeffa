package supervisor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// detachedEnv marks a process that Detach started; descriptor 3 is the pipe
// on which it reports.
const detachedEnv = "FERRY_DETACHED"

// report is the one line that a detached process writes.
type report struct {
	Started *api.Started `json:"started,omitempty"`
	Error   *api.Error   `json:"error,omitempty"`
}

// Detach runs this binary again with args (without --detach) in the
// background, and returns when its guest runs or it listens. The error is
// what made it fail.
func Detach(args []string) (api.Started, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return api.Started{}, fmt.Errorf("pipe: %w", err)
	}
	defer r.Close()
	cmd := &exec.Cmd{
		Path:        "/proc/self/exe",
		Args:        append([]string{os.Args[0]}, args...),
		Env:         append(os.Environ(), detachedEnv+"=1"),
		ExtraFiles:  []*os.File{w},
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	err = cmd.Start()
	w.Close()
	if err != nil {
		return api.Started{}, fmt.Errorf("starting in the background: %w", err)
	}
	var got report
	if err := json.NewDecoder(r).Decode(&got); err != nil {
		err := cmd.Wait()
		return api.Started{}, fmt.Errorf("the process in the background ended without a word: %v", err)
	}
	if got.Error != nil {
		_ = cmd.Wait()
		return api.Started{}, got.Error
	}
	if got.Started == nil {
		return api.Started{}, errors.New("the process in the background reported nothing")
	}
	return *got.Started, cmd.Process.Release()
}

// detachedPipe is the pipe to the waiting parent, nil in a foreground process.
var detachedPipe = sync.OnceValue(func() *os.File {
	if os.Getenv(detachedEnv) == "" {
		return nil
	}
	os.Unsetenv(detachedEnv)
	unix.CloseOnExec(3)
	return os.NewFile(3, "parent")
})

// tell reports to the parent that waits, once.
func tell(r report) {
	if p := detachedPipe(); p != nil {
		_ = json.NewEncoder(p).Encode(r)
		p.Close()
	}
}

// Detached tells whether this process was started by Detach.
func Detached() bool { return detachedPipe() != nil }

// ReportFailure tells a parent that waits in Detach why the start failed.
// main calls it with every error of a command.
func ReportFailure(err error) { tell(report{Error: api.AsError(err)}) }

// notifyStarted reports to the parent, or to the command in the foreground.
func notifyStarted(started func(api.Started), s api.Started) {
	tell(report{Started: &s})
	if started != nil {
		started(s)
	}
}

// processStart is when this process's code began to run, on CLOCK_MONOTONIC.
// The kernel's own start time counts ticks of 10 ms: too coarse to measure a
// boot with.
var processStart = monotonic()

func monotonic() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano())
}
