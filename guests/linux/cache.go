package linux

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// cache is the folder of what was built. Each entry is a folder that is complete: it was filled under another name.
type cache struct{ dir string }

// unfinished begins the names of folders that are being filled.
const unfinished = "tmp-"

// openCache returns the cache in $FERRY_CACHE, else in the user's cache folder.
func openCache() (cache, error) {
	dir := os.Getenv("FERRY_CACHE")
	if dir == "" {
		user, err := os.UserCacheDir()
		if err != nil {
			return cache{}, fmt.Errorf("linux: no folder for what is built: %w; set FERRY_CACHE", err)
		}
		dir = filepath.Join(user, "ferry")
	}
	dir, err := filepath.Abs(filepath.Join(dir, "guest"))
	return cache{dir}, err
}

func (c cache) path(entry string) string { return filepath.Join(c.dir, entry) }

func (c cache) has(entry string) bool {
	_, err := os.Stat(c.path(entry))
	return err == nil
}

// add makes an entry: fill writes it to the folder that it is given, and may leave other things in scratch.
// Precondition: the cache is locked, and has no such entry.
func (c cache) add(entry string, fill func(dir string) error) error {
	temp, err := os.MkdirTemp(c.dir, unfinished)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	if err := fill(temp); err != nil {
		return err
	}
	return os.Rename(temp, c.path(entry))
}

// lockRetry is how often a lock that another process holds is tried.
const lockRetry = 200 * time.Millisecond

// lock keeps other processes from building until unlock is called. What one left that was killed is removed.
func (c cache) lock(ctx context.Context) (unlock func(), err error) {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(c.path("lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			f.Close()
			return nil, fmt.Errorf("linux: lock %s: %w", f.Name(), err)
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, context.Cause(ctx)
		case <-time.After(lockRetry):
		}
	}
	left, _ := filepath.Glob(c.path(unfinished + "*"))
	for _, dir := range left {
		_ = os.RemoveAll(dir)
	}
	return func() { f.Close() }, nil
}
