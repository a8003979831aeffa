// Package link connects the network devices of guests to this host. It looks at
// what is there, lets netmig plan, and applies the plan: taps that are taken over
// or created, ports of bridges, macvtaps, routes. When the guest runs, Activate
// leads its traffic to it; when it has left, Retire leads none. It is the half of
// netmig that touches the host; only the supervisor imports it.
//
// Links that are created here are not persistent: each vanishes with its last
// descriptor, however the processes that hold them end.
package link
