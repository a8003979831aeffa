package migration

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/internal/uring"
)

// TestWhyMemoryIsCopied: a person learns what to change.
func TestWhyMemoryIsCopied(t *testing.T) {
	layout, err := guestmem.NewLayout(64 << 20)
	if err != nil {
		t.Fatal(err)
	}
	m, err := guestmem.New(layout)
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	z := &zeroCopy{memory: m}
	for _, tc := range []struct {
		err  error
		want []string
	}{
		{fmt.Errorf("register: %w: %w", uring.ErrMemlock, unix.ENOMEM), []string{"ulimit -l 65536", "LimitMEMLOCK=67108864"}},
		{fmt.Errorf("%w: %w", uring.ErrUnavailable, unix.EPERM), []string{"kernel.io_uring_disabled", "seccomp"}},
	} {
		for _, want := range tc.want {
			if got := z.reason(tc.err); !strings.Contains(got, want) {
				t.Errorf("%v: got %q; want %q in it", tc.err, got, want)
			}
		}
	}
}
