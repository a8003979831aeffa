// Package kvmtest opens /dev/kvm for tests, under one rule: a machine without it skips, continuous integration fails.
package kvmtest

import (
	"os"
	"testing"

	"github.com/ferryvmm/ferry/internal/kvm"
)

// Open returns the host's KVM, closed at the end of the test. Without one the test is skipped with the reason, or fails where CI=true.
func Open(t testing.TB) *kvm.System {
	t.Helper()
	s, err := kvm.Open()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("KVM is required here: %v", err)
		}
		t.Skipf("needs KVM: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close KVM: %v", err)
		}
	})
	return s
}
