package guestmem

import "fmt"

const (
	// PageSize is the unit, in bytes, of tracking and placing.
	PageSize = 4096

	// MinSize and MaxSize bound a guest's memory, in bytes.
	MinSize = 16 << 20
	MaxSize = 1 << 40

	// sizeUnit is the granularity of a guest's memory. It is a multiple of 64 pages, which is what KVM_CLEAR_DIRTY_LOG wants.
	sizeUnit = 1 << 20

	// The hole below 4 GiB is where the APICs and devices live.
	holeStart = 3 << 30
	holeEnd   = 4 << 30
)

// Range is a span of guest-physical memory, in bytes.
type Range struct{ GPA, Size uint64 }

// End is the first address behind the range.
func (r Range) End() uint64 { return r.GPA + r.Size }

// Layout lists a guest's RAM in ascending order, without overlap. The position of a range is its KVM slot.
type Layout []Range

// NewLayout places size bytes of RAM: from 0 up to 3 GiB, and what is left from 4 GiB up. size must be a multiple of 1 MiB
// between MinSize and MaxSize, else the error is ErrLayout.
func NewLayout(size uint64) (Layout, error) {
	if size < MinSize || size > MaxSize || size%sizeUnit != 0 {
		return nil, fmt.Errorf("%w: %d bytes; must be whole MiB, from %d MiB to %d GiB", ErrLayout, size, MinSize>>20, MaxSize>>30)
	}
	if size <= holeStart {
		return Layout{{0, size}}, nil
	}
	return Layout{{0, holeStart}, {holeEnd, size - holeStart}}, nil
}

// Size is the sum of the ranges, in bytes.
func (l Layout) Size() uint64 {
	var n uint64
	for _, r := range l {
		n += r.Size
	}
	return n
}

// Validate reports whether a layout that came from elsewhere can be built. It returns ErrLayout with the reason.
func (l Layout) Validate() error {
	const maxRanges = 16
	if len(l) == 0 || len(l) > maxRanges {
		return fmt.Errorf("%w: %d ranges; must be 1 to %d", ErrLayout, len(l), maxRanges)
	}
	var end, total uint64
	for i, r := range l {
		switch {
		case r.GPA%sizeUnit != 0 || r.Size%sizeUnit != 0 || r.Size == 0:
			return fmt.Errorf("%w: range %d [%#x, +%#x) is not whole MiB", ErrLayout, i, r.GPA, r.Size)
		case r.GPA > 2*MaxSize || r.Size > MaxSize:
			return fmt.Errorf("%w: range %d [%#x, +%#x) is beyond the limit", ErrLayout, i, r.GPA, r.Size)
		case i > 0 && r.GPA < end:
			return fmt.Errorf("%w: range %d [%#x, +%#x) is not above its predecessor", ErrLayout, i, r.GPA, r.Size)
		}
		end = r.End()
		total += r.Size
	}
	if total < MinSize || total > MaxSize {
		return fmt.Errorf("%w: %d bytes in all", ErrLayout, total)
	}
	return nil
}
