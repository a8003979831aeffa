// Package police decides which frames of a network device may pass: limits of
// bytes and packets, and addresses that must be the guest's own. It drops what
// may not; nothing waits. It allocates nothing for a frame, and takes no lock.
//
// Source: token buckets as in ITU-T I.371 (GCRA, virtual scheduling); RFC 6980
// (no fragments of neighbour discovery), RFC 7112 (header chains are whole).
package police
