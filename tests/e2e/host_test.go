package e2e

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

func guestFrom(kernel string) drive.Guest {
	return drive.Guest{Args: []string{"--kernel", kernel}, Cmdline: "fill=16 countreg=1"}
}

// covered is a wrapper that runs a command where path shows what is at file.
func covered(path, file string) []string {
	return []string{"unshare", "--mount", "sh", "-c", `mount --bind "$1" "$2" && shift 2 && exec "$@"`, "sh", file, path}
}

func TestNoKVM(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	site := w.Sites[0]
	empty := t.TempDir()
	run := []string{"run", "--memory", "64M", "--console", "none", "--json"}
	receive := []string{"receive", "--listen", "tcp:127.0.0.1:0", "--console", "none", "--json"}
	for _, tt := range []struct {
		name string
		wrap []string
		args []string
	}{
		{"run, missing", covered("/dev", empty), run},
		{"receive, missing", covered("/dev", empty), receive},
		{"run, something else", covered("/dev/kvm", "/dev/null"), run},
		{"run, a file", covered("/dev/kvm", "/etc/hostname"), run},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d, err := site.ExecIn(ctx, tt.wrap, tt.args...)
			if err != nil {
				t.Fatal(err)
			}
			if d.Code != 1 {
				t.Errorf("got exit %d; want 1\n%s", d.Code, d)
			}
			if got := failure(t, d); !strings.Contains(got.Message, "/dev/kvm") {
				t.Errorf("got %+v; want it to name /dev/kvm", got)
			}
		})
	}
}

func TestMemoryThatCannotBeHad(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	for _, size := range []string{"1000000G", "900G"} {
		d := exec(t, ctx, w.Sites[0], 1, "run", "--memory", size, "--json")
		if got := failure(t, d); !strings.Contains(strings.ToLower(got.Message), "memory") && !strings.Contains(got.Message, "MiB") {
			t.Errorf("got %+v; want it to say that there is too little memory", got)
		}
	}
}

func TestTooLittleMemoryAtTheTarget(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Memory: 512})
	meminfo := filepath.Join(t.TempDir(), "meminfo")
	if err := os.WriteFile(meminfo, []byte("MemTotal: 1048576 kB\nMemFree: 102400 kB\nMemAvailable: 102400 kB\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	target, err := w.Sites[1].ReceiveIn(trip.Observer, "target", covered("/proc/meminfo", meminfo))
	if err != nil {
		t.Fatal(err)
	}
	m, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening)
	if err != nil {
		t.Fatal(err)
	}
	failedAtSource(t, m, "failed")
	if m.Error == nil || !strings.Contains(m.Error.Message, "memory") && !strings.Contains(m.Error.Message, "MiB") {
		t.Errorf("got %+v; want the target's reason, too little memory", m.Error)
	}
	stays(t, ctx, trip)
	interrupted(t, ctx, target)
	completes(t, ctx, trip)
	stop(t, ctx, trip)
}

func TestNameInUse(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	trip := boot(t, ctx, w, drive.Guest{})
	for _, args := range [][]string{
		{"run", "--name", "alpha", "--memory", "64M", "--json"},
		{"receive", "--name", "alpha", "--listen", "tcp:127.0.0.1:0", "--json"},
	} {
		d := exec(t, ctx, w.Sites[0], 1, args...)
		failure(t, d, "name_in_use")
	}
	stays(t, ctx, trip)
	stop(t, ctx, trip)
}

func TestPortInUse(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	l, err := w.Lab.Hosts[0].Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	d := exec(t, ctx, w.Sites[0], 1, "receive", "--listen", "tcp:"+l.Addr().String(), "--insecure", "--json")
	failure(t, d)
	// An address that is not this host's.
	failure(t, exec(t, ctx, w.Sites[0], 1, "receive", "--listen", "tcp:10.99.99.99:0", "--insecure", "--json"))
}

