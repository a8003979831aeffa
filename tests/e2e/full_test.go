package e2e

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guests/linux"
	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// fullGuest is the Linux variant that takes ten minutes to build and one to boot where KVM is software: too long
// for every run of the tests. make test-full builds it and asks for these.
func fullGuest(t *testing.T, ctx context.Context) linux.Guest {
	t.Helper()
	if os.Getenv("FERRY_FULL") == "" {
		t.Skip("booting the full variant takes minutes: make test-full does it")
	}
	g, err := linux.Find(ctx, linux.Full)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// guestIP6 and hostIP6 are addresses of a network of the host and its guest.
var (
	hostIP6  = netip.MustParseAddr("fd77::1")
	guestIP6 = netip.MustParseAddr("fd77::100")
)

// vsockPort is that of the guest's echo.
const vsockPort = 7

// fullLinux is that guest, and a person at its console, wherever it is.
type fullLinux struct {
	t        *testing.T
	ctx      context.Context
	world    *drive.World
	observer *lab.Observer
	process  *drive.Process // its supervisor, on host at
	at       int
	console  net.Conn
}

// bootFull boots the guest on host 0, with further words for its kernel, and logs in.
func bootFull(t *testing.T, ctx context.Context, w *drive.World, g linux.Guest, words string, args ...string) *fullLinux {
	t.Helper()
	f := &fullLinux{t: t, ctx: ctx, world: w, observer: lab.NewObserver(drive.Period)}
	args = append([]string{"run", "--name", "alpha", "--memory", "128M", "--cpu", "baseline", "--kernel", g.Kernel, "--initrd", g.Initramfs,
		"--cmdline", g.Cmdline + " ferry.login=yes " + words, "--console", "unix:" + f.socket()}, args...)
	var err error
	if f.process, err = w.Sites[0].Start(f.observer, "run", args...); err != nil {
		t.Fatal(err)
	}
	f.console = dialConsole(t, ctx, w.Sites[0], f.socket())
	return f
}

// socket is that of the console on the host where the guest is.
func (f *fullLinux) socket() string { return filepath.Join(f.world.Sites[f.at].Dir, "console") }

// logIn waits for the prompt of the shell.
func (f *fullLinux) logIn() {
	f.t.Helper()
	hear(f.t, f.console, "login:")
	say(f.t, f.console, "root")
	hear(f.t, f.console, "# ")
}

// does types a line, and wants words of its output, then the prompt.
func (f *fullLinux) does(line, words string) {
	f.t.Helper()
	say(f.t, f.console, line)
	hear(f.t, f.console, words)
	hear(f.t, f.console, "# ")
}

// move moves the guest to the other of hosts 0 and 1, and finds the shell there.
func (f *fullLinux) move(receive ...string) {
	f.t.Helper()
	from, source := f.world.Sites[f.at], f.process
	f.at = 1 - f.at
	target, err := f.world.Sites[f.at].Receive(f.observer, "receive", append([]string{"--console", "unix:" + f.socket()}, receive...)...)
	if err != nil {
		f.t.Fatal(err)
	}
	m, err := from.Migrate(f.ctx, "alpha", target.Listening)
	if err != nil {
		f.t.Fatal(err)
	}
	if m.Outcome != "completed" {
		f.t.Fatalf("got %s (%s), %+v; want the move completed", m.Outcome, m.Reason, m.Error)
	}
	if code, err := source.Wait(f.ctx); err != nil || code != 0 {
		f.t.Errorf("got exit %d, %v from the source; want 0\n%s", code, err, source.Stderr())
	}
	f.t.Logf("moved: mode %s, downtime %.1f ms, total %.0f ms", m.Mode, m.DowntimeMS, m.TotalMS)
	f.process, f.console = target, dialConsole(f.t, f.ctx, f.world.Sites[f.at], f.socket())
	f.does("", "")
}

// powerOff presses the power button, and wants the guest to end by itself.
func (f *fullLinux) powerOff() {
	f.t.Helper()
	exec(f.t, f.ctx, f.world.Sites[f.at], 0, "stop", "alpha")
	hear(f.t, f.console, "BYE")
	hear(f.t, f.console, "reboot: Power down")
	if code, err := f.process.Wait(f.ctx); err != nil || code != 0 {
		f.t.Errorf("got exit %d, %v of a guest whose power button was pressed; want 0\n%s", code, err, f.process.Stderr())
	}
}

// TestFullLinuxWithCPUs wants Linux to start every CPU that ACPI's tables name, programs to run on each, and both to go
// on at another host.
func TestFullLinuxWithCPUs(t *testing.T) {
	ctx := within(t, 15*time.Minute)
	g := fullGuest(t, ctx)
	f := bootFull(t, ctx, newWorld(t, 2), g, "", "--cpus", "2")
	for _, words := range []string{"ACPI: Using ACPI (MADT) for SMP", "smp: Brought up 1 node, 2 CPUs", "READY"} {
		hear(t, f.console, words)
	}
	f.logIn()
	for range 2 {
		for cpu := range 2 {
			// The 39th field is the CPU on which a process ran last. Three times: where KVM is software a program may die as
			// it starts (package linux).
			f.does(fmt.Sprintf("for n in 1 2 3; do echo on=$(taskset %d cut -d' ' -f39 /proc/self/stat); done", 1<<cpu), fmt.Sprintf("on=%d", cpu))
		}
		f.move()
	}
	f.powerOff()
}

// TestFullLinux has a person use what only the full variant has: ACPI, a file system, random numbers, a second console,
// IPv6 and vsock; it moves at work, and the power button ends it.
func TestFullLinux(t *testing.T) {
	ctx := within(t, 15*time.Minute)
	g := fullGuest(t, ctx)
	w := newWorld(t, 3)
	bridged(t, w)
	outside := w.Lab.Hosts[2]
	if err := outside.Do(func() error {
		system(t, ctx, "ip", "addr", "add", hostIP6.String()+"/64", "dev", lab.BridgeName, "nodad")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	image, dir := newImage(t, 16<<20), t.TempDir()
	files := filepath.Join(dir, "files")
	if err := errors.Join(os.Mkdir(files, 0o755), os.WriteFile(filepath.Join(files, "question"), []byte("6*7\n"), 0o644)); err != nil {
		t.Fatal(err)
	}
	system(t, ctx, "mkfs.ext4", "-q", "-d", files, image)
	second, vsock := filepath.Join(dir, "hvc"), filepath.Join(dir, "vsock")
	network := []string{"--net", "eth=bridge=" + lab.BridgeName}
	f := bootFull(t, ctx, w, g, fmt.Sprintf("ferry.ip=%v/64 ferry.vsock=%d", guestIP6, vsockPort),
		append(network, "--disk", "root="+image, "--rng", "--virtio-console", "file:"+second, "--vsock", "7=unix:"+vsock)...)
	f.logIn()
	f.does("echo acpi=$(ls /sys/firmware/acpi/tables/DSDT)", "acpi=/sys")
	f.does("ping6 -c 1 ::1 >/dev/null; echo loopback=$?", "loopback=0")
	f.does("echo rng=$(cat /sys/class/misc/hw_random/rng_current)=$(head -c 64 /dev/hwrng | wc -c)", "rng=virtio_rng.0=64")
	f.does("echo over the second >/dev/hvc0; echo hvc=$?", "hvc=0")
	f.does("mount -t ext4 -o sync /dev/vda /tmp && echo answer=$(($(cat /tmp/question)))", "answer=42")
	f.does("(while [ ! -e /tmp/stop ]; do echo $((n += 1)) >>/tmp/log; done) & echo begun=$?", "begun=0")
	vsockEchoes(t, ctx, vsock)
	var echoes []*drive.Echo
	for _, over := range []string{"udp", "tcp"} {
		e, err := drive.StartEcho(outside, over, guestIP6)
		if err != nil {
			t.Fatal(err)
		}
		echoes = append(echoes, e)
	}
	answered := func() {
		t.Helper()
		for _, e := range echoes {
			if err := e.Await(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	answered()
	f.move(network...)
	answered()
	for _, e := range echoes {
		if err := e.Stop(); err != nil {
			t.Error(err)
		}
	}
	vsockEchoes(t, ctx, vsock)
	f.does("echo over the second again >/dev/hvc0; echo hvc=$?", "hvc=0")
	f.does(">/tmp/stop; wait; umount /tmp; echo unmounted=$?", "unmounted=0")
	f.powerOff()
	if text, err := os.ReadFile(second); err != nil || !strings.Contains(string(text), "over the second\r\nover the second again") {
		t.Errorf("got %q, %v on the second console", text, err)
	}
	system(t, ctx, "e2fsck", "-f", "-n", image)
	log := system(t, ctx, "debugfs", "-R", "cat /log", image)
	_, log, _ = strings.Cut(log, "\n1\n") // behind debugfs's greeting
	n := 2
	for line := range strings.Lines(log) {
		if got := strings.TrimSpace(line); got != strconv.Itoa(n) {
			t.Fatalf("got %q in the file that the guest wrote; want %d", got, n)
		}
		n++
	}
	t.Logf("%d lines on the disk, %d answers by UDP, %d by TCP", n-1, echoes[0].Answered(), echoes[1].Answered())
	if n == 2 {
		t.Error("got nothing written; want some lines")
	}
}

// vsockEchoes talks to the guest's echo by the socket that its vsock is joined to.
func vsockEchoes(t *testing.T, ctx context.Context, path string) {
	t.Helper()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	in := bufio.NewReader(conn)
	for _, step := range []struct{ say, hear string }{{fmt.Sprintf("CONNECT %d", vsockPort), "OK "}, {"back, please", "back, please\n"}} {
		say(t, conn, step.say)
		if got, err := in.ReadString('\n'); err != nil || !strings.HasPrefix(got, step.hear) {
			t.Fatalf("got %q, %v over vsock after %q; want %q", got, err, step.say, step.hear)
		}
	}
}
