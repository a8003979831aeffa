// Package image opens disk images and keeps two guests, or two hosts, from
// using one at the same time.
//
// The supervisor opens, the machine locks: locks belong to the open file
// description, which both share once the descriptor was handed over, and end
// with its last descriptor. While a guest moves, the source holds a witness on the
// image; the target, which has opened the image without a lock, looks for it and
// so knows that both see the same image and that locks reach from one to the other.
package image
