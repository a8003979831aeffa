// Package linux is Ferry's Linux guest: a kernel from Debian's source package with our configuration, adapted so that
// it boots soon also where KVM interprets ring 0 in software, and an initramfs with an init of ours and busybox.
//
// Build makes it, into a cache that is keyed by everything that it is made of; Find says where it is. There are two
// variants:
//
//	fast   one CPU, no ACPI, a 100 Hz clock: what tests boot
//	full   SMP, ACPI, high-resolution timers, IPv6, ext4, power button, virtio rng, console and vsock besides
//
// All that full has runs where KVM is software, too. There, with two CPUs, the clock's ticks take most of a loaded host's
// time, and now and then a program dies as it starts: it reads zeros where it has just written its thread's data. With
// one CPU this was never seen; it looks like a translation that the other CPU did not forget.
//
// The command init says what the guest does, and by which words of the kernel's command line.
package linux

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Variant is a configuration of the kernel.
type Variant string

// The variants.
const (
	Fast Variant = "fast"
	Full Variant = "full"
)

// Variants lists them.
func Variants() []Variant { return []Variant{Fast, Full} }

// Guest is a built guest: the paths of its files, and what its kernel must be told.
type Guest struct {
	Kernel    string // vmlinux: an ELF file with a PVH note and symbols
	BzImage   string // the same kernel, compressed
	Initramfs string // a cpio archive
	Cmdline   string // what the kernel needs on its command line; words of the caller go behind it
}

// Names of the files.
const (
	kernelName    = "vmlinux"
	bzImageName   = "bzImage"
	initramfsName = "initramfs"
	cmdlineName   = "cmdline"
)

// kernelProducts are those that a build of the kernel makes.
var kernelProducts = []string{kernelName, bzImageName, cmdlineName}

// ErrNotBuilt says that the guest is not in the cache. The caller should call Build, or run make guest.
var ErrNotBuilt = errors.New("linux: the guest is not built: make guest")

// read returns the guest in a folder of the cache; ErrNotBuilt if it is not there.
func read(dir string) (Guest, error) {
	cmdline, err := os.ReadFile(filepath.Join(dir, cmdlineName))
	if errors.Is(err, os.ErrNotExist) {
		return Guest{}, fmt.Errorf("%w (no %s)", ErrNotBuilt, dir)
	}
	if err != nil {
		return Guest{}, err
	}
	return Guest{
		Kernel:    filepath.Join(dir, kernelName),
		BzImage:   filepath.Join(dir, bzImageName),
		Initramfs: filepath.Join(dir, initramfsName),
		Cmdline:   strings.TrimSpace(string(cmdline)),
	}, nil
}
