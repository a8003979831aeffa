package drive

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/ferryvmm/ferry/internal/lab"
)

//go:embed fresh.sh
var fresh string

// Fresh is a host as a distribution leaves it, with files and users of its own, and one user, alice, who has no rights but everybody's.
type Fresh struct {
	lab    *lab.Host
	anchor *exec.Cmd // holds the mount namespace
	end    *os.File  // of whose standard input this is
	folder string
}

// NewFresh makes one in the network of h. It needs root.
func NewFresh(h *lab.Host) (_ *Fresh, err error) {
	f := &Fresh{lab: h}
	if f.folder, err = os.MkdirTemp("", "ferry-fresh-"); err != nil {
		return nil, err
	}
	if err := os.Chmod(f.folder, 0o755); err != nil { // for alice of another fresh host
		return nil, errors.Join(err, f.Close())
	}
	// It is made when the anchor says so; then that waits for its input to end.
	f.anchor = exec.Command("unshare", "--mount", "bash", "-c", fresh+"\necho made\nexec cat >/dev/null", "bash", f.folder)
	r, w, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	defer r.Close()
	f.anchor.Stdin, f.end = r, w
	said, err := f.anchor.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	f.anchor.Stderr = f.anchor.Stdout
	if err := h.Start(f.anchor); err != nil {
		return nil, errors.Join(fmt.Errorf("drive: %w", err), f.Close())
	}
	var all strings.Builder
	for lines := bufio.NewScanner(said); lines.Scan(); {
		if lines.Text() == "made" {
			return f, nil
		}
		all.WriteString(lines.Text() + "\n")
	}
	return nil, errors.Join(fmt.Errorf("drive: a fresh host was not made:\n%s", &all), f.Close())
}

// Reach lets alice here copy folders to her home at another host, as scp -r FROM ADDRESS:TO does: there is no ssh between fresh hosts.
func (f *Fresh) Reach(address string, other *Fresh) error {
	sh, err := f.LogIn(true, "/")
	if err != nil {
		return err
	}
	defer sh.Close()
	if err := sh.Start(fmt.Sprintf(`cat >/usr/local/bin/scp <<'SCP'
#!/bin/sh
[ "$#" = 3 ] && [ "$1" = -r ] && [ "${3%%%%:*}" = %s ] && exec cp -r "$2" "%s/home/alice/${3#*:}"
SCP
chmod 755 /usr/local/bin/scp`, address, other.folder)); err != nil {
		return err
	}
	_, err = sh.Output(context.Background())
	return err
}

// LogIn begins a session of root, or of alice as she would have it behind systemd: with a folder at XDG_RUNTIME_DIR.
func (f *Fresh) LogIn(root bool, dir string) (*Shell, error) {
	args := []string{"-t", strconv.Itoa(f.anchor.Process.Pid), "-m", "-n", "bash", "-c"}
	if root {
		args = append(args, `cd "$1" && exec bash`, "bash", dir)
	} else {
		args = append(args, `install -d -m 700 -o alice -g alice /run/user/$(id -u alice)
exec setpriv --reuid alice --regid alice --init-groups --reset-env env XDG_RUNTIME_DIR=/run/user/$(id -u alice) bash -l -c 'cd && exec bash'`)
	}
	return newShell(exec.Command("nsenter", args...))
}

// Close lets the host go.
//
// Precondition: its shells are closed.
func (f *Fresh) Close() error {
	var err error
	if f.end != nil {
		f.end.Close()
	}
	if f.anchor != nil && f.anchor.Process != nil {
		err = f.anchor.Wait()
	}
	return errors.Join(err, os.RemoveAll(f.folder))
}
