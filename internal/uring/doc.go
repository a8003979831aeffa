// Package uring is a small binding of io_uring: a ring of submissions and one of
// completions that are shared with the kernel, and one system call that submits
// a batch, lets completions in and waits for one if asked to.
//
// A [Ring] belongs to one thread, which [Ring.Enable] picks: then the kernel
// does the end of each request on that thread, when it enters, and interrupts
// nobody. That thread waits for files (an eventfd, say) and for completions in
// the same call, by way of [Ring.Poll].
//
// Source: io_uring(7), io_uring_setup(2), io_uring_enter(2). Sizes, offsets and
// numbers are tested against <linux/io_uring.h>.
package uring
