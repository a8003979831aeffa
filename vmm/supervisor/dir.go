package supervisor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// Dir returns the state folder, [api.Dir], made with mode 0700.
func Dir() (string, error) {
	dir, err := api.Dir()
	if err != nil {
		return "", err
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
			return "", api.Errorf(api.CodeNoDir, "set FERRY_DIR or XDG_STATE_HOME", "no folder for ownership records: %v", err)
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

func noDir(err error) error {
	return api.Errorf(api.CodeNoDir, "set FERRY_DIR to a folder that you may write to", "state folder: %v", err)
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
