package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// Dir returns the folder of sockets, pids and logs, made with mode 0700:
// $FERRY_DIR, else /run/ferry for root, else $XDG_RUNTIME_DIR/ferry. Two
// folders are two hosts.
func Dir() (string, error) {
	dir := os.Getenv("FERRY_DIR")
	if dir == "" && os.Geteuid() == 0 {
		dir = "/run/ferry"
	}
	if dir == "" {
		run := os.Getenv("XDG_RUNTIME_DIR")
		if run == "" {
			return "", api.Errorf(codeNoDir, "set FERRY_DIR to a folder of yours", "neither FERRY_DIR nor XDG_RUNTIME_DIR is set")
		}
		dir = filepath.Join(run, "ferry")
	}
	return makeDir(dir)
}

// recordsDir returns the folder of the ownership records under the state
// folder dir; unlike dir it survives a reboot.
func recordsDir(dir string) (string, error) {
	path, err := recordsPath(dir)
	if err != nil {
		return "", err
	}
	return makeDir(path)
}

// recordsPath is recordsDir that makes nothing.
func recordsPath(dir string) (string, error) {
	switch {
	case os.Getenv("FERRY_DIR") != "":
		return filepath.Join(dir, "records"), nil
	case os.Geteuid() == 0:
		return "/var/lib/ferry", nil
	}
	state := os.Getenv("XDG_STATE_HOME")
	if state == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", api.Errorf(codeNoDir, "set FERRY_DIR or XDG_STATE_HOME", "no folder for ownership records: %v", err)
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "ferry"), nil
}

func makeDir(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", noDir(err)
	}
	return dir, nil
}

// codeNoDir: the state folder cannot be used.
const codeNoDir = "no_dir"

func noDir(err error) error {
	return api.Errorf(codeNoDir, "set FERRY_DIR to a folder that you may write to", "state folder: %v", err)
}

// withDirLock runs f while no other process claims or clears names in dir.
func withDirLock(dir string, f func() error) error {
	lock, err := os.OpenFile(filepath.Join(dir, ".lock"), os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return noDir(err)
	}
	defer lock.Close()
	for {
		err := unix.Flock(int(lock.Fd()), unix.LOCK_EX)
		if err == nil {
			return f()
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("locking %s: %w", dir, err)
		}
	}
}
