package record

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Bytes of a record that are locked, behind its content. The locks are of open
// file descriptions: those that two processes share end with the second one,
// and they work over NFS.
const (
	changeAt = 1 << 20   // held while the record is changed
	lifeAt   = 1<<20 + 1 // held as long as a process lives that has the guest
)

// lockWithin bounds the wait for a lock that is held for one fdatasync.
const lockWithin = time.Second

// lock waits for the right to change the record. The kernel's own wait is not
// used: it could not be bounded, and a lock may be another host's.
func lock(f *os.File) error {
	retry := time.NewTicker(time.Millisecond)
	defer retry.Stop()
	for end := time.Now().Add(lockWithin); ; <-retry.C {
		err := set(f, unix.F_WRLCK, changeAt)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, unix.EAGAIN) && !errors.Is(err, unix.EACCES):
			return fmt.Errorf("locking the ownership record: %w", err)
		case time.Now().After(end):
			return ErrBusy
		}
	}
}

func unlock(f *os.File) { _ = set(f, unix.F_UNLCK, changeAt) } // closing does it too

// Living tells whether a process lives that has the guest of the record, as
// source or as target. An error means that it cannot be told.
//
// Precondition: f was opened with Open, not made with Create.
func Living(f *os.File) (bool, error) {
	l := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart, Start: lifeAt, Len: 1}
	if err := unix.FcntlFlock(f.Fd(), unix.F_OFD_GETLK, &l); err != nil {
		return false, fmt.Errorf("the ownership record's locks: %w", err)
	}
	return l.Type != unix.F_UNLCK, nil
}

func set(f *os.File, kind int16, at int64) error {
	l := unix.Flock_t{Type: kind, Whence: io.SeekStart, Start: at, Len: 1}
	return unix.FcntlFlock(f.Fd(), unix.F_OFD_SETLK, &l)
}
