package guestmem

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// hugePages is how many pages a huge page of 2 MiB has.
//
// Huge pages are dirtied, sent, placed and waited for by pages of 4 KiB like all others; but they are allocated, and mapped
// for the guest, whole. Their memfd can be read, not written; it does not know holes, so which huge pages were ever written
// is asked of the two mappings: whoever writes goes through one of them. They stay allocated until Close, for what is given
// back can be gone when the guest wants it again, and then there is no error that it could be told.
const hugePages = 512

func (r *region) huge() bool { return r.unit > 1 }

// whole makes pages [first, end) whole units.
func (r *region) whole(first, end uint64) (uint64, uint64) {
	return first / r.unit * r.unit, (end + r.unit - 1) / r.unit * r.unit
}

// here tells whether all of the unit that page is in was received.
func (r *region) here(page uint64) bool {
	first, end := r.whole(page, page+1)
	return r.received.nextClear(first, end) == end
}

// hugeError says what the errors of making huge memory mean.
func (r *region) hugeError(err error) error {
	if !r.huge() {
		return err
	}
	switch {
	case errors.Is(err, unix.ENOMEM):
		return fmt.Errorf("%w: %d of 2 MiB are wanted (sysctl vm.nr_hugepages): %w", ErrNoHugePages, r.pages()/hugePages, err)
	case errors.Is(err, unix.ENODEV), errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: this kernel has none of 2 MiB (CONFIG_HUGETLBFS): %w", ErrNoHugePages, err)
	}
	return err
}

// seekHuge is seek. A huge page that neither mapping has is a hole.
func (r *region) seekHuge(page uint64, data bool) (uint64, error) {
	const window = 8 // huge pages at a time
	var guest, host [window * hugePages]byte
	for at := page / hugePages; at < r.pages()/hugePages; at += window {
		n := min(window, r.pages()/hugePages-at)
		off := at * hugePages * PageSize
		if err := errors.Join(r.guest.resident(off, guest[:n*hugePages]), r.host.resident(off, host[:n*hugePages])); err != nil {
			return 0, err
		}
		for i := range n {
			if (guest[i*hugePages]|host[i*hugePages])&1 != 0 == data {
				return max(page, (at+i)*hugePages), nil
			}
		}
	}
	return r.pages(), nil
}

// wipe makes bytes [off, off+size) zeros, and allocates nothing for that.
func (r *region) wipe(off, size uint64) error {
	end := (off + size) / PageSize
	for page := off / PageSize; page < end; {
		from, err := r.data(page)
		if err != nil {
			return err
		}
		if page, err = r.hole(from); err != nil {
			return err
		}
		if from < end {
			clear(r.host.bytes[from*PageSize : min(page, end)*PageSize])
		}
	}
	return nil
}

// allocate makes the unit from page first on data, if it is none.
func (r *region) allocate(first uint64) error {
	for {
		err := unix.Fallocate(r.fd, 0, int64(first*PageSize), int64(r.unit*PageSize))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("allocate guest memory: %w", err)
		}
		return nil
	}
}
