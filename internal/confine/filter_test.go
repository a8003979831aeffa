package confine

import (
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// call is a system call as a filter sees it.
type call struct {
	arch, number uint32
	args         [6]uint64
}

// verdict runs a filter on a call, as the kernel would.
func verdict(t *testing.T, filter []unix.SockFilter, c call) uint32 {
	t.Helper()
	word := func(at uint32) uint32 {
		switch {
		case at == dataNumber:
			return c.number
		case at == dataArch:
			return c.arch
		case at >= dataArgs && at < dataArgs+48 && at%4 == 0:
			return uint32(c.args[(at-dataArgs)/8] >> (at % 8 * 8))
		}
		t.Fatalf("the filter loads from %d", at)
		return 0
	}
	var a uint32
	for pc := 0; pc < len(filter); pc++ {
		i := filter[pc]
		jump := func(yes bool) {
			if yes {
				pc += int(i.Jt)
			} else {
				pc += int(i.Jf)
			}
		}
		switch i.Code {
		case load:
			a = word(i.K)
		case jumpEqual:
			jump(a == i.K)
		case jumpLeast:
			jump(a >= i.K)
		case jumpBits:
			jump(a&i.K != 0)
		case answer:
			return i.K
		default:
			t.Fatalf("instruction %d: code %#x", pc, i.Code)
		}
	}
	t.Fatal("the filter ends without an answer")
	return 0
}

func TestFilter(t *testing.T) {
	filter, err := Filter([]Rule{
		{Call: unix.SYS_IOCTL, Arg: 1, OneOf: []uint32{0xae80, 7}},
		{Call: unix.SYS_MMAP, Arg: 2, Without: unix.PROT_EXEC},
		{Call: unix.SYS_CLONE, Arg: 0, With: unix.CLONE_THREAD},
		{Call: unix.SYS_READ},
	})
	if err != nil {
		t.Fatal(err)
	}
	const x86 = unix.AUDIT_ARCH_X86_64
	for _, c := range []struct {
		what string
		call call
		want uint32
	}{
		{"a call that is allowed", call{arch: x86, number: unix.SYS_READ}, unix.SECCOMP_RET_ALLOW},
		{"one that is not", call{arch: x86, number: unix.SYS_EXECVE}, refuse},
		{"the same of x32", call{arch: x86, number: unix.SYS_READ | x32}, refuse},
		{"of another architecture", call{arch: unix.AUDIT_ARCH_I386, number: unix.SYS_READ}, unix.SECCOMP_RET_KILL_PROCESS},
		{"a request that is allowed", call{arch: x86, number: unix.SYS_IOCTL, args: [6]uint64{3, 0xae80}}, unix.SECCOMP_RET_ALLOW},
		{"the last such", call{arch: x86, number: unix.SYS_IOCTL, args: [6]uint64{3, 7}}, unix.SECCOMP_RET_ALLOW},
		{"one whose high half the kernel ignores", call{arch: x86, number: unix.SYS_IOCTL, args: [6]uint64{3, 1<<32 | 7}}, unix.SECCOMP_RET_ALLOW},
		{"another request", call{arch: x86, number: unix.SYS_IOCTL, args: [6]uint64{3, 8}}, refuse},
		{"data", call{arch: x86, number: unix.SYS_MMAP, args: [6]uint64{0, 1, unix.PROT_READ | unix.PROT_WRITE}}, unix.SECCOMP_RET_ALLOW},
		{"code", call{arch: x86, number: unix.SYS_MMAP, args: [6]uint64{0, 1, unix.PROT_READ | unix.PROT_EXEC}}, refuse},
		{"a thread", call{arch: x86, number: unix.SYS_CLONE, args: [6]uint64{unix.CLONE_VM | unix.CLONE_THREAD}}, unix.SECCOMP_RET_ALLOW},
		{"a process", call{arch: x86, number: unix.SYS_CLONE, args: [6]uint64{unix.CLONE_VM}}, refuse},
		{"either, out of sight", call{arch: x86, number: unix.SYS_CLONE3}, unix.SECCOMP_RET_ERRNO | uint32(unix.ENOSYS)},
	} {
		if got := verdict(t, filter, c.call); got != c.want {
			t.Errorf("%s: got %#x; want %#x", c.what, got, c.want)
		}
	}
}

func TestFilterIsRefused(t *testing.T) {
	for _, c := range []struct {
		rules []Rule
		want  string
	}{
		{[]Rule{{Call: 1}, {Call: 1, Arg: 1, OneOf: []uint32{1}}}, "two rules"},
		{[]Rule{{Call: 1, Arg: 6, Without: 1}}, "argument 6"},
		{[]Rule{{Call: 1, OneOf: make([]uint32, maxValues+1)}}, "251 values"},
	} {
		if _, err := Filter(c.rules); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v; want %q", err, c.want)
		}
	}
	if err := Install(nil); err == nil {
		t.Error("an empty filter: got no error")
	}
}
