// Package uffd is a small binding of userfaultfd: page faults of a range of
// this process's memory come as messages, and whoever touched it waits until
// the page has been given.
//
// It serves shared memory only (memfds), where a page is placed through another
// mapping or the file, and then given with [FD.Continue].
//
// Source: userfaultfd(2), ioctl_userfaultfd(2). Sizes, offsets and numbers are
// tested against <linux/userfaultfd.h>.
package uffd
