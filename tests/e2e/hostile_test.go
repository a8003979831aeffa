package e2e

import (
	"bufio"
	"context"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/ferryvmm/ferry/tests/drive"
)

// hostileLine is what the machine of the build ferryhostile logs of each thing that it tried.
var hostileLine = regexp.MustCompile(`msg=hostile .*try="?([^"=]*?)"? result=(\S+)`)

// tried reads what a hostile machine's log says, until it has tried everything.
func tried(t *testing.T, ctx context.Context, path string) map[string]string {
	t.Helper()
	for ; ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		got := make(map[string]string)
		for s := bufio.NewScanner(f); s.Scan(); {
			if m := hostileLine.FindStringSubmatch(s.Text()); m != nil {
				got[m[1]] = m[2]
			}
		}
		f.Close()
		if got["all"] == "over" {
			delete(got, "all")
			return got
		}
	}
	t.Fatalf("%s: the machine has not tried everything", path)
	return nil
}

// TestCompromisedMachine is about a machine process that has been taken over, while its guest runs: it can open no file, start no program, open no
// socket that leads anywhere, and reach no other process. Nor can it where it received the guest.
func TestCompromisedMachine(t *testing.T) {
	needKVM(t)
	ctx := within(t, 2*time.Minute)
	hostile, err := drive.Build(ctx, t.TempDir(), "-tags", "ferryhostile")
	if err != nil {
		t.Fatal(err)
	}
	sites := newSites(t, hostile, 2)
	trip, err := drive.Boot(ctx, sites, drive.Guest{Name: "alpha", Memory: 64, CPUs: 1, Cmdline: "fill=8 wss=4 rate=1"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"open a file": "EPERM", "open its own program": "EPERM", "open by openat2": "EPERM", "make a file": "EPERM", "remove a file": "EPERM", "mount": "EPERM",
		"run a program": "EPERM", "run a program from memory": "EPERM", "fork": "EPERM", "vfork": "EPERM", "make code": "EPERM",
		"open a socket of TCP": "EPERM", "open a socket of UDP": "EPERM", "open a unix socket": "EPERM", "open a netlink socket": "EPERM",
		"signal its supervisor": "EPERM", "signal its supervisor's thread": "EPERM", "hold its supervisor": "EPERM", "trace its supervisor": "EPERM", "read its supervisor's memory": "EPERM",
		"become root": "EPERM", "make a namespace": "EPERM", "load a program into the kernel": "EPERM", "count its host's events": "EPERM",
		"ask for another ioctl": "EPERM", "raise its limits": "EPERM",
		// A ring is no system call: the empty root, landlock and the empty network answer.
		"open by a ring": "ENOENT", "send by a ring's socket": "ENETUNREACH", "connect by a ring's unix socket": "ENOENT", "connect by a ring's socket of TCP": "EACCES",
	}
	if diff := cmp.Diff(want, tried(t, ctx, filepath.Join(sites[0].Dir, "alpha.log"))); diff != "" {
		t.Errorf("what a compromised machine can do (-want +got):\n%s", diff)
	}
	info, err := sites[0].Info(ctx, "alpha")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"seccomp", "no-capabilities"} {
		if !slices.Contains(info.Confinement, word) {
			t.Errorf("vmm info: got confinement %q; want %s among it", info.Confinement, word)
		}
	}
	if _, err := trip.Move(ctx); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, tried(t, ctx, filepath.Join(sites[1].Dir, "alpha.log"))); diff != "" {
		t.Errorf("what a compromised machine can do that received its guest (-want +got):\n%s", diff)
	}
	stop(t, ctx, trip)
}

// TestSupervisorKeepsWhatItNeeds: its guest runs, and it opens nothing more than files, for root.
func TestSupervisorKeepsWhatItNeeds(t *testing.T) {
	needKVM(t)
	ctx := within(t, time.Minute)
	sites := newSites(t, vmm, 1)
	trip, err := drive.Boot(ctx, sites, drive.Guest{Name: "alpha", Memory: 64, CPUs: 1, Cmdline: "fill=8 wss=4"})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("/proc", strconv.Itoa(trip.Process.PID()), "status")
	until(t, ctx, "the supervisor keeps what it needs", func() bool {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		// DAC_OVERRIDE, DAC_READ_SEARCH, KILL, SYS_NICE, or fewer.
		m := regexp.MustCompile(`CapPrm:\t([0-9a-f]+)\nCapEff:\t([0-9a-f]+)\nCapBnd:\t([0-9a-f]+)\n`).FindSubmatch(text)
		if m == nil {
			t.Fatalf("%s: got\n%s\nwant capabilities", path, text)
		}
		for _, set := range m[1:] {
			if n, err := strconv.ParseUint(string(set), 16, 64); err != nil || n&^0x800026 != 0 {
				return false
			}
		}
		return strings.Contains(string(text), "NoNewPrivs:\t1\n")
	})
	stop(t, ctx, trip)
}