func TestNoSuchMachine(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	dir := filepath.Join(t.TempDir(), "snap")
	for _, args := range [][]string{
		{"info", "nobody"}, {"pause", "nobody"}, {"resume", "nobody"}, {"stop", "nobody"}, {"kill", "nobody"},
		{"snapshot", "nobody", dir}, {"migrate", "nobody", "tcp:127.0.0.1:1"}, {"migrate", "nobody", "--cancel"},
	} {
		failure(t, exec(t, ctx, w.Sites[0], 1, append(args, "--json")...), "no_such_machine")
	}
	for _, args := range [][]string{{"console", "nobody"}, {"logs", "nobody"}} {
		if d := exec(t, ctx, w.Sites[0], 1, args...); !strings.Contains(d.Stderr, "vmm ps") && !strings.Contains(d.Stderr, "try: ") {
			t.Errorf("got no remedy\n%s", d)
		}
	}
}

// TestWrongPeers moves a guest to something that is no receiver.
func TestWrongPeers(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{Cmdline: busy})
	l, err := w.Lab.Hosts[1].Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	l.Close()
	m, err := w.Sites[0].Migrate(ctx, "alpha", "tcp:"+closed)
	if err != nil {
		t.Fatal(err)
	}
	failedAtSource(t, m, "failed")

	for _, tt := range []struct {
		name  string
		serve func(net.Conn)
	}{
		{"hangs up", func(net.Conn) {}},
		{"speaks first", func(c net.Conn) { _, _ = c.Write([]byte("220 mail.example ESMTP\r\n")); drainUntilClosed(c) }},
		{"answers as a web server", func(c net.Conn) {
			b := make([]byte, 16)
			_, _ = c.Read(b)
			_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
		}},
		{"says nothing", drainUntilClosed},
	} {
		t.Run(tt.name, func(t *testing.T) {
			target := serve(t, w.Lab.Hosts[1], tt.serve)
			m, err := w.Sites[0].Migrate(within(t, 30*time.Second), "alpha", "tcp:"+target)
			if err != nil {
				t.Fatal(err)
			}
			failedAtSource(t, m, "failed")
			stays(t, ctx, trip)
		})
	}
	movesAfterAll(t, ctx, w, trip)
}

func drainUntilClosed(c net.Conn) {
	b := make([]byte, 4096)
	for {
		if _, err := c.Read(b); err != nil {
			return
		}
	}
}

// serve answers every connection to a host in some way, until the test ends.
func serve(t *testing.T, h *lab.Host, with func(net.Conn)) string {
	t.Helper()
	l, err := h.Listen(":0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(func() { cancel(); l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				defer context.AfterFunc(ctx, func() { c.Close() })()
				with(c)
			}()
		}
	}()
	return l.Addr().String()
}

// TestNonsenseAtTheReceiver sends what is no guest to receive, which must go on
// listening, and then takes one.
func TestNonsenseAtTheReceiver(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	trip := boot(t, ctx, w, drive.Guest{})
	target, err := w.Sites[1].Receive(trip.Observer, "target")
	if err != nil {
		t.Fatal(err)
	}
	address := strings.TrimPrefix(target.Listening, "tcp:")
	for _, text := range []string{
		"", "x", "GET / HTTP/1.1\r\nHost: x\r\n\r\n", "FERRYMIG", strings.Repeat("\x00", 64),
		"FERRYMIG" + strings.Repeat("\xff", 4096), strings.Repeat("\xff", 1<<20),
	} {
		c, err := w.Lab.Hosts[0].Dial(ctx, address)
		if err != nil {
			t.Fatalf("after nonsense: %v\n%s", err, target.Stderr())
		}
		_, _ = c.Write([]byte(text)) // it may have been cut off
		c.Close()
	}
	// One that says nothing must not keep the others out.
	silent, err := w.Lab.Hosts[0].Dial(ctx, address)
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	m, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening)
	if err != nil || m.Outcome != "completed" {
		t.Fatalf("got %+v, %v after nonsense; want it completed\n%s", m, err, target.Stderr())
	}
	if err := trip.Observer.WaitBeats(ctx, "target", 1, 40); err != nil {
		t.Error(err)
	}
	exec(t, ctx, w.Sites[1], 0, "stop", "alpha")
	endInOrder(t, ctx, trip.Process, target)
}
