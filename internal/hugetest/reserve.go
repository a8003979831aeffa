// Package hugetest gives tests huge pages of the host, and takes them back.
package hugetest

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// pool is how many huge pages of 2 MiB the host keeps.
const pool = "/proc/sys/vm/nr_hugepages"

// Reserve makes the host keep n huge pages more until the end of the test. Tests of other processes that want some wait for
// that. Where it cannot be done the test is skipped with the reason, or fails where CI=true.
//
// Precondition: the test has none yet.
func Reserve(t testing.TB, n int) {
	t.Helper()
	if err := reserve(t, n); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("huge pages are required here: %v", err)
		}
		t.Skipf("needs root and %d huge pages: %v", n, err)
	}
}

func reserve(t testing.TB, n int) error {
	f, err := os.OpenFile(pool, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	t.Cleanup(func() { f.Close() }) // and with it the lock
	for {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("lock %s: %w", pool, err)
		}
	}
	before, err := read()
	if err != nil {
		return err
	}
	t.Cleanup(func() {
		if err := write(before); err != nil {
			t.Errorf("give huge pages back: %v", err)
		}
	})
	if err := write(before + n); err != nil {
		return err
	}
	got, err := read()
	if err == nil && got < before+n {
		err = fmt.Errorf("the host has memory for %d", got-before)
	}
	return err
}

func read() (int, error) {
	b, err := os.ReadFile(pool)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(string(b)))
}

func write(n int) error { return os.WriteFile(pool, []byte(fmt.Sprint(n)), 0) }
