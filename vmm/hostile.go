//go:build ferryhostile

package vmm

import (
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/uring"
)

// This build is for a test: its machine process, once it has a guest, tries what somebody would try who has taken it over, and
// logs what became of each.

// victim is the process that it would signal: its supervisor, at the other end of its first descriptor.
func victim() int {
	cred, err := unix.GetsockoptUcred(3, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 1
	}
	return int(cred.Pid)
}

// attack tries everything, in the background.
func (p *process) attack() {
	go func() {
		runtime.LockOSThread() // as rings want it; never unlocked
		pid := victim()
		for _, try := range []struct {
			name string
			do   func() error
		}{
			{"open a file", func() error { return opened(unix.Open("/etc/passwd", unix.O_RDONLY, 0)) }},
			{"open its own program", func() error { return opened(unix.Open("/proc/self/exe", unix.O_RDONLY, 0)) }},
			{"open by openat2", func() error {
				return opened(unix.Openat2(unix.AT_FDCWD, "etc/passwd", &unix.OpenHow{Flags: unix.O_RDONLY}))
			}},
			{"make a file", func() error { return opened(unix.Open("/tmp/x", unix.O_CREAT|unix.O_RDWR, 0o600)) }},
			{"remove a file", func() error { return unix.Unlink("/etc/passwd") }},
			{"mount", func() error { return unix.Mount("none", "/", "tmpfs", 0, "") }},
			{"open by a ring", func() error { return ringed(uring.AttackOpen) }},
			{"run a program", func() error { return unix.Exec("/bin/true", []string{"true"}, nil) }},
			{"run a program from memory", fromMemory},
			{"fork", func() error { return forked(unix.SYS_FORK, 0) }},
			{"vfork", func() error { return forked(unix.SYS_CLONE, uintptr(unix.SIGCHLD)) }},
			{"make code", func() error {
				_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANON)
				return err
			}},
			{"open a socket of TCP", func() error { return opened(unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)) }},
			{"open a socket of UDP", func() error { return opened(unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)) }},
			{"open a unix socket", func() error { return opened(unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)) }},
			{"open a netlink socket", func() error { return opened(unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW, 0)) }},
			{"send by a ring's socket", func() error { return ringed(uring.AttackSend) }},
			{"connect by a ring's unix socket", func() error { return ringed(uring.AttackUnix) }},
			{"connect by a ring's socket of TCP", func() error { return ringed(uring.AttackTCP) }},
			{"signal its supervisor", func() error { return unix.Kill(pid, 0) }},
			{"signal its supervisor's thread", func() error { return unix.Tgkill(pid, pid, 0) }},
			{"hold its supervisor", func() error { return opened(unix.PidfdOpen(pid, 0)) }},
			{"trace its supervisor", func() error { return unix.PtraceAttach(pid) }},
			{"read its supervisor's memory", func() error {
				b := make([]byte, 8)
				local := unix.Iovec{Base: &b[0]}
				local.SetLen(len(b))
				_, err := unix.ProcessVMReadv(pid, []unix.Iovec{local}, []unix.RemoteIovec{{Base: 0x400000, Len: 8}}, 0)
				return err
			}},
			{"become root", func() error { return raw(unix.SYS_SETRESUID, 0, 0, 0) }},
			{"make a namespace", func() error { return unix.Unshare(unix.CLONE_NEWUSER) }},
			{"load a program into the kernel", func() error { return raw(unix.SYS_BPF, 0, 0, 0) }},
			{"count its host's events", func() error { return raw(unix.SYS_PERF_EVENT_OPEN, 0, 0, 0) }},
			{"ask for another ioctl", func() error { return unix.IoctlSetInt(2, unix.TIOCSTI, 0) }},
			{"raise its limits", func() error {
				return unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{Cur: 1 << 20, Max: 1 << 20})
			}},
		} {
			result := "done"
			if err := try.do(); err != nil {
				result = err.Error()
				if errno, ok := errors.AsType[unix.Errno](err); ok {
					result = unix.ErrnoName(errno)
				}
			}
			p.log.Warn("hostile", "try", try.name, "result", result)
		}
		p.log.Warn("hostile", "try", "all", "result", "over")
		runtime.Goexit()
	}()
}

func opened(fd int, err error) error {
	if err == nil {
		unix.Close(fd)
	}
	return err
}

func raw(number, a, b, c uintptr) error {
	if _, _, errno := unix.RawSyscall(number, a, b, c); errno != 0 {
		return errno
	}
	return nil
}

// forked makes a process, which ends at once.
func forked(number, flags uintptr) error {
	child, _, errno := unix.RawSyscall(number, flags, 0, 0)
	if errno != 0 {
		return errno
	}
	if child == 0 {
		_ = raw(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
	return nil
}

// fromMemory runs a program that is in no file system.
func fromMemory() error {
	fd, err := unix.MemfdCreate("x", 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "x")
	defer f.Close()
	if _, err := f.WriteString("#!/bin/true\n"); err != nil {
		return err
	}
	return unix.Exec(fmt.Sprintf("/proc/self/fd/%d", fd), []string{"x"}, nil)
}

// ringed lets a ring do something, past the filter of system calls.
func ringed(do func(*uring.Ring) error) error {
	r, err := uring.New(8)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.Enable(); err != nil {
		return err
	}
	return do(r)
}
