package confine

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Rule says which calls of one system call are allowed.
type Rule struct {
	Call uint32
	// Arg is the number of the argument that decides, 0 to 5, of which the low 32 bits count: each that is tested is
	// an int for the kernel. It counts only where one of the following is set.
	Arg uint32
	// OneOf are the values that are allowed, the most frequent first.
	OneOf []uint32
	// Without are bits of which none may be set; With, of which one must be.
	Without, With uint32
}

// maxValues bounds Rule.OneOf: a jump of a filter reaches 255 instructions.
const maxValues = 250

// Offsets in struct seccomp_data, seccomp(2).
const (
	dataNumber = 0
	dataArch   = 4
	dataArgs   = 16 // 8 bytes each, the low half first
)

// x32 is the bit of the numbers of another ABI, whose calls take other arguments.
const x32 = 0x40000000

// Instructions of classic BPF.
const (
	load      = unix.BPF_LD | unix.BPF_W | unix.BPF_ABS
	jumpEqual = unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K
	jumpLeast = unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K
	jumpBits  = unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K
	answer    = unix.BPF_RET | unix.BPF_K
)

// refuse is what a call gets that no rule allows. An error, not death: a call that a later kernel, or a later Go, makes
// as an improvement must not cost a guest its life, and who has taken the process over gains nothing by being told.
const refuse = unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)

// Filter assembles rules, each call of which stands in one, for x86-64. What no rule allows fails with EPERM, except
// calls of another architecture, which end the process, and clone3, which fails with ENOSYS: the C library then uses clone, whose
// flags a filter can see.
//
// The rules are looked at in order; the kernel remembers the calls that are allowed whatever their arguments, and
// does not run the filter for them.
func Filter(rules []Rule) ([]unix.SockFilter, error) {
	p := []unix.SockFilter{
		{Code: load, K: dataArch},
		{Code: jumpEqual, Jt: 1, K: unix.AUDIT_ARCH_X86_64},
		{Code: answer, K: unix.SECCOMP_RET_KILL_PROCESS},
		{Code: load, K: dataNumber},
		{Code: jumpLeast, Jf: 1, K: x32},
		{Code: answer, K: refuse},
	}
	for i, r := range rules {
		if slices.ContainsFunc(rules[:i], func(o Rule) bool { return o.Call == r.Call }) {
			return nil, fmt.Errorf("confine: system call %d has two rules", r.Call)
		}
		body, err := r.assemble()
		if err != nil {
			return nil, err
		}
		p = append(p, unix.SockFilter{Code: jumpEqual, Jf: uint8(len(body)), K: r.Call})
		p = append(p, body...)
	}
	return append(p,
		unix.SockFilter{Code: jumpEqual, Jf: 1, K: unix.SYS_CLONE3},
		unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
		unix.SockFilter{Code: answer, K: refuse},
	), nil
}

// assemble answers a call by its argument.
func (r Rule) assemble() ([]unix.SockFilter, error) {
	allow := unix.SockFilter{Code: answer, K: unix.SECCOMP_RET_ALLOW}
	deny := unix.SockFilter{Code: answer, K: refuse}
	argument := unix.SockFilter{Code: load, K: dataArgs + 8*r.Arg}
	switch {
	case r.Arg > 5:
		return nil, fmt.Errorf("confine: system call %d: argument %d", r.Call, r.Arg)
	case len(r.OneOf) > maxValues:
		return nil, fmt.Errorf("confine: system call %d: %d values are more than %d", r.Call, len(r.OneOf), maxValues)
	case len(r.OneOf) > 0:
		p := []unix.SockFilter{argument}
		for i, v := range r.OneOf {
			p = append(p, unix.SockFilter{Code: jumpEqual, Jt: uint8(len(r.OneOf) - i), K: v})
		}
		return append(p, deny, allow), nil
	case r.Without != 0:
		return []unix.SockFilter{argument, {Code: jumpBits, Jt: 1, K: r.Without}, allow, deny}, nil
	case r.With != 0:
		return []unix.SockFilter{argument, {Code: jumpBits, Jf: 1, K: r.With}, allow, deny}, nil
	}
	return []unix.SockFilter{allow}, nil
}

// Install puts a filter on every thread of this process, for good, and takes from them the right to gain privileges.
// With a filter that is wrong, or on a kernel without seccomp, nothing has changed and an error says why.
func Install(filter []unix.SockFilter) error {
	if len(filter) == 0 {
		return errors.New("confine: an empty filter")
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("confine: no new privileges: %w", err)
	}
	// SAFETY: prog and the filter stay in place for the call, which copies them. Every thread gets the filter, and this
	// thread's no_new_privs with it; a thread that cannot have it is named by a positive answer.
	r, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog)))
	switch {
	case errno != 0:
		return fmt.Errorf("confine: the filter of system calls: %w", errno)
	case r != 0:
		return fmt.Errorf("confine: the filter of system calls: thread %d has another", r)
	}
	return nil
}
