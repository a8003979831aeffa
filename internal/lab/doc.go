// Package lab is a laboratory on one machine: hosts that are network
// namespaces joined by a bridge, links that can be shaped and cut, an observer
// that time-stamps what guests print, and pumps that measure what a path
// carries at best.
//
// The namespaces have no name anywhere: each is held open by a file descriptor
// of this process and by the processes started inside it, so nothing is left
// behind however this process ends. Making a Lab needs root (CAP_SYS_ADMIN and
// CAP_NET_ADMIN); the Observer and the pumps need nothing.
package lab
