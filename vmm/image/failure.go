package image

import (
	"errors"
	"fmt"
	"io/fs"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/ipc"
)

var (
	// ErrUnusable means that a path is no image, or not one for this use. A
	// person must change the path, its rights or the options; the message says which.
	ErrUnusable = errors.New("unusable image")
	// ErrLocked means that somebody else uses the image. The caller gives up, or
	// asks again (LockWithin) if that somebody is about to let go.
	ErrLocked = errors.New("image in use")
)

// Failure is an error that a user can act on. Its Unwrap is ErrUnusable or
// ErrLocked, and the system's error if there was one.
type Failure struct {
	Message, Remedy string

	code string
	is   []error
}

var _ ipc.Failure = (*Failure)(nil)

func (f *Failure) Error() string { return f.Message }

// Unwrap lets errors.Is find what kind of failure it is.
func (f *Failure) Unwrap() []error { return f.is }

// Failure lets it cross to the supervisor.
func (f *Failure) Failure() (code, message, remedy string) { return f.code, f.Message, f.Remedy }

// unusable refuses an image.
func unusable(remedy, format string, args ...any) *Failure {
	return &Failure{code: "image", Message: fmt.Sprintf(format, args...), Remedy: remedy, is: []error{ErrUnusable}}
}

// locked says that an image is in use.
func locked(path string, cause error) *Failure {
	return &Failure{
		code:    "image_locked",
		Message: fmt.Sprintf("disk image %s is in use: another machine (or QEMU) has it locked", path),
		Remedy:  "stop the machine that uses it, or open it with ,ro on both sides; lslocks and vmm ps show who has it",
		is:      []error{ErrLocked, cause},
	}
}

// cannotOpen explains why open failed.
func cannotOpen(s Spec, err error) *Failure {
	f := unusable("check the path", "disk %s: open %s: %v", s.ID, s.Path, err)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		f.Remedy = "check the path, or make the image: truncate -s 10G " + s.Path
	case errors.Is(err, unix.EROFS), errors.Is(err, fs.ErrPermission) && !s.ReadOnly:
		f.Remedy = "let this user write to it, or add ,ro"
	case errors.Is(err, fs.ErrPermission):
		f.Remedy = "let this user read it"
	case errors.Is(err, unix.EINVAL) && s.Cache == CacheNone:
		f.Remedy = "its filesystem has no direct I/O: use cache=writeback, or move the image"
	case errors.Is(err, unix.EBUSY), errors.Is(err, unix.ETXTBSY):
		f.Remedy = "stop what uses it: a mount, swap or a running program"
	case errors.Is(err, unix.ENXIO), errors.Is(err, unix.ENOMEDIUM), errors.Is(err, unix.ENODEV):
		f.Remedy = "the device node has no device or medium behind it"
	}
	f.is = append(f.is, err)
	return f
}
