// Package guestmem holds a guest's RAM: memfds mapped twice, which pages changed, and which have been received.
//
// Each region of a [Layout] is one memfd with two mappings. KVM gets the guest mapping; this package reads through the
// host mapping and through the file. A page that was never written is a hole in the memfd, and stays one: ReadAt never
// allocates, and a [Tracker] asks the file for its extents (SEEK_DATA) before it touches a byte.
//
// What changed is the union of KVM's dirty log and of our own writes. A write of our own marks its pages after the bytes
// have landed, and a Tracker forgets a mark before it reads the page, so a change is either read or still marked. The same
// holds for KVM's log: its bits are cleared, and only those that were read from it, before the pages are looked at.
// With [Rings], KVM logs pages in a list for each vCPU instead; what is taken from there is protected again before it is marked.
//
// Pages may be missing, with a [Pull]: then the received bits alone say which are here, and everybody waits for the others.
//
// A hole is content: [Memory.Punch] marks pages like any write.
package guestmem
