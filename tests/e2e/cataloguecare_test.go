package e2e

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

// careMistakes are about a guest, alpha, that runs with a disk and a tap, and a machine, ear, that waits for one.
var careMistakes = []mistake{
	{"info nobody", nil, 1, "no_such_machine", "there is no machine named", "vmm ps"},
	{"migrate nobody tcp:127.0.0.1:1", nil, 1, "no_such_machine", "there is no machine named", "vmm ps"},
	{"adopt nobody", nil, 1, "no_such_machine", "there is no machine named", "vmm ps"},
	{"adopt alpha", nil, 1, "bad_state", "has a supervisor", "vmm info alpha"},
	{"console nobody", nil, 1, "no_such_machine", "there is no machine named", "vmm ps"},
	{"logs nobody", nil, 1, "no_such_machine", "there is no log of a machine named", "vmm ps"},
	{"run --name alpha", nil, 1, "name_in_use", "runs already", "another --name"},
	{"receive --name alpha --listen tcp:127.0.0.1:0", nil, 1, "name_in_use", "runs already", "another --name"},
	{"run --disk a=$DIR/disk", nil, 1, "image_locked", "is in use: another machine (or QEMU) has it locked", "vmm ps"},
	{"run --net a=tap=t0", nil, 1, "network_busy", "is in use", "another tap"},
	{"run --net a=bridge=br0,mac=52:54:00:00:00:78", nil, 1, "network_taken", "is in use at tap", "mac="},
	{"run --console unix:$DIR/alpha.sock", nil, 1, "console", "bind: address already in use", "remove a socket that is left over"},
	{"balloon alpha 32M", nil, 1, "bad_state", "the guest has no balloon", "--balloon"},
	{"migrate alpha --cancel", nil, 1, "bad_state", "no move is under way", "vmm ps"},
	{"migrate alpha --continue", nil, 1, "bad_state", "no move waits to be continued", "--pause-before-switchover"},
	{"migrate alpha --pull", nil, 1, "bad_state", "all of the guest's memory is here", "vmm ps"},
	{"migrate alpha --resolve source", nil, 1, "bad_state", "nothing is in doubt", "vmm ps"},
	{"snapshot alpha $DIR/full", nil, 1, "exists", "exists and is not empty", "does not exist yet"},
	{"snapshot alpha $DIR/text", nil, 1, "snapshot", "not a directory", "does not exist yet"},
	{"snapshot alpha /nonexistent/a/b", nil, 1, "snapshot", "no such file or directory", "whose parent exists"},
	{"migrate alpha tcp:127.0.0.1:1", nil, 1, "unreachable", "no receiver at", "vmm receive"},
	{"migrate alpha unix:$DIR/none", nil, 1, "unreachable", "no receiver at", "vmm receive"},
	{"migrate alpha tcp:127.0.0.1:1 --report /nonexistent/x", nil, 1, "report", "the report cannot be written", "a folder that can be written"},
	{"pause ear", nil, 1, "bad_state", "no guest runs here yet", "wait until"},
	{"migrate ear tcp:127.0.0.1:1", nil, 1, "bad_state", "no guest runs here yet", "wait until"},
	{"snapshot ear $DIR/none", nil, 1, "bad_state", "no guest runs here yet", "wait until"},
	{"pause alpha", nil, 0, "", "", ""},
	{"dirty-rate alpha", nil, 1, "bad_state", "the guest is paused: it writes nothing", "vmm resume"},
	{"resume alpha", nil, 0, "", "", ""},
}

func TestCareMistakes(t *testing.T) {
	ctx := within(t, time.Minute)
	w := newWorld(t, 1)
	dir := mistakeFiles(t)
	if err := w.Lab.Hosts[0].Bridge(); err != nil {
		t.Fatal(err)
	}
	trip := boot(t, ctx, w, drive.Guest{Memory: 64, Cmdline: "fill=4 wss=2", Args: []string{
		"--disk", "data=" + filepath.Join(dir, "disk"), "--net", "eth=tap=t0", "--net", "lan=bridge=br0,mac=52:54:00:00:00:78", "--vsock", "3=unix:" + filepath.Join(dir, "alpha.sock")}})
	site := w.Sites[0]
	exec(t, ctx, site, 0, "receive", "--name", "ear", "--listen", "tcp:127.0.0.1:0", "--detach")
	mistakes(t, ctx, site, dir, careMistakes)
	stays(t, ctx, trip)
	exec(t, ctx, site, 0, "kill", "ear")

	// Behind the back of its supervisor only kill works.
	if err := trip.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	lost, err := net.Dial("unix", filepath.Join(site.Dir, "alpha.sock"))
	for ; err == nil; lost, err = net.Dial("unix", filepath.Join(site.Dir, "alpha.sock")) { // it is dying
		lost.Close()
	}
	for _, m := range orphanMistakes {
		m.make(t, ctx, site, dir)
	}
}

