package confine

import (
	"errors"
	"fmt"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// nothing is a folder that is empty, and stays so, for it has been removed: the root of each process that is confined.
var nothing = sync.OnceValues(func() (*os.File, error) {
	dir, err := os.MkdirTemp("", "vmm-root-")
	if err != nil {
		return nil, fmt.Errorf("an empty folder: %w", err)
	}
	f, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	// Another user is to be able to stand in it.
	if err := errors.Join(err, os.Chmod(dir, 0o555), os.Remove(dir)); err != nil {
		return nil, fmt.Errorf("an empty folder: %w", err)
	}
	return f, nil
})
