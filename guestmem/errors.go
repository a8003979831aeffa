package guestmem

import "errors"

var (
	// ErrLayout reports a layout that is no valid guest memory. The caller should refuse the configuration or the peer it
	// came from.
	ErrLayout = errors.New("invalid guest memory layout")

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

	// ErrClosed reports a use after Close. It is a mistake of the caller.
	ErrClosed = errors.New("guest memory is closed")
)
