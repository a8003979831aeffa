package vmm

import (
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/internal/confine"
	"github.com/ferryvmm/ferry/internal/kvm"
	"github.com/ferryvmm/ferry/internal/uffd"
	"github.com/ferryvmm/ferry/vmm/image"
)

// Filter is the filter of system calls of a machine process. There is nothing in it by which to open a path, make a socket, start
// a program, signal or trace another process, map code, or change what the process is.
func Filter() ([]unix.SockFilter, error) {
	return confine.Filter(rules(uint32(os.Getpid())))
}

// rules are the calls of a machine process whose id is pid.
func rules(pid uint32) []confine.Rule {
	rules := []confine.Rule{
		{Call: unix.SYS_IOCTL, Arg: 1, OneOf: ioctls()},
		// Pages are data or code from the start, and none becomes code.
		{Call: unix.SYS_MMAP, Arg: 2, Without: unix.PROT_EXEC},
		{Call: unix.SYS_MPROTECT, Arg: 2, Without: unix.PROT_EXEC},
		// Threads of this process, not processes.
		{Call: unix.SYS_CLONE, Arg: 0, With: unix.CLONE_THREAD},
		{Call: unix.SYS_TGKILL, Arg: 0, OneOf: []uint32{pid}},
		{Call: unix.SYS_PROCESS_VM_READV, Arg: 0, OneOf: []uint32{pid}}, // internal/resident reads the headers of its program
		{Call: unix.SYS_SCHED_SETATTR, Arg: 0, OneOf: []uint32{0}},
		{Call: unix.SYS_SCHED_GETAFFINITY, Arg: 0, OneOf: []uint32{0, pid}},
		{Call: unix.SYS_PRLIMIT64, Arg: 0, OneOf: []uint32{0}},
		{Call: unix.SYS_PRCTL, Arg: 0, OneOf: []uint32{unix.PR_SET_VMA}},    // Go names its mappings
		{Call: unix.SYS_STATX, Arg: 2, OneOf: []uint32{unix.AT_EMPTY_PATH}}, // of a disk, by its descriptor
		// Not whom a descriptor signals, nor leases.
		{Call: unix.SYS_FCNTL, Arg: 1, OneOf: []uint32{
			unix.F_GETFL, unix.F_SETFL, unix.F_GETFD, unix.F_SETFD, unix.F_DUPFD_CLOEXEC,
			unix.F_OFD_SETLK, unix.F_OFD_GETLK, unix.F_ADD_SEALS, unix.F_GET_SEALS,
		}},
	}
	for _, c := range slices.Concat(goCalls, ioCalls) {
		rules = append(rules, confine.Rule{Call: c})
	}
	return rules
}

// ioctls are all requests of a machine process, by number.
func ioctls() []uint32 {
	return slices.Concat(kvm.Requests(), uffd.Requests(), []uint32{
		unix.TUNSETOFFLOAD, unix.TUNSETQUEUE, // of taps: devices/virtio/net
		unix.TIOCINQ, // of a move's connections: migration
	}, image.Requests())
}

// goCalls are those of Go's runtime.
var goCalls = []uint32{
	unix.SYS_FUTEX, unix.SYS_NANOSLEEP, unix.SYS_SCHED_YIELD, unix.SYS_CLOCK_GETTIME, unix.SYS_CLOCK_NANOSLEEP,
	unix.SYS_EPOLL_PWAIT, unix.SYS_EPOLL_CTL, unix.SYS_EPOLL_CREATE1, unix.SYS_EVENTFD2, unix.SYS_PIPE2,
	unix.SYS_MUNMAP, unix.SYS_MADVISE, unix.SYS_MINCORE, unix.SYS_BRK, unix.SYS_MREMAP,
	unix.SYS_RT_SIGRETURN, unix.SYS_RT_SIGACTION, unix.SYS_RT_SIGPROCMASK, unix.SYS_SIGALTSTACK, unix.SYS_RESTART_SYSCALL,
	unix.SYS_SETITIMER, unix.SYS_TIMER_CREATE, unix.SYS_TIMER_SETTIME, unix.SYS_TIMER_DELETE, // profiles; their signals go to this process
	unix.SYS_GETPID, unix.SYS_GETTID, unix.SYS_ARCH_PRCTL, unix.SYS_SET_ROBUST_LIST, unix.SYS_RSEQ,
	unix.SYS_EXIT, unix.SYS_EXIT_GROUP, unix.SYS_GETRANDOM, unix.SYS_UNAME,
}

// ioCalls are what is done with descriptors, those that were handed over and a few kinds that lead nowhere.
var ioCalls = []uint32{
	unix.SYS_READ, unix.SYS_WRITE, unix.SYS_READV, unix.SYS_WRITEV, unix.SYS_PREAD64, unix.SYS_PWRITE64,
	unix.SYS_PREADV, unix.SYS_PWRITEV, unix.SYS_PREADV2, unix.SYS_PWRITEV2, unix.SYS_LSEEK, unix.SYS_CLOSE, unix.SYS_DUP3,
	unix.SYS_POLL, unix.SYS_PPOLL, unix.SYS_FSTAT, unix.SYS_FSTATFS,
	unix.SYS_FALLOCATE, unix.SYS_FTRUNCATE, unix.SYS_FSYNC, unix.SYS_FDATASYNC, unix.SYS_FADVISE64, unix.SYS_SYNC_FILE_RANGE,
	unix.SYS_MEMFD_CREATE,
	unix.SYS_SENDMSG, unix.SYS_RECVMSG, unix.SYS_SENDTO, unix.SYS_RECVFROM, unix.SYS_SHUTDOWN, unix.SYS_ACCEPT4, // one socket listens: for who adopts the guest
	unix.SYS_SETSOCKOPT, unix.SYS_GETSOCKOPT, unix.SYS_GETSOCKNAME, unix.SYS_GETPEERNAME,
	unix.SYS_SENDFILE, unix.SYS_SPLICE, unix.SYS_COPY_FILE_RANGE, // io.Copy
	unix.SYS_IO_URING_SETUP, unix.SYS_IO_URING_ENTER, unix.SYS_IO_URING_REGISTER,
}
