// Package vmm is a machine: from a [Config], what a person asked for, to a
// [Plan], deterministic data, to a [Machine], a guest that runs. Source and
// target of a move build from the same plan.
//
// It is the confined half of a running machine: [Serve] is a process of its
// own, which holds KVM, guest memory, the devices and the migration engine, is
// handed every descriptor by its supervisor, and opens no path and no socket.
// So nothing here, and nothing that it imports, knows the command line, the
// network's configuration or metrics.
package vmm
