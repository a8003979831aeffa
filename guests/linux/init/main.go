// Command init is process 1 of Ferry's Linux guest: it does the work that the kernel's command line asks for, so that
// others can see from outside whether the guest came through a move, and lets a person log in.
//
// Words of the command line (all may be left out; ip and disk may be repeated):
//
//	ferry.ip=ADDR/LEN[,GATEWAY]         address of eth0, which is taken up, IPv4 or (variant full) IPv6; TCP and UDP
//	                                    echo on port 7
//	ferry.vsock=PORT                    echo on this port of the vsock (variant full)
//	ferry.disk=NAME[,SLOTS[,WRITERS]]   numbered records to /dev/NAME, each durable before the next; package record
//	                                    says what the disk then holds. Default 256 slots, 1 writer
//	ferry.mem=MIB[,RATE]                own MIB of memory, check and rewrite it at RATE MiB/s; default 16, 0: no limit
//	ferry.heartbeat=MS                  a line every MS milliseconds; the fast variant's clock ticks every 10
//	ferry.login=yes|no                  a log-in prompt (root, no password); default: unless disk, mem or heartbeat
//
// Lines on the console, each written at once:
//
//	READY                           all of it works; then byte 1 to port 0x3f0
//	HB 0 n ns                       n counts from 0; ns since READY
//	DISK n writer                   all records of this writer up to n are durable; a few a second
//	DISKBAD writer=W ERROR          what was read is not what was written
//	MEM passes=N bad=N              at most one a second
//	MEMBAD page=N want=X got=X      it is counted once and put right
//	FAIL WHAT: ERROR                something asked for does not work
//	TOTAL WHAT k=v …, BYE           before it ends
//
// With each DISKBAD, MEMBAD and FAIL, byte 0xC0 goes to port 0x3f0.
//
// It ends when the power button is pressed, when bit 0 of port 0x3f2 reads set (and not all bits), by Ctrl-Alt-Del, or
// when someone types poweroff, halt or reboot.
package main

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	if os.Getpid() != 1 {
		os.Stderr.WriteString("init: only the kernel starts this, as process 1\n")
		os.Exit(2)
	}
	mount()
	_ = unix.Sethostname([]byte("ferry"))
	p := openPorts()
	c := &console{ports: p}
	cmdline, err := os.ReadFile("/proc/cmdline")
	if err != nil {
		c.fail("command line", err)
	}
	o, err := parseOptions(string(cmdline))
	if err != nil {
		c.fail("command line", err)
	}
	all := start(o, c)
	s := newStopper(p) // before READY: who hears that may press the button at once
	c.ready()
	for _, w := range all {
		go w.work()
	}
	if o.heartbeat > 0 {
		go beat(c, o.heartbeat, time.Now())
	}
	if o.login {
		go logIn(c)
	}
	how := s.wait()
	for _, w := range all {
		c.line("TOTAL %s", w.total())
	}
	c.line("BYE")
	end(how, p)
}

// workload is something that works until the guest ends.
type workload interface {
	work()
	total() string // what was done so far; called from another goroutine
}

// start makes ready all that is asked for. What fails is shown, and left out.
func start(o options, c *console) (all []workload) {
	if err := takeUp("lo"); err != nil {
		c.fail("network", err)
	}
	for _, a := range o.addresses {
		if err := addAddress("eth0", a); err != nil {
			c.fail("ferry.ip", err)
		}
	}
	if len(o.addresses) > 0 {
		if err := startEcho(); err != nil {
			c.fail("echo", err)
		}
	}
	if o.vsock > 0 {
		if err := startVsockEcho(o.vsock); err != nil {
			c.fail("ferry.vsock", err)
		}
	}
	for _, d := range o.disks {
		writers, err := openDisk(d, c)
		if err != nil {
			c.fail("ferry.disk", err)
		}
		for _, w := range writers {
			all = append(all, w)
		}
	}
	if o.memory.mib > 0 {
		m, err := newChecker(o.memory, c)
		if err != nil {
			c.fail("ferry.mem", err)
		} else {
			all = append(all, m)
		}
	}
	return all
}

// mount makes the file systems that programs expect. A kernel that lacks one still runs what does not need it.
func mount() {
	for _, m := range []struct{ kind, at string }{
		{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"devpts", "/dev/pts"}, {"tmpfs", "/tmp"},
	} {
		_ = os.MkdirAll(m.at, 0o755)
		_ = unix.Mount(m.kind, m.at, m.kind, unix.MS_NOSUID, "")
	}
}

// beat prints a heartbeat every period, without drift.
func beat(c *console, period time.Duration, ready time.Time) {
	next := ready
	for n := 0; ; n++ {
		next = next.Add(period)
		time.Sleep(time.Until(next))
		c.line("HB 0 %d %d", n, time.Since(ready).Nanoseconds())
	}
}
