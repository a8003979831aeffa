// Package announce makes the frames by which a guest that has moved tells its
// network where it is: bridges learn its port from any of them, and hosts that
// its addresses are still its own.
//
// Source: RFC 903 (RARP), RFC 5227 section 3 (announcing an address of IPv4),
// RFC 4861 section 7.2.6 (unsolicited neighbour advertisements).
package announce
