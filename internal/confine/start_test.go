package confine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// child, in the environment, makes this program one that tries what a confined process cannot do, with no filter of system calls to help. Its value
// is a port of TCP at which somebody listens.
const child = "FERRY_CONFINED_CHILD"

func TestMain(m *testing.M) {
	if port := os.Getenv(child); port != "" {
		attempts(port)
		return
	}
	os.Exit(m.Run())
}

// attempts prints what became of each.
func attempts(port string) {
	got := map[string]string{}
	try := func(what string, err error) {
		got[what] = "done"
		if errno, ok := errors.AsType[unix.Errno](err); ok {
			got[what] = unix.ErrnoName(errno)
		} else if err != nil {
			got[what] = err.Error()
		}
	}
	try("enter", Enter())
	_, err := os.ReadFile("/etc/passwd")
	try("read", err)
	_, err = os.ReadFile("proc/self/exe")
	try("read by the folder it began in", err)
	try("write", os.WriteFile("/x", nil, 0o600))
	try("signal", unix.Kill(os.Getppid(), 0))
	number, _ := strconv.Atoi(port)
	for what, kind := range map[string]int{"TCP": unix.SOCK_STREAM, "UDP": unix.SOCK_DGRAM} {
		fd, err := unix.Socket(unix.AF_INET, kind, 0)
		if err == nil {
			err = unix.Connect(fd, &unix.SockaddrInet4{Port: number, Addr: [4]byte{127, 0, 0, 1}})
		}
		try(what, err)
	}
	privileges, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0)
	got["privileges"] = fmt.Sprint(privileges, err)
	for c := range 64 {
		if has(c) {
			got["capability"] = fmt.Sprint(c)
		}
	}
	got["uid"] = fmt.Sprint(os.Geteuid(), os.Getgid())
	_ = json.NewEncoder(os.Stdout).Encode(got)
}

// confined starts this program as a child and returns what it says.
func confined(t *testing.T, u *User) (map[string]string, Applied) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	cmd := &exec.Cmd{Args: []string{"child"}, Env: []string{child + "=" + port}, Stdin: null, Stdout: w, Stderr: os.Stderr}
	applied, err := Start(cmd, u)
	w.Close()
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]string
	if err := errors.Join(json.NewDecoder(r).Decode(&got), cmd.Wait()); err != nil {
		t.Fatal(err)
	}
	return got, applied
}

func TestDynamic(t *testing.T) {
	for path, want := range map[string]bool{"/bin/sh": true, "/proc/self/exe": false, os.DevNull: false} {
		if got := dynamic(path); got != want {
			t.Errorf("%s: got %t; want %t", path, got, want)
		}
	}
}

func TestStart(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root: an empty root and network")
	}
	temporary := t.TempDir()
	t.Setenv("TMPDIR", temporary)
	if err := os.Chmod(temporary, 0o755); err != nil { // for the other user, on his way
		t.Fatal(err)
	}
	want := map[string]string{
		"enter": "done", "read": "ENOENT", "read by the folder it began in": "ENOENT", "write": "EACCES",
		"signal": "EPERM", "TCP": "EACCES", "UDP": "ENETUNREACH", "privileges": "1 <nil>", "uid": "0 0",
	}
	got, applied := confined(t, nil)
	if abi, err := landlockABI(); err != nil || abi < abiScopes {
		t.Logf("landlock %d, %v: not all that is wanted is to be had", abi, err)
		delete(want, "signal")
		delete(got, "signal")
	}
	if got["write"] == "ENOENT" { // the folder is gone already
		want["write"] = "ENOENT"
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what it can do (-want +got):\n%s", diff)
	}
	if len(applied.Missing) > 0 || !applied.EmptyRoot || !applied.EmptyNetwork || applied.Landlock == 0 {
		t.Errorf("got %+v; want all of it", applied)
	}
	want["uid"] = "65534 65533"
	if got, applied = confined(t, &User{65534, 65533}); applied.User.UID != 65534 {
		t.Errorf("got %+v; want user 65534", applied)
	}
	if want["write"] = got["write"]; got["write"] != "EACCES" && got["write"] != "ENOENT" {
		t.Errorf("write: got %s; want it refused", got["write"])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("what it can do as another user (-want +got):\n%s", diff)
	}
	// Nothing was taken from this process.
	if _, err := os.ReadFile("/etc/passwd"); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(temporary, "*")); err != nil || len(left) > 0 {
		t.Errorf("got %q, %v left; want nothing", left, err)
	}
}

func TestRights(t *testing.T) {
	var last uint64
	for _, c := range []struct {
		abi    int
		files  uint64 // the highest right
		net    bool
		scoped bool
		size   uintptr
	}{{1, unix.LANDLOCK_ACCESS_FS_MAKE_SYM, false, false, 8}, {2, unix.LANDLOCK_ACCESS_FS_REFER, false, false, 8}, {3, unix.LANDLOCK_ACCESS_FS_TRUNCATE, false, false, 8},
		{4, unix.LANDLOCK_ACCESS_FS_TRUNCATE, true, false, 16}, {5, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV, true, false, 16}, {6, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV, true, true, 24},
		{9, unix.LANDLOCK_ACCESS_FS_IOCTL_DEV, true, true, 24}} {
		a := denyAll(c.abi)
		if a.Handled_access_fs != c.files<<1-1 || (a.Handled_access_net != 0) != c.net || (a.Scoped != 0) != c.scoped || attrSize(c.abi) != c.size {
			t.Errorf("ABI %d: got %+v of %d bytes; want files up to %#x, net %v, scopes %v, %d bytes", c.abi, a, attrSize(c.abi), c.files, c.net, c.scoped, c.size)
		}
		if a.Handled_access_fs < last {
			t.Errorf("ABI %d gives up less than the one before", c.abi)
		}
		last = a.Handled_access_fs
	}
}

// TestShed runs in a process of its own.
func TestShed(t *testing.T) {
	const shedding = "FERRY_SHEDDING"
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root")
		}
		t.Skip("needs root: who has no capabilities has none to give up")
	}
	if os.Getenv(shedding) == "" {
		cmd := exec.Command(os.Args[0], "-test.run", "^TestShed$")
		cmd.Env = append(os.Environ(), shedding+"=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	if err := Shed([]int{unix.CAP_KILL, unix.CAP_SYS_NICE}, false); err != nil {
		if errors.Is(err, unix.ENOTSUP) {
			t.Skip("a binary with cgo cannot")
		}
		t.Fatal(err)
	}
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil || len(tasks) < 3 {
		t.Fatalf("got %d threads, %v; want some", len(tasks), err)
	}
	for _, path := range tasks {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"CapEff:\t0000000000800020\n", "CapPrm:\t0000000000800020\n", "CapBnd:\t0000000000800020\n", "NoNewPrivs:\t1\n"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("%s: got\n%s\nwant %q", path, text, want)
			}
		}
	}
}
