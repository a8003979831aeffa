package vmm

import (
	"fmt"
	"strings"

	"github.com/ferryvmm/ferry/guestmem"
)

// Limits of a guest in this version.
const (
	MaxCPUs    = 8
	maxCmdline = 2048 // bytes, with the terminating zero

	// HugePageSize is the only size of huge pages, in bytes.
	HugePageSize = 2 << 20
)

// Clocks that a guest may have over a pause in its life.
const (
	// ClockAdvance: the guest's clocks go on while it is stopped or moved.
	ClockAdvance = "advance"
	// ClockFreeze: the guest sees no time pass.
	ClockFreeze = "freeze"
)

// defaultCmdline is the kernel's command line where none was given.
const defaultCmdline = "console=ttyS0 panic=-1"

// Config is what a person asked for. Its zero fields are not defaults: the
// command fills them.
type Config struct {
	Name        string
	MemoryBytes uint64
	HugePages   bool // of 2 MiB, for all of the memory
	CPUs        int
	Kernel      string // path, for people; empty: loadgen
	Initrd      string // path, for people; empty: none
	Cmdline     string
	CmdlineSet  bool
	Clock       string
	Devices     []Device // virtio
	CPU         string   // host, baseline, or the path of a file
	CPUModel    []byte   // content of the file

	Tracking Tracking // of this host alone: no part of the plan
}

// Check reports what can be told to be wrong without touching the host. The
// error is a *Failure.
func (c Config) Check() error {
	bad := func(remedy, format string, args ...any) error {
		return &Failure{Code: "config", Message: fmt.Sprintf(format, args...), Remedy: remedy}
	}
	if _, err := guestmem.NewLayout(c.MemoryBytes); err != nil {
		return bad("choose a --memory that this host has", "memory: %v", err)
	}
	if c.HugePages && c.MemoryBytes%HugePageSize != 0 {
		return bad("choose a --memory that is a multiple of 2M", "hugepages: %d MiB of memory are not whole pages of 2 MiB", c.MemoryBytes>>20)
	}
	if c.CPUs < 1 || c.CPUs > MaxCPUs {
		return bad("choose another number of --cpus", "cpus: %d is not between 1 and %d", c.CPUs, MaxCPUs)
	}
	if c.Clock != ClockAdvance && c.Clock != ClockFreeze {
		return bad("use --clock advance or --clock freeze", "clock: %q is not known", c.Clock)
	}
	if err := c.Tracking.check(); err != nil {
		return err
	}
	if len(c.Cmdline) >= maxCmdline {
		return bad("shorten the --cmdline", "cmdline: %d bytes are more than the %d that a kernel takes", len(c.Cmdline), maxCmdline-1)
	}
	if strings.ContainsRune(c.Cmdline, 0) {
		return bad("give another --cmdline", "cmdline: contains a zero byte")
	}
	slots, err := place(c.Devices)
	if err != nil {
		return err
	}
	if line := deviceWords(c.cmdline(), slots); len(line) >= maxCmdline {
		return bad("shorten the --cmdline", "cmdline: %d bytes with the devices are more than the %d that a kernel takes", len(line), maxCmdline-1)
	}
	if c.Initrd != "" && c.Kernel == "" {
		return bad("give --kernel too, or no --initrd", "initrd: loadgen takes none")
	}
	return nil
}

// cmdline is the command line that the guest gets.
func (c Config) cmdline() string {
	if c.CmdlineSet {
		return c.Cmdline
	}
	return defaultCmdline
}

// testDevice tells whether the guest gets the device whose register counts its
// reads: loadgen does, and any kernel that is told to use it.
func (c Config) testDevice() bool {
	if c.Kernel == "" {
		return true
	}
	for _, word := range strings.Fields(c.cmdline()) {
		if word == "countreg=1" {
			return true
		}
	}
	return false
}
