package uffd

import "errors"

var (
	// ErrUnavailable means that this process gets no userfaultfd, or one that lacks a feature; the message names the file,
	// setting or feature. The caller refuses what needs it, and says so.
	ErrUnavailable = errors.New("userfaultfd is not available")

	// ErrMapped means that the page is mapped already. The caller wakes who waits for it.
	ErrMapped = errors.New("the page is mapped already")

	// ErrHole means that the file has no page there. The caller places one, or gives zeros.
	ErrHole = errors.New("the file has no page there")
)
