package vmm

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/console"
	"github.com/ferryvmm/ferry/devices/virtio/vsock"
	"github.com/ferryvmm/ferry/migration"
	"github.com/ferryvmm/ferry/vmm/image"
)

// Roles of the descriptors that virtio devices work on; the device's id follows,
// and for a tap the number of the queue.
const (
	roleDisk             = "disk:"
	rolePages            = "pages:"
	roleTap              = "tap:"
	RoleVirtioConsoleIn  = "virtio-console-in"
	RoleVirtioConsoleOut = "virtio-console-out"
)

// DiskRole is the role of a disk's image.
func DiskRole(id string) string { return roleDisk + id }

// PagesRole is the role of the same image, read through the host's cache beside the guest: of one that the guest only reads.
func PagesRole(id string) string { return rolePages + id }

// TapRole is the role of one queue of an interface's tap.
func TapRole(id string, queue int) string { return roleTap + id + ":" + strconv.Itoa(queue) }

// lockWithin bounds how long a target waits for its source to unlock an image,
// and relockWithin a source whose target may still have to notice that it lost.
const (
	lockWithin   = 100 * time.Millisecond
	relockWithin = 2 * time.Second
)

// backends are what the virtio devices of a guest work on at this host. They
// outlive the guest's resets.
type backends struct {
	disks   []*disk
	origins *origins              // which pages of the guest came from them; nil: none can be looked at here
	taps    map[string][]*os.File // by the interface's id, one a queue
	console *console.Hub          // of the virtio console; nil: none
	host    vsock.Host            // who dials for the vsock
	log     *slog.Logger
	durable func(*os.File) error // makes an image durable: image.Sync
	// lent: the guest still runs in another process, which works on them. No device is made before its state is restored here.
	lent bool
}

// disk is an open image.
type disk struct {
	id       string
	readOnly bool
	cached   bool
	file     *os.File
	pages    *os.File // the same, for what is read beside the guest; nil: nothing is
	// alignment that direct I/O demands of buffers here, in bytes.
	alignment uint32
}

// newDisk looks at an image that was handed over.
func newDisk(d Device, f *os.File) (*disk, error) {
	i, err := image.Inspect(f)
	if err != nil {
		return nil, err
	}
	if i.Size < d.Disk.Size {
		return nil, fmt.Errorf("disk %s has %d bytes; the guest's has %d", d.ID, i.Size, d.Disk.Size)
	}
	return &disk{id: d.ID, readOnly: d.Disk.ReadOnly, cached: d.Disk.Cache != "none", file: f, alignment: i.Alignment}, nil
}

// duplicate returns another descriptor of an open file: locks, queues and flags
// are the same. Not through Fd, which would make a tap blocking.
func duplicate(f *os.File) (*os.File, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	var dupErr error
	if err := raw.Control(func(from uintptr) { fd, dupErr = unix.FcntlInt(from, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		return nil, err
	}
	if dupErr != nil {
		return nil, fmt.Errorf("another descriptor of %s: %w", f.Name(), dupErr)
	}
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// takeBackends takes what these devices need out of what was handed over.
func takeBackends(files fileSet, devices []Device, host vsock.Host, log *slog.Logger) (_ *backends, err error) {
	b := &backends{taps: make(map[string][]*os.File), host: host, log: log, durable: image.Sync}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	take := func(role string) *os.File {
		f := files.take(role)
		if f == nil {
			err = errors.Join(err, fmt.Errorf("no %s was handed over", role))
		}
		return f
	}
	for _, d := range devices {
		switch d.Kind {
		case KindBlk:
			f := take(DiskRole(d.ID))
			if f == nil {
				return nil, err
			}
			k, err := newDisk(d, f)
			if err != nil {
				f.Close()
				return nil, err
			}
			k.pages = files.take(PagesRole(d.ID))
			b.disks = append(b.disks, k)
		case KindNet:
			for q := range d.Net.Queues {
				b.taps[d.ID] = append(b.taps[d.ID], take(TapRole(d.ID, q)))
			}
		case KindConsole:
			b.console = console.New(files.take(RoleVirtioConsoleOut), files.take(RoleVirtioConsoleIn))
		}
	}
	return b, err
}

// disk returns the image of a disk.
func (b *backends) disk(id string) *disk {
	for _, d := range b.disks {
		if d.id == id {
			return d
		}
	}
	return nil
}

// sync makes durable what the guest has written, which is all of it if its devices are at rest.
func (b *backends) sync() error {
	for _, d := range b.disks {
		if d.readOnly {
			continue
		}
		if err := b.durable(d.file); err != nil {
			return fmt.Errorf("disk %s: %w", d.id, err)
		}
	}
	return nil
}

// witness lets a target see that its images are these. Undone by forget.
func (b *backends) witness(token uint64) error {
	for _, d := range b.disks {
		if err := image.Witness(d.file, token); err != nil {
			return fmt.Errorf("disk %s: %w", d.id, err)
		}
	}
	return nil
}

func (b *backends) forget(token uint64) error {
	var errs []error
	for _, d := range b.disks {
		errs = append(errs, image.Forget(d.file, token))
	}
	return errors.Join(errs...)
}

// unlock lets a target have the images. Precondition: everything is synced.
func (b *backends) unlock() error {
	for _, d := range b.disks {
		if err := image.Unlock(d.file); err != nil {
			return fmt.Errorf("disk %s: %w", d.id, err)
		}
	}
	return nil
}

// lock takes the images, which somebody may be about to let go.
func (b *backends) lock(within time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	for _, d := range b.disks {
		if err := image.LockWithin(ctx, d.file, d.readOnly); err != nil {
			return &Failure{Code: "image_locked", Message: fmt.Sprintf("disk %s: %v", d.id, err), Remedy: "end whatever else uses the image"}
		}
	}
	return nil
}

// refresh forgets what this host has cached of the images: another has written them.
func (b *backends) refresh() error {
	for _, d := range b.disks {
		if !d.cached {
			continue
		}
		if err := image.DropCache(d.file); err != nil {
			return fmt.Errorf("disk %s: %w", d.id, err)
		}
	}
	return nil
}

// close releases everything. Precondition: no device works on it.
func (b *backends) close() {
	if b == nil {
		return
	}
	for _, d := range b.disks {
		d.file.Close()
		if d.pages != nil {
			d.pages.Close()
		}
	}
	for _, queues := range b.taps {
		for _, f := range queues {
			f.Close()
		}
	}
	if b.console != nil {
		b.console.Close()
	}
}

// imageToken is what the locks of a move's images show.
func imageToken(m migration.MoveID) uint64 { return binary.LittleEndian.Uint64(m[:8]) | 1 }
