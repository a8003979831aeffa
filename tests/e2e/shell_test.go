package e2e

import (
	"context"
	"net"
	"path/filepath"
	"testing"

	"github.com/ferryvmm/ferry/guests/linux"
	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// linuxShell is a Linux, and a person at its console, wherever it is.
type linuxShell struct {
	t        *testing.T
	ctx      context.Context
	world    *drive.World
	observer *lab.Observer
	process  *drive.Process // its supervisor, on host at
	at       int
	console  net.Conn
}

// bootShell boots the guest on host 0, with further words for its kernel, and logs in.
func bootShell(t *testing.T, ctx context.Context, w *drive.World, g linux.Guest, words string, args ...string) *linuxShell {
	t.Helper()
	f := &linuxShell{t: t, ctx: ctx, world: w, observer: lab.NewObserver(drive.Period)}
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
func (f *linuxShell) socket() string { return filepath.Join(f.world.Sites[f.at].Dir, "console") }

// logIn waits for the prompt of the shell.
func (f *linuxShell) logIn() {
	f.t.Helper()
	hear(f.t, f.console, "login:")
	say(f.t, f.console, "root")
	hear(f.t, f.console, "# ")
}

// does types a line, and wants words of its output, then the prompt.
func (f *linuxShell) does(line, words string) {
	f.t.Helper()
	say(f.t, f.console, line)
	hear(f.t, f.console, words)
	hear(f.t, f.console, "# ")
}

// move moves the guest to the other of hosts 0 and 1, with these flags, and finds the shell there.
func (f *linuxShell) move(receive []string, migrate ...string) drive.Move {
	f.t.Helper()
	from, source := f.world.Sites[f.at], f.process
	f.at = 1 - f.at
	target, err := f.world.Sites[f.at].Receive(f.observer, "receive", append([]string{"--console", "unix:" + f.socket()}, receive...)...)
	if err != nil {
		f.t.Fatal(err)
	}
	m, err := from.Migrate(f.ctx, "alpha", target.Listening, migrate...)
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
	return m
}

// powerOff presses the power button, and wants the guest to end by itself.
func (f *linuxShell) powerOff() {
	f.t.Helper()
	exec(f.t, f.ctx, f.world.Sites[f.at], 0, "stop", "alpha")
	hear(f.t, f.console, "BYE")
	hear(f.t, f.console, "reboot: Power down")
	if code, err := f.process.Wait(f.ctx); err != nil || code != 0 {
		f.t.Errorf("got exit %d, %v of a guest whose power button was pressed; want 0\n%s", code, err, f.process.Stderr())
	}
}
