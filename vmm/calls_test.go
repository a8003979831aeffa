package vmm

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// TestRules looks for what must never be in the list: none of these can be meant.
func TestRules(t *testing.T) {
	rules := rules(7)
	for name, call := range map[string]uint32{
		"open": unix.SYS_OPEN, "openat": unix.SYS_OPENAT, "openat2": unix.SYS_OPENAT2, "creat": unix.SYS_CREAT, "open_by_handle_at": unix.SYS_OPEN_BY_HANDLE_AT,
		"unlink": unix.SYS_UNLINK, "unlinkat": unix.SYS_UNLINKAT, "rename": unix.SYS_RENAME, "link": unix.SYS_LINK, "chmod": unix.SYS_CHMOD, "fchmod": unix.SYS_FCHMOD, "fchown": unix.SYS_FCHOWN,
		"fchdir": unix.SYS_FCHDIR, "chroot": unix.SYS_CHROOT, "mount": unix.SYS_MOUNT, "pivot_root": unix.SYS_PIVOT_ROOT, "setns": unix.SYS_SETNS, "unshare": unix.SYS_UNSHARE,
		"execve": unix.SYS_EXECVE, "execveat": unix.SYS_EXECVEAT, "fork": unix.SYS_FORK, "vfork": unix.SYS_VFORK, "clone3": unix.SYS_CLONE3,
		"socket": unix.SYS_SOCKET, "socketpair": unix.SYS_SOCKETPAIR, "connect": unix.SYS_CONNECT, "bind": unix.SYS_BIND, "listen": unix.SYS_LISTEN,
		"kill": unix.SYS_KILL, "tkill": unix.SYS_TKILL, "rt_sigqueueinfo": unix.SYS_RT_SIGQUEUEINFO, "rt_tgsigqueueinfo": unix.SYS_RT_TGSIGQUEUEINFO, "pidfd_send_signal": unix.SYS_PIDFD_SEND_SIGNAL,
		"pidfd_open": unix.SYS_PIDFD_OPEN, "pidfd_getfd": unix.SYS_PIDFD_GETFD, "ptrace": unix.SYS_PTRACE, "process_vm_writev": unix.SYS_PROCESS_VM_WRITEV, "process_madvise": unix.SYS_PROCESS_MADVISE,
		"bpf": unix.SYS_BPF, "perf_event_open": unix.SYS_PERF_EVENT_OPEN, "userfaultfd": unix.SYS_USERFAULTFD, "add_key": unix.SYS_ADD_KEY, "keyctl": unix.SYS_KEYCTL,
		"setuid": unix.SYS_SETUID, "setresuid": unix.SYS_SETRESUID, "capset": unix.SYS_CAPSET, "setpriority": unix.SYS_SETPRIORITY, "pkey_mprotect": unix.SYS_PKEY_MPROTECT,
		"init_module": unix.SYS_INIT_MODULE, "kexec_load": unix.SYS_KEXEC_LOAD, "reboot": unix.SYS_REBOOT, "swapon": unix.SYS_SWAPON, "memfd_secret": unix.SYS_MEMFD_SECRET,
	} {
		for _, r := range rules {
			if r.Call == call {
				t.Errorf("%s is in the list", name)
			}
		}
	}
	for _, r := range rules {
		// Of these only some are meant.
		if slices.Contains([]uint32{unix.SYS_IOCTL, unix.SYS_FCNTL, unix.SYS_PRCTL, unix.SYS_CLONE, unix.SYS_MMAP, unix.SYS_MPROTECT, unix.SYS_TGKILL, unix.SYS_PROCESS_VM_READV, unix.SYS_PRLIMIT64}, r.Call) &&
			len(r.OneOf) == 0 && r.Without == 0 && r.With == 0 {
			t.Errorf("system call %d is in the list whatever its arguments", r.Call)
		}
		if r.Call == unix.SYS_IOCTL {
			for name, request := range map[string]uint32{"TIOCSTI": unix.TIOCSTI, "TUNSETIFF": unix.TUNSETIFF, "FIONBIO's twin FIOASYNC": 0x5452, "BLKDISCARD": unix.BLKDISCARD} {
				if slices.Contains(r.OneOf, request) {
					t.Errorf("%s is in the list", name)
				}
			}
		}
	}
	if _, err := Filter(); err != nil {
		t.Error(err)
	}
}
