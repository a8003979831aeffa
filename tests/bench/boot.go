package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ferryvmm/ferry/guests/linux"
	"github.com/ferryvmm/ferry/tests/drive"
	"github.com/ferryvmm/ferry/tests/qemu"
)

// bootWithin bounds one boot: Linux takes 10 s where ring 0 is interpreted.
const bootWithin = 2 * time.Minute

// bootMemory of the guests, in MiB: gokvm puts the initramfs at 240 MiB.
const bootMemory = 256

// bootCmdline has loadgen fill little: the start is measured, not the filling.
const bootCmdline = "fill=1 wss=1"

// boots are the starts of one guest by one VMM, from exec to the first byte of READY read from its serial line.
type boots struct {
	Guest    string  `json:"guest"`
	VMM      string  `json:"vmm"`
	Samples  int     `json:"samples"`
	MedianMS float64 `json:"ready_ms"`
	MinMS    float64 `json:"ready_min_ms"`
	MaxMS    float64 `json:"ready_max_ms"`
	Ratio    float64 `json:"ferry_ratio"` // Ferry's median over this one

	command []string
	all     []float64
}

// boot starts each guest with every VMM in turn.
func (b bench) boot(ctx context.Context, r *results) error {
	dir, err := os.MkdirTemp("", "ferry-boot-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	gokvm, err := buildGokvm(ctx, dir)
	if err != nil {
		return err
	}
	small, err := linux.Find(ctx, linux.Fast)
	if err != nil {
		return err
	}
	for _, g := range []struct {
		name string
		linux.Guest
	}{
		{"loadgen", linux.Guest{Kernel: b.kernel, Cmdline: bootCmdline}},
		{"linux", small},
	} {
		list := []boots{
			{VMM: "ferry", command: ferryBoot(b.vmm, g.Guest)},
			{VMM: "gokvm", command: gokvmBoot(gokvm, g.Guest)},
		}
		if b.qemu.Path != "" {
			list = append(list, boots{VMM: "qemu " + b.qemu.Version, command: b.qemuBoot(g.Guest)})
		}
		for n := range b.samples {
			for i := range list {
				ms, err := b.readyAfter(ctx, list[i].command)
				if err != nil {
					return fmt.Errorf("%s, %s, sample %d: %w", g.name, list[i].VMM, n+1, err)
				}
				b.record.add(what{"boot", list[i].VMM, g.name, 0, n}, metric{"ready", "ms", -1}, ms)
				list[i].all = append(list[i].all, ms)
			}
		}
		fmt.Printf("%s from exec to READY, %d MiB; medians of %d, in ms; goal: 0.5 of QEMU's, 1 of gokvm's\n", g.name, bootMemory, b.samples)
		for i := range list {
			s := &list[i]
			s.Guest, s.Samples = g.name, len(s.all)
			s.MedianMS, s.MinMS, s.MaxMS = median(s.all), slices.Min(s.all), slices.Max(s.all)
			s.Ratio = list[0].MedianMS / s.MedianMS
			fmt.Printf("%-24s ferry's is %.2f of it %8.0f (%.0f to %.0f)\n", s.VMM, s.Ratio, s.MedianMS, s.MinMS, s.MaxMS)
		}
		r.Boot = append(r.Boot, list...)
	}
	return nil
}

func ferryBoot(vmm string, g linux.Guest) []string {
	args := []string{vmm, "run", "--console", "stdio", "--memory", strconv.Itoa(bootMemory) + "M",
		"--kernel", g.Kernel, "--cmdline", g.Cmdline}
	if g.Initramfs != "" {
		args = append(args, "--initrd", g.Initramfs)
	}
	return args
}

// gokvmBoot names an initramfs always: without one gokvm forgets the command line. Its table of interrupts leads Linux
// to an I/O APIC where the serial line's never come, and with noapic they do.
func gokvmBoot(gokvm string, g linux.Guest) []string {
	return []string{gokvm, "boot", "-k", g.Kernel, "-i", cmp.Or(g.Initramfs, os.DevNull), "-p", g.Cmdline + " noapic", "-m", strconv.Itoa(bootMemory) + "M"}
}

func (b bench) qemuBoot(g linux.Guest) []string {
	c := qemu.Config{Kernel: g.Kernel, Initrd: g.Initramfs, Cmdline: g.Cmdline, Memory: bootMemory, CPUs: 1}
	return append([]string{b.qemu.Path}, c.Arguments()...)
}

// readyAfter starts a VMM on a terminal of its own, which gokvm wants, and returns the milliseconds until READY was
// read from it. Then it ends the VMM.
func (b bench) readyAfter(ctx context.Context, command []string) (ms float64, err error) {
	site, err := drive.NewSite(b.vmm, nil)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, site.Close()) }()
	master, slave, err := openTerminal()
	if err != nil {
		return 0, err
	}
	defer master.Close()
	if err := master.SetReadDeadline(time.Now().Add(bootWithin)); err != nil {
		return 0, err
	}
	defer context.AfterFunc(ctx, func() { _ = master.SetReadDeadline(time.Now()) })()
	var stderr strings.Builder
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(), "FERRY_DIR="+site.Dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, &stderr
	began := time.Now()
	err = cmd.Start()
	slave.Close()
	if err != nil {
		return 0, err
	}
	at, err := awaitReady(master)
	_ = cmd.Process.Kill() // it may have ended
	_ = cmd.Wait()         // killed
	if err != nil {
		return 0, fmt.Errorf("%w\nstderr: %s", err, &stderr)
	}
	return milliseconds(at.Sub(began)), nil
}

// awaitReady reads until READY begins, and returns when that was.
func awaitReady(r io.Reader) (time.Time, error) {
	var seen []byte
	buf := make([]byte, 4096)
	for {
		n, err := r.Read(buf)
		now := time.Now()
		seen = append(seen, buf[:n]...)
		switch {
		case bytes.Contains(seen, []byte("READY")):
			return now, nil
		case err != nil:
			return now, fmt.Errorf("got no READY: %w; the end of what came: %q", err, seen[max(0, len(seen)-500):])
		}
	}
}
