// Package link connects the network devices of guests to this host: it takes
// over or creates taps, and puts them on bridges. It is the half of netmig that
// touches the host; only the supervisor imports it.
//
// Taps that are created here are not persistent: each vanishes with its last
// descriptor, however the processes that hold them end.
package link
