package guestmem

import "errors"

var (
	// ErrLayout reports a layout that is no valid guest memory. The caller should refuse the configuration or the peer it
	// came from.
	ErrLayout = errors.New("invalid guest memory layout")

	// ErrForeign reports a file that is no guest memory of another process. The caller should refuse the peer that it came from.
	ErrForeign = errors.New("no guest memory")

	// ErrOutside reports an access that is not entirely inside one region of guest memory. The address came from a guest or
	// a peer: the caller should fail that request and go on.
	ErrOutside = errors.New("outside guest memory")

	// ErrAlign reports an address or size that is not in whole pages where whole pages are required. It is a mistake of the
	// caller or of the peer that sent the range.
	ErrAlign = errors.New("not in whole pages")

	// ErrTracking reports that the memory already has a tracker. The caller should close that one first.
	ErrTracking = errors.New("memory is tracked already")

	// ErrAttached reports that the memory has a VM already. A Memory serves one VM for life: build another.
	ErrAttached = errors.New("memory is attached already")

	// ErrNoHugePages reports that the host has not enough free huge pages. The caller should refuse the guest, and say how
	// many it takes.
	ErrNoHugePages = errors.New("not enough free huge pages")

	// ErrPulling reports what cannot be done while pages may be missing: a second Pull, a Tracker. The caller should wait for
	// the last page, and close the Pull.
	ErrPulling = errors.New("memory is being pulled")

	// ErrInterrupted reports that the wait for a missing page was ended by Interrupt. The caller should leave its request
	// where it was, and try again after Resume.
	ErrInterrupted = errors.New("the wait for a missing page was interrupted")

	// ErrClosed reports a use after Close. It is a mistake of the caller.
	ErrClosed = errors.New("guest memory is closed")
)
