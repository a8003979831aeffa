package supervisor

import (
	"os"
	"strconv"
	"strings"
	"testing"
)

// TestCalm has this very program calmed: the slack of one thread is another
// afterwards, and not that of this one.
func TestCalm(t *testing.T) {
	tid := monitor(os.Getpid())
	slack := func(tid int) string {
		t.Helper()
		b, err := os.ReadFile("/proc/" + strconv.Itoa(tid) + "/timerslack_ns")
		if err != nil && os.Getenv("CI") != "true" {
			t.Skipf("needs CAP_SYS_NICE: %v", err)
		} else if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	before := slack(os.Getpid())
	calm(os.Getpid())
	if got := slack(tid); got != "1000000" {
		t.Errorf("slack of the monitor: got %s ns; want 1000000", got)
	}
	if got := slack(os.Getpid()); got != before {
		t.Errorf("slack of another thread: got %s ns; want %s", got, before)
	}
}
