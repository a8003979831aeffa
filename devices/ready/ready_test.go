package ready_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/ferryvmm/ferry/devices/ready"
)

func monotonic(t *testing.T) int64 {
	t.Helper()
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		t.Fatal(err)
	}
	return ts.Nano()
}

func TestReady(t *testing.T) {
	var stamps []int64
	r := ready.New(nil, func(at int64) { stamps = append(stamps, at) })
	before := monotonic(t)
	r.Write(0, []byte{1})
	after := monotonic(t)
	if len(stamps) != 1 || stamps[0] < before || stamps[0] > after {
		t.Errorf("ready: got stamps %v; want one in [%d, %d]", stamps, before, after)
	}
	r.Write(0, []byte{0})
	r.Write(0, []byte{0xff})
	if r.Wrong() || len(stamps) != 1 {
		t.Errorf("unknown bytes: got wrong %v, %d stamps; want false, 1", r.Wrong(), len(stamps))
	}
	r.Write(0, []byte{0xc0})
	if !r.Wrong() {
		t.Error("0xc0 was not recorded")
	}
	saved := r.Save()
	if diff := cmp.Diff(ready.State{Wrong: true}, saved); diff != "" {
		t.Errorf("Save (-want +got):\n%s", diff)
	}
	if !ready.New(&saved, nil).Wrong() {
		t.Error("what was wrong is forgotten after restore")
	}
	p := []byte{0}
	if r.Read(0, p); p[0] != 0xff {
		t.Errorf("read: got %#x; want 0xff", p[0])
	}
}
