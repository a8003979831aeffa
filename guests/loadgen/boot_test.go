package loadgen_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
)

// guest says what to boot.
type guest struct {
	kernel  string // path of the ELF; the committed one unless set
	cpus    int    // one unless set
	memory  int    // MiB; 64 unless set
	cmdline string
	wire    *wire  // its network, if it has one
	disk    string // path of its disk's image, if it has one
	vcon    string // path of the socket of its virtio console, if it has one
	rng     bool   // it has a source of entropy
	balloon bool   // it has a balloon
	vsock   string // path of the socket of its vsock, if it has one; not under QEMU, which needs a kernel that has one

	// For QEMU only.
	options    string   // of its virtio devices, each with a comma before it
	drive      string   // what its disk is, if not a raw image
	memoryFile string   // backs the guest's memory, so that a test can read and damage it
	cpu        string   // features to add or take away, from the usual ones
	extra      []string // further arguments
}

// running is a guest that was booted. Its lines end when it ends.
type running struct {
	lines <-chan string
	qmp   *qmp   // nil but under QEMU
	ferry *ferry // nil but under our vmm

	cmd   *exec.Cmd
	ended chan struct{} // closed behind the last line
	code  func() int    // waits for the end of the command; its exit code
}

// defaults fills in what is not set.
func (g *guest) defaults(t *testing.T) {
	if g.kernel == "" {
		g.kernel = embedded(t)
	}
	g.cpus = max(g.cpus, 1)
	if g.memory == 0 {
		g.memory = 64
	}
}

// boot starts a guest and ends it with the test.
type boot func(t *testing.T, g guest) *running

// vmms are the machines under which the behaviour is tested.
var vmms = map[string]boot{"qemu": bootQEMU, "vmm": bootFerry}

// underEach runs a test under every machine.
func underEach(t *testing.T, test func(t *testing.T, boot boot)) {
	t.Helper()
	for vmm, boot := range vmms {
		t.Run(vmm, func(t *testing.T) {
			t.Parallel()
			test(t, boot)
		})
	}
}

// qemuOnly says whether the guest asks for what only QEMU can do.
func (g *guest) qemuOnly() bool {
	return g.memoryFile != "" || g.cpu != "" || g.options != "" || g.drive != "" || g.extra != nil
}

// unavailable skips, but fails where everything must be there.
func unavailable(t *testing.T, reason string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// needKVM is for tests that run a guest.
func needKVM(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0)
	if err != nil {
		unavailable(t, fmt.Sprintf("no usable /dev/kvm: %v", err))
	}
	f.Close()
}

// shortDir is a folder whose path is short, as those of sockets must be, and
// without "=" and ",", which QEMU takes in no path.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "loadgen")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// start starts a machine whose standard output is the serial line. The test
// ends by calling kill, which must make an end of whatever still writes there.
func start(t *testing.T, g guest, cmd *exec.Cmd, kill func(r *running)) *running {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := new(strings.Builder)
	cmd.Stderr = stderr
	begin := cmd.Start
	if g.wire != nil {
		begin = func() error { return g.wire.host.Start(cmd) }
	}
	if err := begin(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 1<<16)
	r := &running{lines: lines, cmd: cmd, ended: make(chan struct{})}
	r.code = sync.OnceValue(func() int {
		for range lines {
		}
		<-r.ended
		_ = cmd.Wait() // its exit code says more
		return cmd.ProcessState.ExitCode()
	})
	go func() {
		defer close(r.ended)
		defer close(lines)
		for s := bufio.NewScanner(stdout); s.Scan(); {
			lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			kill(r)
			r.code()
		}
		if t.Failed() && stderr.Len() > 0 {
			t.Logf("%s said: %s", cmd.Path, stderr)
		}
	})
	return r
}
