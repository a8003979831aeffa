package linux

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Find returns a variant of the guest, or ErrNotBuilt. It compiles init, to know what the guest is made of: it must
// be called within this module.
func Find(ctx context.Context, v Variant) (Guest, error) {
	c, err := openCache()
	if err != nil {
		return Guest{}, err
	}
	busybox, err := os.ReadFile(busyboxFile)
	if err != nil {
		return Guest{}, fmt.Errorf("%w: %w", ErrNotBuilt, err)
	}
	g, err := plan(ctx, v, busybox)
	if err != nil {
		return Guest{}, err
	}
	return read(c.path(g.entry))
}

// Build makes a variant of the guest, or finds it in the cache: then it takes a second. A kernel takes minutes. Only
// one process builds at a time; others wait. It installs the Debian packages that it lacks, which needs root.
// What it does is written to log.
func Build(ctx context.Context, v Variant, log io.Writer) (Guest, error) {
	c, err := openCache()
	if err != nil {
		return Guest{}, err
	}
	unlock, err := c.lock(ctx)
	if err != nil {
		return Guest{}, err
	}
	defer unlock()
	if err := install(ctx, log, busyboxPackage); err != nil {
		return Guest{}, err
	}
	busybox, err := os.ReadFile(busyboxFile)
	if err != nil {
		return Guest{}, err
	}
	g, err := plan(ctx, v, busybox)
	if err != nil {
		return Guest{}, err
	}
	if c.has(g.entry) {
		return read(c.path(g.entry))
	}
	if !c.has(g.kernel) {
		if err := install(ctx, log, append([]string{sourcePackage}, kernelTools...)...); err != nil {
			return Guest{}, err
		}
		// What is installed now may be newer than what was known of before.
		if g, err = plan(ctx, v, busybox); err != nil {
			return Guest{}, err
		}
	}
	if !c.has(g.kernel) {
		if err := c.add(g.kernel, func(dir string) error { return buildKernel(ctx, v, dir, log) }); err != nil {
			return Guest{}, err
		}
	}
	if err := c.add(g.entry, func(dir string) error { return g.assemble(dir, c.path(g.kernel)) }); err != nil {
		return Guest{}, err
	}
	return read(c.path(g.entry))
}

// planned is a guest that may or may not be built.
type planned struct {
	entry, kernel string // names in the cache
	initramfs     []byte
}

// plan computes what a guest is made of.
func plan(ctx context.Context, v Variant, busybox []byte) (planned, error) {
	init, err := buildInit(ctx)
	if err != nil {
		return planned{}, err
	}
	initramfs, err := Initramfs(init, busybox)
	if err != nil {
		return planned{}, err
	}
	source := installed(ctx, sourcePackage)
	if source == "" {
		source = candidate(ctx, sourcePackage)
	}
	g := planned{kernel: kernelKey(v, source, compiler(ctx)), initramfs: initramfs}
	g.entry = key(string(v), []byte(g.kernel), g.initramfs)
	return g, nil
}

// assemble fills the guest's folder, with links to the kernel's files.
func (g planned) assemble(dir, kernel string) error {
	for _, name := range kernelProducts {
		if err := os.Link(filepath.Join(kernel, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, initramfsName), g.initramfs, 0o644)
}

// killAfter is how long a cancelled build may take to end.
const killAfter = 5 * time.Second

// buildKernel leaves a kernel's products in dir.
func buildKernel(ctx context.Context, v Variant, dir string, log io.Writer) error {
	work := filepath.Join(dir, "work")
	scripts := filepath.Join(work, "recipe")
	if err := os.Mkdir(work, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(work)
	if err := writeKernelFiles(scripts, v); err != nil {
		return err
	}
	fmt.Fprintf(log, "building Linux, variant %s: this takes minutes\n", v)
	cmd := exec.CommandContext(ctx, filepath.Join(scripts, "build"), sourceTarball, work, string(v))
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, unix.SIGTERM) }
	cmd.WaitDelay = killAfter
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("linux: build variant %s: %w", v, err)
	}
	for _, name := range kernelProducts {
		if err := os.Rename(filepath.Join(work, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return os.RemoveAll(work)
}
