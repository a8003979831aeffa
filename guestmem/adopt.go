package guestmem

import (
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// seals are those of each memfd: whoever else gets the descriptor can neither shrink it under our mappings (SIGBUS) nor
// take guest writes away.
const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL

// Files returns the memfd of each region of the layout, for a process that adopts them. They stay the memory's.
func (m *Memory) Files() []*os.File {
	files := make([]*os.File, len(m.regions))
	for i, r := range m.regions {
		files[i] = r.file
	}
	return files
}

// Adopt makes the memory of memfds that another process has made with New or NewHuge: both see the same pages. It writes none,
// and allocates none but huge pages, all of them: there is no telling which are data. The files are the memory's afterwards, and
// the caller's after an error: ErrLayout, ErrForeign, or the system call's.
func Adopt(layout Layout, files []*os.File) (*Memory, error) {
	if err := layout.Validate(); err != nil {
		return nil, err
	}
	if len(files) != len(layout) {
		return nil, fmt.Errorf("%w: %d files for %d regions", ErrForeign, len(files), len(layout))
	}
	m := &Memory{layout: slices.Clone(layout)}
	for i, rg := range m.layout {
		r, err := adoptRegion(i, rg, files[i])
		if err != nil {
			for _, r := range m.regions {
				r.file = nil
			}
			return nil, errors.Join(err, m.Close())
		}
		m.regions = append(m.regions, r)
	}
	return m, nil
}

// adoptRegion maps a memfd that is there. After an error the file is the caller's.
func adoptRegion(slot int, rg Range, f *os.File) (*region, error) {
	fd, err := descriptor(f)
	if err != nil {
		return nil, err
	}
	if err := checkMemfd(fd, rg.Size); err != nil {
		return nil, fmt.Errorf("region %d: %w", slot, err)
	}
	unit, err := unitOf(fd)
	if err != nil {
		return nil, err
	}
	if rg.GPA%(unit*PageSize) != 0 || rg.Size%(unit*PageSize) != 0 {
		return nil, fmt.Errorf("%w: [%#x, +%#x) is not in whole pages of 2 MiB", ErrLayout, rg.GPA, rg.Size)
	}
	r := &region{Range: rg, slot: uint32(slot), unit: unit, fd: fd, file: f}
	if err := r.adopt(); err != nil {
		r.file = nil
		return nil, errors.Join(err, r.close())
	}
	return r, nil
}

// adopt maps what is there.
func (r *region) adopt() error {
	if err := r.mapAll(); err != nil || !r.huge() {
		return err
	}
	for {
		err := unix.Madvise(r.host.bytes, unix.MADV_POPULATE_READ)
		if err == nil {
			return nil
		}
		if !errors.Is(err, unix.EINTR) && !errors.Is(err, unix.EAGAIN) {
			return fmt.Errorf("map guest memory: %w", err)
		}
	}
}

// unitOf tells in what units, in pages, a memfd is allocated.
func unitOf(fd int) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Fstatfs(fd, &st); err != nil {
		return 0, fmt.Errorf("look at guest memory: %w", err)
	}
	switch {
	case st.Type != unix.HUGETLBFS_MAGIC:
		return 1, nil
	case st.Bsize != hugePages*PageSize:
		return 0, fmt.Errorf("%w: huge pages of %d bytes", ErrForeign, st.Bsize)
	}
	return hugePages, nil
}

// descriptor returns the number of a file's descriptor, which stays as it is.
func descriptor(f *os.File) (int, error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, err
	}
	fd := -1
	err = raw.Control(func(n uintptr) { fd = int(n) })
	return fd, err
}

// checkMemfd refuses what New has not made: only a memfd has seals.
func checkMemfd(fd int, size uint64) error {
	got, err := unix.FcntlInt(uintptr(fd), unix.F_GET_SEALS, 0)
	if errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("%w: no memfd", ErrForeign)
	}
	if err != nil {
		return fmt.Errorf("look at guest memory: %w", err)
	}
	if got != seals {
		return fmt.Errorf("%w: seals %#x, not %#x", ErrForeign, got, seals)
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("look at guest memory: %w", err)
	}
	if uint64(st.Size) != size {
		return fmt.Errorf("%w: %d bytes, not %d", ErrForeign, st.Size, size)
	}
	return nil
}
