package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/guests/linux"
	"github.com/ferryvmm/ferry/tests/qemu"
)

// gokvmModule is the peer that boots and does not migrate. Its version is that
// of go.mod.
const gokvmModule = "github.com/bobuhiro11/gokvm"

// bootWithin bounds one boot: the Linux guest takes 10 s where ring 0 is interpreted.
const bootWithin = 3 * time.Minute

// bootMemory of the guests that are booted, in MiB.
const bootMemory = 64

// boots are the times of one VMM with one guest, from its start to the first
// byte of READY on its serial line.
type boots struct {
	VMM      string  `json:"vmm"`
	Guest    string  `json:"guest"`
	Samples  int     `json:"samples"`
	MedianMS float64 `json:"ready_ms"`
	MinMS    float64 `json:"min_ms"`
	MaxMS    float64 `json:"max_ms"`

	command []string
	all     []float64
}

// boot measures every VMM in turn, with loadgen and with Linux.
func (b bench) boot(ctx context.Context) ([]boots, error) {
	guest, err := linux.Find(ctx)
	if err != nil {
		return nil, err
	}
	gokvm, err := buildGokvm(ctx)
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(filepath.Dir(gokvm))
	memory := strconv.Itoa(bootMemory) + "M"
	ferry := []string{b.vmm, "run", "--console", "stdio", "--memory", memory}
	list := []boots{
		{VMM: "ferry", Guest: "loadgen", command: append(slices.Clone(ferry), "--cmdline", bootCmdline)},
		{VMM: "ferry", Guest: "linux", command: append(slices.Clone(ferry), "--kernel", guest.Kernel, "--initrd", guest.Initramfs, "--cmdline", guest.Cmdline)},
		{VMM: "gokvm", Guest: "linux", command: []string{gokvm, "boot", "-k", guest.Kernel, "-i", guest.Initramfs, "-m", memory, "-p", guest.Cmdline}},
	}
	if b.qemu.Path != "" {
		list = append(list,
			boots{VMM: "qemu " + b.qemu.Version, Guest: "loadgen", command: b.qemuBoot(b.kernel, "", bootCmdline)},
			boots{VMM: "qemu " + b.qemu.Version, Guest: "linux", command: b.qemuBoot(guest.Kernel, guest.Initramfs, guest.Cmdline)})
	}
	for n := range b.samples {
		for i := range list {
			ms, err := readyAfter(ctx, list[i].command)
			if err != nil {
				return nil, fmt.Errorf("%s, %s, sample %d: %w", list[i].VMM, list[i].Guest, n+1, err)
			}
			list[i].all = append(list[i].all, ms)
		}
	}
	slices.SortStableFunc(list, func(a, b boots) int { return bytes.Compare([]byte(a.Guest), []byte(b.Guest)) })
	fmt.Printf("from exec to READY, %d MiB guests, medians of %d, in ms\n", bootMemory, b.samples)
	for i := range list {
		s := &list[i]
		slices.Sort(s.all)
		s.Samples, s.MedianMS, s.MinMS, s.MaxMS = len(s.all), s.all[len(s.all)/2], s.all[0], s.all[len(s.all)-1]
		fmt.Printf("%-8s %-16s %8.0f (%.0f to %.0f)\n", s.Guest, s.VMM, s.MedianMS, s.MinMS, s.MaxMS)
	}
	return list, nil
}

// bootCmdline has loadgen fill little: the time to start is measured, not the filling.
const bootCmdline = "fill=1 wss=1"

// qemuBoot is a command that boots a guest in QEMU.
func (b bench) qemuBoot(kernel, initrd, cmdline string) []string {
	c := qemu.Config{Binary: b.qemu, Kernel: kernel, Initrd: initrd, Cmdline: cmdline, Memory: bootMemory, CPUs: 1}
	return append([]string{b.qemu.Path}, c.Arguments()...)
}

// buildGokvm builds the peer of the version that go.mod names.
func buildGokvm(ctx context.Context) (string, error) {
	version, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Version}}", gokvmModule).Output()
	if err != nil {
		return "", fmt.Errorf("the version of gokvm: %w", err)
	}
	dir, err := os.MkdirTemp("", "ferry-gokvm-")
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "install", gokvmModule+"@"+string(bytes.TrimSpace(version)))
	cmd.Env = append(os.Environ(), "GOBIN="+dir, "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", errors.Join(fmt.Errorf("building gokvm: %w: %s", err, out), os.RemoveAll(dir))
	}
	return filepath.Join(dir, "gokvm"), nil
}

// readyAfter starts a VMM on a terminal of its own, which gokvm wants, and
// returns the milliseconds until READY was read from it.
func readyAfter(ctx context.Context, command []string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, bootWithin)
	defer cancel()
	master, slave, err := openPTY()
	if err != nil {
		return 0, err
	}
	defer master.Close()
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout = slave, slave
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	began := time.Now()
	err = cmd.Start()
	slave.Close()
	if err != nil {
		return 0, err
	}
	ms, err := awaitReady(master, began)
	_ = cmd.Process.Kill() // it may have ended
	_ = cmd.Wait()         // killed
	if err != nil {
		return 0, fmt.Errorf("%w; it said: %s", err, stderr.Bytes())
	}
	return ms, nil
}

// awaitReady reads until READY begins.
func awaitReady(r io.Reader, began time.Time) (float64, error) {
	var seen []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		at := time.Since(began)
		seen = append(seen, buf[:n]...)
		if i := bytes.Index(seen, []byte("READY")); i >= 0 {
			return float64(at.Microseconds()) / 1000, nil
		}
		if err != nil {
			return 0, fmt.Errorf("no READY: %w; the last of it: %q", err, seen[max(0, len(seen)-500):])
		}
	}
}

// openPTY makes a pseudo-terminal.
func openPTY() (master, slave *os.File, err error) {
	if master, err = os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		return nil, nil, err
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		slave, err = os.OpenFile("/dev/pts/"+strconv.Itoa(n), os.O_RDWR|unix.O_NOCTTY, 0)
	}
	if err != nil {
		master.Close()
		return nil, nil, err
	}
	return master, slave, nil
}
