package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// room is two hosts, and who sits at their terminals.
type room struct {
	root   string // of the source
	hosts  map[string]*drive.Fresh
	shells map[string]*drive.Shell
}

// terminal is the one at which a step is typed; whoever sits down first logs in.
func (r *room) terminal(t *testing.T, host string, s drive.Step) *drive.Shell {
	t.Helper()
	key := fmt.Sprint(host, s.Root, s.Second)
	if r.shells[key] == nil {
		sh, err := r.hosts[host].LogIn(s.Root, r.root)
		if err != nil {
			t.Fatal(err)
		}
		r.shells[key] = sh
	}
	return r.shells[key]
}

// newRoom makes two hosts whose second card, eth1, is on a network of their own, with nothing set up on it.
func newRoom(t *testing.T, ctx context.Context) *room {
	t.Helper()
	needKVM(t)
	l, err := lab.New(2)
	if err != nil {
		lack(t, err)
	}
	root, err := drive.Root(ctx)
	if err != nil {
		t.Fatal(err)
	}
	r := &room{root: root, hosts: map[string]*drive.Fresh{}, shells: map[string]*drive.Shell{}}
	var before [2][]string
	for i, name := range []string{"A", "B"} {
		if err := l.Hosts[i].Do(func() error { return blank("eth0", "eth1") }); err != nil {
			t.Fatal(err)
		}
		if before[i], err = l.Hosts[i].Configured(); err != nil {
			t.Fatal(err)
		}
		if r.hosts[name], err = drive.NewFresh(l.Hosts[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.hosts["A"].Reach("10.77.0.2", r.hosts["B"]); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, sh := range r.shells {
			sh.Close()
		}
		for i, name := range []string{"A", "B"} {
			if err := r.hosts[name].Close(); err != nil {
				t.Error(err)
			}
			after, err := l.Hosts[i].Configured()
			if err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(before[i], after); diff != "" {
				t.Errorf("host %s: what is set up in its network (-before +after):\n%s", name, diff)
			}
			if pids, err := l.Hosts[i].Processes(); err != nil || len(pids) != 0 {
				t.Errorf("host %s: got the processes %v, %v left; want none", name, pids, err)
			}
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// blank gives the link of the lab another name, and takes away what is set up on it.
func blank(name, now string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return err
	}
	if err := netlink.LinkSetDown(link); err != nil {
		return err
	}
	addrs, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, a := range addrs {
		if err := netlink.AddrDel(link, &a); err != nil {
			return err
		}
	}
	return netlink.LinkSetName(link, now)
}

// TestTutorial does what docs/tutorial.md says, as it says it: on fresh hosts, as an ordinary user. The installation takes the binary that
// is built already.
func TestTutorial(t *testing.T) {
	ctx := within(t, 3*time.Minute)
	r := newRoom(t, ctx)
	text, err := os.ReadFile(filepath.Join(r.root, "docs/tutorial.md"))
	if err != nil {
		t.Fatal(err)
	}
	steps, err := drive.ReadGuide(string(text))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("MAKEFLAGS", "GO=true BIN="+vmm)
	before := r.files(t, ctx)
	printed := ""
	for _, s := range steps {
		for _, host := range s.Hosts {
			sh := r.terminal(t, host, s)
			switch {
			case s.Output && s.Second:
				printed = r.printed(t, ctx, sh, s.Line)
			case s.Output:
			default:
				if err := sh.Start(s.Text); err != nil {
					t.Fatal(err)
				}
				if s.Second {
					continue
				}
				printed = r.printed(t, ctx, sh, s.Line)
				t.Logf("line %d, host %s:\n%s%s", s.Line, host, s.Text, printed)
			}
			if strings.Contains(printed, "level=ERROR") || strings.Contains(printed, "level=WARN") {
				t.Errorf("line %d, host %s: got\n%s\nwant nothing wrong in a log", s.Line, host, printed)
			}
			if s.Output && !drive.Prints(s.Text, printed) {
				t.Errorf("line %d: host %s printed\n%s\nwant\n%s", s.Line, host, printed, s.Text)
			}
		}
	}
	if diff := cmp.Diff(before, r.files(t, ctx)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
}

func (r *room) printed(t *testing.T, ctx context.Context, sh *drive.Shell, line int) string {
	t.Helper()
	out, err := sh.Output(ctx)
	if err != nil {
		t.Fatalf("line %d: %v\n%s", line, err, out)
	}
	return out
}

// files lists those that somebody installed, or keeps.
func (r *room) files(t *testing.T, ctx context.Context) (all []string) {
	t.Helper()
	for _, host := range []string{"A", "B"} {
		sh := r.terminal(t, host, drive.Step{Root: true})
		if err := sh.Start("find /usr/local /home /var/lib /etc/group /run/user -path '*/ferry/*.log' -o -type f ! -name .lock -printf '%p %s\\n' | sort"); err != nil {
			t.Fatal(err)
		}
		out := r.printed(t, ctx, sh, 0)
		for line := range strings.Lines(out) {
			all = append(all, host+": "+line)
		}
	}
	return all
}
