// Package migration moves a guest from one machine to another, or into and out
// of a file. It knows machines only through Guest, Host, Built and Record.
//
// A source ([Send]) and a target ([Receive]) speak over two connections: one
// for control, one for bulk. What each does is decided by a pure state machine
// (source, target): events in, actions out, without a clock, a socket or a
// goroutine. The shell around it executes the actions.
//
// # Ownership
//
// At most one copy of a guest runs. The source gives the guest up at the
// instant at which the commit may have left, and from then on runs it again
// only if the target proves that it did not start it ([Answer]). The target
// makes "started" durable before the first KVM_RUN, and a tombstone durable
// before anybody says "not started" ([Record]).
//
// # Wire
//
// Every connection begins with a [Hello] of 64 bytes, then come frames: a
// header with a checksum, and a payload whose length is limited by its type.
// The header's layout and the Refused payload are the same in every protocol
// version, so that peers of any two versions can tell each other why they
// cannot talk. A vmm speaks all versions from [VersionMin] to [VersionMax], to move
// guests from the old to the new and back. A file is the source's two streams
// interleaved ([Save], [Restore]). docs/format.md has every byte.
package migration
