// Package netmig is the network side of a guest and of its moves. Here is what
// is data: which network devices a guest has, and where a host connects them.
// What touches the host is in netmig/link, which only the supervisor imports.
package netmig
