package guestmem

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// region is one memfd with its two mappings and its page state.
type region struct {
	Range
	slot  uint32
	unit  uint64 // of allocation, in pages: 1, or hugePages
	file  *os.File
	fd    int // of file, for the calls that os.File does not offer
	guest mapping
	host  mapping

	own      atomicBitmap // pages that we wrote or punched, marked after the fact; the tracker takes them
	received atomicBitmap // pages that Place or PlaceHole has filled
	thick    thickness
	present  bitmap // pages known to be data, so that no seek is needed; guarded by Memory.mu
}

func newRegion(slot int, rg Range, unit uint64) (_ *region, err error) {
	r := &region{Range: rg, slot: uint32(slot), unit: unit}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	flags := unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	if r.huge() {
		flags |= unix.MFD_HUGETLB | unix.MFD_HUGE_2MB
	}
	fd, err := unix.MemfdCreate(fmt.Sprintf("guest-memory-%d", slot), flags)
	if err != nil {
		return nil, fmt.Errorf("memfd for guest memory: %w", r.hugeError(err))
	}
	r.fd = fd
	r.file = os.NewFile(uintptr(fd), "guest memory")
	if err := r.file.Truncate(int64(r.Size)); err != nil {
		return nil, fmt.Errorf("size guest memory: %w", err)
	}
	if _, err := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); err != nil {
		return nil, fmt.Errorf("seal guest memory: %w", err)
	}
	return r, r.mapAll()
}

// mapAll makes the mappings and the page state of a region that has its file.
func (r *region) mapAll() (err error) {
	if r.guest, err = mapFile(r.fd, r.Size, r.huge()); err != nil {
		return r.hugeError(err)
	}
	if r.host, err = mapFile(r.fd, r.Size, r.huge()); err != nil {
		return r.hugeError(err)
	}
	words := (r.pages() + 63) / 64
	r.own = make(atomicBitmap, words)
	r.received = make(atomicBitmap, words)
	return nil
}

func (r *region) close() error {
	errs := []error{r.guest.unmap(), r.host.unmap()}
	if r.file != nil {
		errs = append(errs, r.file.Close())
		r.file = nil
	}
	return errors.Join(errs...)
}

func (r *region) pages() uint64 { return r.Size / PageSize }

// data returns the first page at or after page that is data, or pages() if there is none.
func (r *region) data(page uint64) (uint64, error) { return r.seek(page, unix.SEEK_DATA) }

// hole returns the first page at or after page that is a hole, or pages() if there is none. It walks every page of the
// extent, 10 to 40 ns a page, during which nothing else runs on that CPU where the kernel is not preempted: not for while a guest waits, see dataUntil.
func (r *region) hole(page uint64) (uint64, error) { return r.seek(page, unix.SEEK_HOLE) }

func (r *region) seek(page uint64, whence int) (uint64, error) {
	if page >= r.pages() {
		return r.pages(), nil
	}
	if r.huge() {
		return r.seekHuge(page, whence == unix.SEEK_DATA)
	}
	off, err := unix.Seek(r.fd, int64(page*PageSize), whence)
	switch {
	case errors.Is(err, unix.ENXIO):
		return r.pages(), nil
	case err != nil:
		return 0, fmt.Errorf("seek in guest memory: %w", err)
	}
	return uint64(off) / PageSize, nil
}

// dataUntil returns a page up to which all from page on, at least, is data: at most end. What is swapped out it may take for a hole.
func (r *region) dataUntil(page, end uint64) (uint64, error) {
	if r.huge() {
		hole, err := r.hole(page)
		return min(hole, end), err
	}
	const window = 1024 // pages at a time
	var here [window]byte
	for page < end {
		n := min(window, end-page)
		if err := r.guest.resident(page*PageSize, here[:n]); err != nil {
			return 0, err
		}
		for _, b := range here[:n] {
			if b&1 == 0 {
				return page, nil
			}
			page++
		}
	}
	return end, nil
}

// eachExtent calls f for each extent of data, in ascending order, with its first page and the one behind it.
func (r *region) eachExtent(f func(from, to uint64)) error {
	for page := uint64(0); ; {
		from, err := r.data(page)
		if err != nil || from >= r.pages() {
			return err
		}
		if page, err = r.hole(from); err != nil {
			return err
		}
		f(from, page)
	}
}

// dataPages counts the pages that are data, by what the file has allocated.
func (r *region) dataPages() (n uint64, err error) {
	if r.huge() {
		err := r.eachExtent(func(from, to uint64) { n += to - from })
		return n, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(r.fd, &st); err != nil {
		return 0, fmt.Errorf("look at guest memory: %w", err)
	}
	return uint64(st.Blocks) * 512 / PageSize, nil
}

// punch makes bytes [off, off+size) a hole.
func (r *region) punch(off, size uint64) error {
	if r.huge() {
		return r.wipe(off, size)
	}
	for {
		err := unix.Fallocate(r.fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, int64(off), int64(size))
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("punch guest memory: %w", err)
		}
		return nil
	}
}

// read fills p from offset off through the file: reading a hole through a mapping would allocate a page.
func (r *region) read(p []byte, off uint64) error {
	if _, err := r.file.ReadAt(p, int64(off)); err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read guest memory: %w", err)
	}
	return nil
}

func (r *region) write(p []byte, off uint64) error {
	if r.huge() { // which cannot be written to as files
		copy(r.host.bytes[off:], p)
		return nil
	}
	if _, err := r.file.WriteAt(p, int64(off)); err != nil {
		return fmt.Errorf("write guest memory: %w", err)
	}
	return nil
}
