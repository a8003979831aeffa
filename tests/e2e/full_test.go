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
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guests/linux"
	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// fullGuest is the Linux variant that takes many minutes to build and minutes to boot where KVM is software: too long
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

// TestFullLinuxWithCPUs wants Linux to start every CPU that ACPI's tables name, and its init to get ready with them.
func TestFullLinuxWithCPUs(t *testing.T) {
	ctx := within(t, 12*time.Minute)
	g := fullGuest(t, ctx)
	w := newWorld(t, 1)
	serial := filepath.Join(w.Sites[0].Dir, "console")
	p, err := w.Sites[0].Start(lab.NewObserver(drive.Period), "run", "run", "--name", "alpha", "--memory", "128M", "--cpus", "2",
		"--kernel", g.Kernel, "--initrd", g.Initramfs, "--cmdline", g.Cmdline, "--console", "unix:"+serial, "--json")
	if err != nil {
		t.Fatal(err)
	}
	conn := dialConsole(t, ctx, w.Sites[0], serial)
	for _, words := range []string{"ACPI: Using ACPI (MADT) for SMP", "smp: Brought up 1 node, 2 CPUs", "READY"} {
		hear(t, conn, words)
	}
	exec(t, ctx, w.Sites[0], 0, "stop", "alpha")
	if code, err := p.Wait(ctx); err != nil || code != 0 {
		t.Errorf("got exit %d, %v; want 0\n%s", code, err, p.Stderr())
	}
}

// TestFullLinux has a person use what only the full variant has: ACPI, a file system, random numbers, a second console,
// IPv6 and vsock; and the power button ends it.
func TestFullLinux(t *testing.T) {
	ctx := within(t, 12*time.Minute)
	g := fullGuest(t, ctx)
	w := newWorld(t, 1)
	bridged(t, w)
	site, host := w.Sites[0], w.Lab.Hosts[0]
	if err := host.Do(func() error {
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
	serial, second, vsock := filepath.Join(site.Dir, "console"), filepath.Join(dir, "hvc"), filepath.Join(dir, "vsock")
	o := lab.NewObserver(drive.Period)
	p, err := site.Start(o, "run", "run", "--name", "alpha", "--memory", "128M", "--cpu", "baseline",
		"--kernel", g.Kernel, "--initrd", g.Initramfs,
		"--cmdline", fmt.Sprintf("%s ferry.ip=%v/64 ferry.vsock=%d ferry.login=yes", g.Cmdline, guestIP6, vsockPort),
		"--disk", "root="+image, "--net", "eth=bridge="+lab.BridgeName, "--rng",
		"--virtio-console", "file:"+second, "--vsock", "7=unix:"+vsock, "--console", "unix:"+serial, "--json")
	if err != nil {
		t.Fatal(err)
	}
	conn := dialConsole(t, ctx, site, serial)
	hear(t, conn, "login:")
	say(t, conn, "root")
	for _, step := range []struct{ say, hear string }{
		{"echo acpi=$(ls /sys/firmware/acpi/tables/DSDT)", "acpi=/sys"},
		{"mount -t ext4 /dev/vda /tmp && echo answer=$(($(cat /tmp/question)))", "answer=42"},
		{"echo 42 >/tmp/answer && umount /tmp && echo unmounted=$?", "unmounted=0"},
		{"echo rng=$(cat /sys/class/misc/hw_random/rng_current)=$(head -c 64 /dev/hwrng | wc -c)", "rng=virtio_rng.0=64"},
		{"echo over the second >/dev/hvc0; echo hvc=$?", "hvc=0"},
	} {
		hear(t, conn, "# ")
		say(t, conn, step.say)
		hear(t, conn, step.hear)
	}
	for _, network := range []string{"udp", "tcp"} {
		e, err := drive.StartEcho(host, network, guestIP6)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(e.Await(ctx), e.Stop()); err != nil {
			t.Error(err)
		}
	}
	vsockEchoes(t, ctx, vsock)

	exec(t, ctx, site, 0, "stop", "alpha")
	hear(t, conn, "BYE")
	hear(t, conn, "reboot: Power down")
	code, err := p.Wait(ctx)
	if err != nil || code != 0 {
		t.Errorf("got exit %d, %v of a guest whose power button was pressed; want 0\n%s", code, err, p.Stderr())
	}
	if !strings.Contains(o.Tail(), "powered off") {
		t.Errorf("got %q; want that it powered off, without the VMM insisting", o.Tail())
	}
	if text, err := os.ReadFile(second); err != nil || !strings.Contains(string(text), "over the second") {
		t.Errorf("got %q, %v on the second console", text, err)
	}
	if answer := system(t, ctx, "debugfs", "-R", "cat /answer", image); !strings.Contains(answer, "42\n") {
		t.Errorf("got %q in the file that the guest wrote; want 42", answer)
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
