package qemu

import (
	"strconv"

	"github.com/ferryvmm/ferry/internal/lab"
)

// Config is a machine to start: a microvm without anything that it need not have.
type Config struct {
	Binary  Binary
	Host    *lab.Host // where; nil for this process's own namespace
	Kernel  string    // path of a PVH ELF
	Initrd  string    // path; empty: none
	Cmdline string
	Memory  int // MiB
	CPUs    int

	// MemFD keeps the guest's memory in a memfd, so that it is told apart from QEMU's own.
	MemFD bool
	Disk  *Disk // nil: none
	NIC   *NIC  // nil: none

	// Incoming is for a machine that waits for a guest: it must be told to Listen.
	Incoming bool
}

// Disk is a virtio-blk device on a raw image.
type Disk struct {
	Path  string
	Cache string // none, writeback, unsafe
	AIO   string // threads, io_uring, native
}

// NIC is a virtio-net device on a tap that exists.
type NIC struct {
	Tap string
	MAC string
}

// monitorFD is where QEMU finds the monitor's socket.
const monitorFD = 3

// Arguments are those of the command, without the monitor's. The serial line is stdin and stdout.
func (c Config) Arguments() []string {
	machine := "microvm,rtc=off,pic=on,pit=on,isa-serial=on"
	if c.MemFD {
		machine += ",memory-backend=ram"
	}
	devices := c.devices()
	if devices != nil {
		machine += ",acpi=off" // with it the guest is told of the devices in tables, not on the command line
	}
	args := []string{
		"-M", machine,
		"-accel", "kvm", "-cpu", "qemu64,-cx16,-popcnt,-svm,+x2apic",
		"-bios", "qboot.rom", // silent, and quick where ring 0 is slow
		"-nodefaults", "-no-user-config", "-display", "none",
		"-m", strconv.Itoa(c.Memory), "-smp", strconv.Itoa(c.CPUs),
		"-chardev", "stdio,id=serial,signal=off", "-serial", "chardev:serial",
		"-kernel", c.Kernel, "-append", c.Cmdline,
	}
	if c.Initrd != "" {
		args = append(args, "-initrd", c.Initrd)
	}
	if c.MemFD {
		args = append(args, "-object", "memory-backend-memfd,id=ram,share=on,size="+strconv.Itoa(c.Memory)+"M")
	}
	if c.Incoming {
		args = append(args, "-incoming", "defer")
	}
	return append(args, devices...)
}

// devices are the arguments for virtio devices; nil without any.
func (c Config) devices() (args []string) {
	if d := c.Disk; d != nil {
		args = append(args, "-drive", "if=none,id=disk,format=raw,file="+d.Path+",cache="+d.Cache+",aio="+d.AIO,
			"-device", "virtio-blk-device,drive=disk")
	}
	if n := c.NIC; n != nil {
		args = append(args, "-netdev", "tap,id=net,ifname="+n.Tap+",script=no,downscript=no,vhost=off",
			"-device", "virtio-net-device,netdev=net,mac="+n.MAC)
	}
	if args != nil {
		args = append(args, "-global", "virtio-mmio.force-legacy=false")
	}
	return args
}

func (c Config) monitor() []string {
	return []string{"-chardev", "socket,id=qmp,fd=" + strconv.Itoa(monitorFD), "-mon", "chardev=qmp,mode=control"}
}
