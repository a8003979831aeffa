package kvm_test

import (
	"testing"
	"time"

	"github.com/ferryvmm/ferry/internal/kvm/kvmtest"
)

func TestPace(t *testing.T) {
	pace, err := kvmtest.Open(t).Pace()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("an instruction in ring 0 takes %v", pace)
	if pace < 0 || pace > time.Millisecond {
		t.Errorf("got %v; want the time of an instruction", pace)
	}
}
