package e2e

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/guests/linux"
	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// TestLinuxMovesAtWork boots Linux, which echoes, writes records and checks its
// memory, and moves it there and back.
func TestLinuxMovesAtWork(t *testing.T) {
	needKVM(t)
	g := linux.Require(t, linux.Fast)
	s, err := drive.SoakLinux(within(t, 5*time.Minute), drive.SoakConfig{Vmm: vmm, Moves: 2, Log: t.Output()}, g)
	t.Logf("%+v", s)
	if err != nil {
		t.Fatal(err)
	}
}

// TestLinuxLogIn has a person log in on the console of a Linux that unpacked itself, calculate, and power off.
func TestLinuxLogIn(t *testing.T) {
	ctx := within(t, 4*time.Minute)
	w := newWorld(t, 1)
	g := linux.Require(t, linux.Fast)
	image, err := os.ReadFile(g.BzImage)
	if err != nil {
		t.Fatal(err)
	}
	if begin := packed(image); !bytes.HasPrefix(image[begin:], []byte(lz4Magic)) {
		t.Errorf("got % x as the magic of what is packed; want LZ4's, which no one but the image unpacks", image[begin:begin+4])
	}
	path := filepath.Join(w.Sites[0].Dir, "console")
	p, err := w.Sites[0].Start(lab.NewObserver(drive.Period), "run", "run", "--name", "alpha", "--memory", "64M", "--cpu", "baseline",
		"--kernel", g.BzImage, "--initrd", g.Initramfs, "--cmdline", g.Cmdline, "--console", "unix:"+path, "--json")
	if err != nil {
		t.Fatal(err)
	}
	conn := dialConsole(t, ctx, w.Sites[0], path)
	hear(t, conn, "login:")
	say(t, conn, "root")
	hear(t, conn, "# ")
	say(t, conn, "echo $((6*7))$((6*7))")
	hear(t, conn, "4242")
	say(t, conn, "poweroff")
	if code, err := p.Wait(ctx); err != nil || code != 0 {
		t.Errorf("got exit %d, %v of a guest that was powered off; want 0\n%s", code, err, p.Stderr())
	}
}

// dialConsole connects as soon as the guest of a site runs.
func dialConsole(t *testing.T, ctx context.Context, s *drive.Site, path string) net.Conn {
	t.Helper()
	until(t, ctx, "the guest runs", func() bool {
		list, err := s.PS(ctx)
		return err == nil && len(list) == 1 && list[0].State == "running"
	})
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if end, ok := ctx.Deadline(); ok {
		_ = conn.SetDeadline(end)
	}
	return conn
}

// hear reads the console up to some words.
func hear(t *testing.T, conn net.Conn, words string) {
	t.Helper()
	var seen []byte
	for b := make([]byte, 1); !bytes.HasSuffix(seen, []byte(words)); seen = append(seen, b...) {
		if _, err := conn.Read(b); err != nil {
			t.Fatalf("no %q on the console: %v; it said %q", words, err, seen)
		}
	}
}

// say types a line.
func say(t *testing.T, conn net.Conn, line string) {
	t.Helper()
	if _, err := io.WriteString(conn, line+"\n"); err != nil {
		t.Fatal(err)
	}
}
