package linux

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

// Debian packages that the guest is made of and with.
const (
	sourcePackage  = "linux-source-6.1"
	sourceTarball  = "/usr/src/linux-source-6.1.tar.xz"
	busyboxPackage = "busybox-static"
	busyboxFile    = "/bin/busybox"
)

var kernelTools = []string{"bc", "bison", "flex", "gcc", "kmod", "libelf-dev", "lz4", "make", "xz-utils"}

// ErrNoPackage says that a Debian package is missing and was not installed. The caller should install it as root, on
// Debian 12.
var ErrNoPackage = errors.New("linux: Debian package missing")

// installed returns the version of an installed package; empty if it is not installed.
func installed(ctx context.Context, name string) string {
	out, err := exec.CommandContext(ctx, "dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", name).Output()
	version, ok := strings.CutPrefix(string(out), "installed ")
	if err != nil || !ok {
		return ""
	}
	return version
}

// candidate returns the version that would be installed; empty if none is known.
func candidate(ctx context.Context, name string) string {
	cmd := exec.CommandContext(ctx, "apt-cache", "policy", name)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	out, err := cmd.Output()
	if err != nil {
		return ""
	}
	return parseCandidate(string(out))
}

// parseCandidate reads what apt-cache policy says.
func parseCandidate(out string) string {
	for line := range strings.Lines(out) {
		if version, ok := strings.CutPrefix(strings.TrimSpace(line), "Candidate: "); ok && version != "(none)" {
			return version
		}
	}
	return ""
}

// install installs what of the packages is missing.
func install(ctx context.Context, log io.Writer, names ...string) error {
	var missing []string
	for _, name := range names {
		if installed(ctx, name) == "" {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: %s: apt-get install them", ErrNoPackage, strings.Join(missing, " "))
	}
	for _, args := range [][]string{
		{"update", "-qq"},
		append([]string{"install", "-qq", "-y", "--no-install-recommends"}, missing...),
	} {
		var out bytes.Buffer
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		cmd.Stdout, cmd.Stderr = &out, &out
		fmt.Fprintf(log, "apt-get %s\n", strings.Join(args, " "))
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%w: apt-get %s: %w\n%s", ErrNoPackage, strings.Join(args, " "), err, out.Bytes())
		}
	}
	return nil
}
