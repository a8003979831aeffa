package qemu

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"testing"
)

// MinVersion is the oldest major version worth comparing with.
const MinVersion = 10

// ErrNotFound says that there is no QEMU of MinVersion here. The caller should
// run tests/install-deps.
var ErrNotFound = errors.New("qemu: no qemu-system-x86_64 of version 10 or later; try tests/install-deps")

// Binary is an installed QEMU.
type Binary struct {
	Path    string
	Version string // as "10.0.2"
}

// Find looks for QEMU in $PATH and asks it for its version.
func Find() (Binary, error) {
	path, err := exec.LookPath("qemu-system-x86_64")
	if err != nil {
		return Binary{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	out, err := exec.Command(path, "--version").Output()
	if err != nil {
		return Binary{}, fmt.Errorf("%w: %s --version: %w", ErrNotFound, path, err)
	}
	version, major, err := parseVersion(string(out))
	if err != nil {
		return Binary{}, fmt.Errorf("%w: %w", ErrNotFound, err)
	}
	if major < MinVersion {
		return Binary{}, fmt.Errorf("%w: %s is %s", ErrNotFound, path, version)
	}
	return Binary{Path: path, Version: version}, nil
}

var versionPattern = regexp.MustCompile(`^QEMU emulator version (([0-9]+)\.[0-9.]*[0-9])`)

func parseVersion(out string) (version string, major int, err error) {
	m := versionPattern.FindStringSubmatch(out)
	if m == nil {
		return "", 0, fmt.Errorf("qemu: got %.60q; want it to say its version", out)
	}
	major, err = strconv.Atoi(m[2])
	return m[1], major, err
}

// Require is Find for a test: where there is no QEMU it skips the test with
// the reason, and in CI fails it.
func Require(t testing.TB) Binary {
	t.Helper()
	b, err := Find()
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatal(err)
	default:
		t.Skip(err)
	}
	return b
}
