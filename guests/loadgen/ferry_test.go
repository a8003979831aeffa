package loadgen_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guests/loadgen"
)

// ferryName is the machine's name, in a state folder of its own.
const ferryName = "loadgen"

// command is our vmm: its path, once built. Guests are below the command, so
// it is driven as people do.
var command = sync.OnceValues(func() (string, error) {
	path := filepath.Join(built, "vmm")
	cmd := exec.Command("go", "build", "-trimpath", "-o", path, "../../cmd/vmm")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the command: %w\n%s", err, out)
	}
	return path, nil
})

// built is where what is built once is kept.
var built string

func TestMain(m *testing.M) {
	os.Exit(func() int {
		var err error
		if built, err = os.MkdirTemp("", "loadgen"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(built)
		return m.Run()
	}())
}

// ferry is a state folder of our vmm.
type ferry struct{ vmm, dir string }

func bootFerry(t *testing.T, g guest) *running {
	t.Helper()
	g.defaults(t)
	if g.qemuOnly() {
		t.Fatalf("got %+v; want nothing that is for QEMU only", g)
	}
	needKVM(t)
	vmm, err := command()
	if err != nil {
		t.Fatal(err)
	}
	f := &ferry{vmm: vmm, dir: shortDir(t)}
	args := []string{"run", "--name", ferryName, "--cpus", fmt.Sprint(g.cpus), "--memory", fmt.Sprintf("%dM", g.memory),
		"--cmdline", g.cmdline, "--console", "stdio"}
	kernel, err := os.ReadFile(g.kernel)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(kernel, loadgen.ELF()) { // which is what it boots unless told otherwise
		args = append(args, "--kernel", g.kernel)
	}
	args = append(args, g.ferryDevices()...)
	r := start(t, g, f.prepare(args...), func(r *running) { f.kill(t, r) })
	r.ferry = f
	return r
}

// ferryDevices are the arguments for the guest's virtio devices.
func (g *guest) ferryDevices() (args []string) {
	if g.wire != nil {
		args = append(args, "--net", fmt.Sprintf("eth=tap=%s,mac=%s", tapName, guestMAC))
	}
	if g.disk != "" {
		args = append(args, "--disk", "disk="+g.disk)
	}
	if g.vcon != "" {
		args = append(args, "--virtio-console", "unix:"+g.vcon)
	}
	if g.rng {
		args = append(args, "--rng")
	}
	if g.balloon {
		args = append(args, "--balloon")
	}
	if g.vsock != "" {
		args = append(args, "--vsock", "3=unix:"+g.vsock)
	}
	return args
}

// prepare makes a call of the command.
func (f *ferry) prepare(args ...string) *exec.Cmd {
	cmd := exec.Command(f.vmm, args...)
	cmd.Env = append(os.Environ(), "FERRY_DIR="+f.dir)
	return cmd
}

// do calls the command and returns its standard output.
func (f *ferry) do(t *testing.T, args ...string) string {
	t.Helper()
	out, err := f.prepare(args...).Output()
	if err != nil {
		t.Fatalf("vmm %q: %v\n%s", args, err, errorText(err))
	}
	return string(out)
}

// kill ends the machine. Killing only the command would leave the guest.
func (f *ferry) kill(t *testing.T, r *running) {
	out, err := f.prepare("kill", ferryName).CombinedOutput()
	if err == nil {
		return
	}
	select {
	case <-r.ended: // by itself
	case <-time.After(patience):
		t.Errorf("vmm kill: %v\n%s", err, out)
		r.cmd.Process.Kill()
	}
}

// errorText is what a failed command said.
func errorText(err error) string {
	if exit, ok := err.(*exec.ExitError); ok {
		return string(exit.Stderr)
	}
	return ""
}

// memory opens the guest's memory, one piece from address 0 on.
func (f *ferry) memory(t *testing.T) *os.File {
	t.Helper()
	var list struct{ Machines []struct{ PID int } }
	if err := json.Unmarshal([]byte(f.do(t, "ps", "--json")), &list); err != nil || len(list.Machines) != 1 {
		t.Fatalf("got machines %+v, %v; want one", list.Machines, err)
	}
	fds, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", list.Machines[0].PID))
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		if to, err := os.Readlink(fd); err != nil || !strings.HasPrefix(to, "/memfd:") {
			continue
		}
		file, err := os.OpenFile(fd, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { file.Close() })
		return file
	}
	t.Fatalf("got no memfd among %d files of process %d; want the guest's memory", len(fds), list.Machines[0].PID)
	return nil
}
