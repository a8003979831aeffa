package migration_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/uring/uringtest"
	"github.com/ferryvmm/ferry/migration"
)

// TestZeroCopyWithoutURing moves a guest in a process that may not use io_uring, as in many containers.
func TestZeroCopyWithoutURing(t *testing.T) {
	if !uringtest.Refused(t) {
		return
	}
	b := newBench(t, 0)
	b.send.DataPath = migration.PathZeroCopy
	e := b.run(t, within(t, 30*time.Second))
	if e.sentErr != nil {
		t.Fatal(e.sentErr)
	}
	b.wantMoved(t)
	if e.sent.Path != migration.PathCopy || !strings.Contains(e.sent.PathReason, "io_uring is not available") {
		t.Errorf("got path %q, %q; want copies for want of io_uring", e.sent.Path, e.sent.PathReason)
	}
}
