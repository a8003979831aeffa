package guestmem

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestThickness(t *testing.T) {
	var th thickness
	note := func(n int, err error) {
		for range n {
			th.note(err, 0)
		}
	}
	want := func(what string, skip int32) {
		t.Helper()
		if got := th.skip.Load(); got != skip {
			t.Errorf("%s: got %d blocks to skip; want %d", what, got, skip)
		}
	}
	note(maxVain-1, unix.ENOMEM)
	note(1, nil)
	note(maxVain-1, unix.ENOMEM)
	want("a success between failures", 0)
	note(1, nil)
	for range maxVain {
		th.note(nil, slowBlock)
	}
	want("slow ones, and nothing known of single pages", 1)
	th.placed(hugePages/2, slowBlock/4)
	th.note(nil, slowBlock)
	want("slow ones", skipSmall)
	th.skip.Store(0)
	for range 20 {
		th.placed(hugePages, 3*slowBlock)
	}
	for range maxVain {
		th.note(nil, 2*slowBlock)
	}
	want("slow ones where single pages are slower", 0)
	note(maxVain, unix.EAGAIN)
	want("failures", skipSmall)
	note(1, unix.EINVAL)
	if th.skip.Load() <= 1<<30 {
		t.Errorf("a kernel that has none: got %d blocks to skip; want all", th.skip.Load())
	}
}
