package migration_test

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/migration"
)

// TestZeroCopyWithoutURing moves a guest in a process that may not use io_uring, as in many containers.
func TestZeroCopyWithoutURing(t *testing.T) {
	const child = "MIGRATION_TEST_FILTERED"
	if os.Getenv(child) == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestZeroCopyWithoutURing$")
		cmd.Env = append(os.Environ(), child+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("behind a filter: %v\n%s", err, out)
		}
		return
	}
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: 0}, // the number of the system call
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: unix.SYS_IO_URING_SETUP},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)},
		{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW},
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		t.Fatal(err)
	}
	// SAFETY: prog and its filter stay in place for the call, which copies them.
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC, uintptr(unsafe.Pointer(&prog))); errno != 0 {
		t.Fatal(errno)
	}
	b := newBench(t, 0)
	b.send.DataPath = migration.PathZeroCopy
	e := b.run(t, within(t, 30*time.Second))
	if e.sentErr != nil {
		t.Fatal(e.sentErr)
	}
	b.wantMoved(t)
	if e.sent.Path != migration.PathCopy || !strings.Contains(e.sent.PathReason, "io_uring is not available") {
		t.Errorf("got path %q, %q; want copies for want of io_uring", e.sent.Path, e.sent.PathReason)
	}
}
