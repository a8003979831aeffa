package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Where in an image locks are. What is locked need not exist in the file.
const (
	// lockSize covers every byte that an image can have, and with them those by
	// which QEMU tells what it does with an image (from 100 on).
	lockSize = 1 << 61
	// qemuWrites is the one that QEMU holds, shared, while it may write.
	qemuWrites = 101
	// Witnesses are one byte each, in a range of their own.
	witnessBase  = 1 << 62
	witnessRange = 1 << 60
)

// Lock takes an image for one guest, or, if ro, for guests that only read. It
// does not wait. Errors: *Failure that is ErrLocked.
func Lock(f *os.File, ro bool) error {
	kind := int16(unix.F_WRLCK)
	if ro {
		kind = unix.F_RDLCK
	}
	err := setLock(f, kind, 0, lockSize)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EACCES) {
		return locked(f.Name(), err)
	}
	if err != nil {
		return fmt.Errorf("lock disk image %s: %w", f.Name(), err)
	}
	if !ro {
		return nil
	}
	// QEMU's locks are all shared, and a reader's would not collide with them.
	other, err := getLock(f, qemuWrites)
	if err == nil && other.Type != unix.F_UNLCK && other.Start != 0 { // from 0 on: a reader like this one
		return errors.Join(locked(f.Name(), unix.EAGAIN), Unlock(f))
	}
	return err
}

// retryInterval is how long LockWithin waits before it tries again.
const retryInterval = time.Millisecond

// LockWithin is Lock that tries until ctx ends. It tries anew at short
// intervals: the kernel's own wait (F_OFD_SETLKW) cannot be called off, and
// would take the lock for a guest that has been given up meanwhile.
func LockWithin(ctx context.Context, f *os.File, ro bool) error {
	retry := time.NewTicker(retryInterval)
	defer retry.Stop()
	for {
		err := Lock(f, ro)
		if !errors.Is(err, ErrLocked) {
			return err
		}
		select {
		case <-retry.C:
		case <-ctx.Done():
			return err
		}
	}
}

// Unlock lets the image go.
func Unlock(f *os.File) error {
	if err := setLock(f, unix.F_UNLCK, 0, lockSize); err != nil {
		return fmt.Errorf("unlock disk image %s: %w", f.Name(), err)
	}
	return nil
}

// Witness shows who else sees this image, by a lock on a byte that token names,
// that f is open: see Witnessed. It collides with nobody, and ends with Forget or the file.
func Witness(f *os.File, token uint64) error {
	if err := setLock(f, unix.F_RDLCK, witness(token), 1); err != nil {
		return fmt.Errorf("witness on disk image %s: %w", f.Name(), err)
	}
	return nil
}

// Witnessed tells whether somebody who sees the same image as f holds the
// witness of this token. An error means that it cannot be told.
func Witnessed(f *os.File, token uint64) (bool, error) {
	l, err := getLock(f, witness(token))
	if err != nil {
		return false, err
	}
	// Only what Witness makes counts, not, say, a lock on everything.
	return l.Type == unix.F_RDLCK && l.Start == witness(token) && l.Len == 1, nil
}

// Forget ends a witness.
func Forget(f *os.File, token uint64) error {
	if err := setLock(f, unix.F_UNLCK, witness(token), 1); err != nil {
		return fmt.Errorf("end of the witness on disk image %s: %w", f.Name(), err)
	}
	return nil
}

func witness(token uint64) int64 { return witnessBase + int64(token%witnessRange) }

// setLock changes the lock of f's open file description on a range of bytes.
func setLock(f *os.File, kind int16, start, length int64) error {
	l := unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: start, Len: length}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l)
}

// getLock returns a lock of somebody else on a byte, or one of type F_UNLCK.
func getLock(f *os.File, at int64) (unix.Flock_t, error) {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: at, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l); err != nil {
		return l, fmt.Errorf("locks of disk image %s: %w", f.Name(), err)
	}
	return l, nil
}
