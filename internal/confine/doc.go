// Package confine takes from a process what it does not need: a process whose input is hostile, and which may be
// somebody else's from one instruction to the next.
//
// Two steps, for each thing is easiest to take at another place. [Start] starts a program from a thread that has given
// up, for itself alone, all that the kernel lets a program inherit: capabilities, the right to gain any (no_new_privs), the
// file system (landlock, and an empty root), the network (a namespace with nothing in it). So the process is confined
// from its first instruction, and every thread of it, without a word of its own. A filter of system calls ([Filter]) cannot
// be inherited, since it forbids to start programs: the process puts it on itself before it looks at any input.
//
// The rings of io_uring carry operations past a filter, and a process that may make rings may open and connect with
// them. That is why the file system and the network are taken a second time: landlock, the empty root and the empty
// network hold for a ring's operations, too.
package confine