// orphanMistakes are about alpha when its supervisor was killed.
var orphanMistakes = []mistake{
	{"pause alpha", nil, 1, "orphaned", "the supervisor of", "vmm kill alpha"},
	{"migrate alpha tcp:127.0.0.1:1", nil, 1, "orphaned", "the supervisor of", "vmm kill alpha"},
	{"kill alpha", nil, 0, "", "", ""},
	{"kill alpha", nil, 1, "no_such_machine", "there is no machine named", "vmm ps"},
}

// refusal is a move that is refused: how the target is set up that refuses it, and what is told at the source.
type refusal struct {
	receive []string // arguments of receive; $DIR as in mistake
	in      []string // a wrapper around it
	migrate []string // arguments of migrate
	code    string
	says    string
	try     string
}

// refusals are of a guest with a disk and a tap, which stays where it is.
var refusals = []refusal{
	{[]string{}, nil, nil, "network_absent", "there is no tap", "--net eth="},
	{[]string{"--net", "eth=tap=t0", "--disk", "data=$DIR/none"}, nil, nil, "image", "no such file or directory", "check the path"},
	{[]string{"--net", "eth=tap=t0", "--disk", "data=$DIR/other"}, nil, nil, "disk", "bytes, the guest's has", "the same image"},
	{[]string{"--net", "eth=tap=t0", "--disk", "data=$DIR/copy"}, nil, nil, "not_shared", "is not the image that the source has", "storage that both hosts see"},
	{[]string{"--net", "eth=tap=t0", "--disk", "more=$DIR/other"}, nil, nil, "disk", "the guest has no disk", "map only disks"},
	{[]string{"--net", "more=tap=t0"}, nil, nil, "net", "the guest has no network", "map only networks"},
	{[]string{"--net", "eth=bridge=none"}, nil, nil, "network_absent", "there is no bridge", "ip link add"},
	{[]string{"--net", "eth=tap=t0,mac=52:54:00:00:00:78"}, nil, nil, "usage", "but the guest's is", "leave mac= out"},
	{[]string{"--net", "eth=tap=t0"}, covered("/dev/userfaultfd", "/dev/null"), []string{"--mode", "postcopy"}, "userfaultfd", "cannot start a guest with memory missing", ""},
}

// TestRefusals moves a guest to targets that do not take it. It runs on, and nothing is left at the target.
func TestRefusals(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	w := newWorld(t, 2)
	dir := mistakeFiles(t)
	disk, err := os.ReadFile(filepath.Join(dir, "disk"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "copy"), disk, 0o600); err != nil {
		t.Fatal(err)
	}
	trip := boot(t, ctx, w, drive.Guest{Memory: 64, Cmdline: "fill=4 wss=2", Args: []string{"--disk", "data=" + filepath.Join(dir, "disk"), "--net", "eth=tap=t0,mac=52:54:00:00:00:77"}})
	before, err := w.Lab.Hosts[1].Configured()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range refusals {
		args := words(join(r.receive), dir)
		target, err := w.Sites[1].ReceiveIn(trip.Observer, "target", r.in, args...)
		if err != nil {
			t.Fatal(err)
		}
		m, err := w.Sites[0].Migrate(ctx, "alpha", target.Listening, r.migrate...)
		if err != nil {
			t.Fatal(err)
		}
		if m.Code != 1 || m.Outcome != "failed" || m.Error == nil {
			t.Fatalf("%q: got exit %d, %s, %+v; want it refused", r.receive, m.Code, m.Outcome, m.Error)
		}
		wants(t, join(r.receive), *m.Error, r.code, r.says, r.try)
		stays(t, ctx, trip)
		interrupted(t, ctx, target)
		left(t, w, 1, before)
	}
	web := serve(t, w.Lab.Hosts[1], func(c net.Conn) {
		b := make([]byte, 16)
		_, _ = c.Read(b)
		_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"))
	})
	m, err := w.Sites[0].Migrate(ctx, "alpha", "tcp:"+web)
	if err != nil || m.Error == nil {
		t.Fatalf("got %+v, %v; want it refused", m, err)
	}
	wants(t, "a web server", *m.Error, notFerry.code, notFerry.says, notFerry.try)
	stop(t, ctx, trip)
}

// notFerry is what somebody is told who sends a guest to a web server.
var notFerry = mistake{code: "not_ferry", says: "this is not Ferry's migration protocol", try: "check the address"}