// TestUser is about machine processes that are users of their own: they work as any, moves included.
func TestUser(t *testing.T) {
	needKVM(t)
	if os.Geteuid() != 0 {
		lack(t, errors.New("needs root, to start a process as another user"))
	}
	ctx := within(t, time.Minute)
	sites := newSites(t, vmm, 2)
	trip, err := drive.Boot(ctx, sites, drive.Guest{Name: "alpha", Memory: 64, CPUs: 1, Cmdline: "fill=8 wss=4 rate=1", Args: []string{"--user", "4000000000:4000000001"}, Receive: []string{"--user", "4000000002:4000000003"}})
	if err != nil {
		t.Fatal(err)
	}
	is := func(site *drive.Site, uid, gid string) {
		t.Helper()
		info, err := site.Info(ctx, "alpha")
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(info.PID), "status"))
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"Uid:" + strings.Repeat("\t"+uid, 4) + "\n", "Gid:" + strings.Repeat("\t"+gid, 4) + "\n", "CapEff:\t0000000000000000\n"} {
			if !strings.Contains(string(text), want) {
				t.Errorf("the machine process: got\n%s\nwant %q", text, want)
			}
		}
		if word := "user-" + uid + "-" + gid; !slices.Contains(info.Confinement, word) {
			t.Errorf("vmm info: got confinement %q; want %s among it", info.Confinement, word)
		}
	}
	is(sites[0], "4000000000", "4000000001")
	if _, err := trip.Move(ctx, "--mode", "postcopy"); err != nil {
		t.Fatal(err)
	}
	is(sites[1], "4000000002", "4000000003")
	stop(t, ctx, trip)
}

// TestFewerRights: where vmm itself may not do all that confines a machine, the rest does, and info says what.
func TestFewerRights(t *testing.T) {
	needKVM(t)
	ctx := within(t, time.Minute)
	sites := newSites(t, vmm, 1)
	few := []string{"setpriv", "--bounding-set", "-sys_admin,-sys_chroot,-setpcap,-sys_resource,-sys_nice,-ipc_lock"}
	d, err := sites[0].ExecIn(ctx, few, "run", "--name", "alpha", "--memory", "64M", "--console", "none", "--detach")
	if err != nil || d.Code != 0 {
		t.Fatalf("got %v, %v; want it running", d, err)
	}
	info, err := sites[0].Info(ctx, "alpha")
	if err != nil {
		t.Fatal(err)
	}
	for word, want := range map[string]bool{"seccomp": true, "no-capabilities": true, "empty-root": false, "empty-network": false} {
		if slices.Contains(info.Confinement, word) != want {
			t.Errorf("got confinement %q; want %s among it: %t", info.Confinement, word, want)
		}
	}
	log := exec(t, ctx, sites[0], 0, "logs", "alpha").Stdout
	for _, want := range []string{"an empty root", "an empty network"} {
		if !strings.Contains(log, want) {
			t.Errorf("got log\n%s\nwant in it that it lacks %s", log, want)
		}
	}
	exec(t, ctx, sites[0], 0, "stop", "alpha")
}

// TestUnconfined is about the flag to look for faults, which says of itself that it was given.
func TestUnconfined(t *testing.T) {
	needKVM(t)
	ctx := within(t, time.Minute)
	sites := newSites(t, vmm, 1)
	trip, err := drive.Boot(ctx, sites, drive.Guest{Name: "alpha", Memory: 64, CPUs: 1, Cmdline: "fill=8 wss=4", Args: []string{"--unconfined"}})
	if err != nil {
		t.Fatal(err)
	}
	info, err := sites[0].Info(ctx, "alpha")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"none"}, info.Confinement); diff != "" {
		t.Errorf("vmm info: confinement (-want +got):\n%s", diff)
	}
	stop(t, ctx, trip)
}

// newSites makes sites of a command on this host. At the test's end nothing may be left on them.
func newSites(t *testing.T, command string, n int) []*drive.Site {
	t.Helper()
	var sites []*drive.Site
	for range n {
		s, err := drive.NewSite(command, nil)
		if err != nil {
			t.Fatal(err)
		}
		sites = append(sites, s)
		t.Cleanup(func() {
			if t.Failed() {
				logs, _ := filepath.Glob(filepath.Join(s.Dir, "*.log"))
				for _, path := range logs {
					text, _ := os.ReadFile(path)
					t.Logf("%s:\n%s", path, strings.ToValidUTF8(string(text), "?"))
				}
			}
			left, err := s.Leftovers()
			if err != nil || len(left) > 0 {
				t.Errorf("got left behind: %q, %v; want nothing", left, err)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return sites
}
