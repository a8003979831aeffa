// Package uffdtest opens /dev/userfaultfd for tests, under one rule: a machine without it skips, continuous integration fails.
package uffdtest

import (
	"os"
	"testing"

	"github.com/ferryvmm/ferry/internal/uffd"
)

// Open returns the host's userfaultfd device, closed at the end of the test. Without one the test is skipped with the reason,
// or fails where CI=true.
func Open(t testing.TB) *os.File {
	t.Helper()
	dev, err := uffd.Open()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("userfaultfd is required here: %v", err)
		}
		t.Skipf("needs userfaultfd: %v", err)
	}
	t.Cleanup(func() {
		if err := dev.Close(); err != nil {
			t.Errorf("close userfaultfd: %v", err)
		}
	})
	return dev
}
