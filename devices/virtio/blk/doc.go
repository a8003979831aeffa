// Package blk is the virtio block device: a disk that is a file or a block
// device of the host.
//
// Each queue has a worker, which takes requests, hands operations to an [Engine]
// (io_uring, or threads where that is not to be had), and gives back in one batch
// what has completed. A request is one or more operations, one after another:
// those of a range that is discarded, the pieces of a transfer that goes through
// a bounce buffer. Request objects are made with the queue; nothing is allocated
// for a request.
//
// A FLUSH is one fdatasync. It covers every write that had completed, that is,
// had been given back, when the driver asked for it; among requests that are on
// their way together there is no order, as for a real disk. A driver that does not
// accept FLUSH gets writes that are durable when they complete.
//
// Source: VIRTIO 1.2, section 5.2.
package blk
