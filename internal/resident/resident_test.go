package resident

import (
	"bufio"
	"os"
	"runtime/metrics"
	"strconv"
	"strings"
	"testing"
)

// fileKiB is RssFile.
func fileKiB(t *testing.T) int {
	t.Helper()
	f, err := os.Open("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "RssFile:"); ok {
			n, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(rest), " kB"))
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatal("got no RssFile in /proc/self/status")
	return 0
}

// TestTrim wants pages of the binary gone, and the process to go on.
func TestTrim(t *testing.T) {
	before := fileKiB(t)
	if err := Trim(); err != nil {
		t.Fatal(err)
	}
	if after := fileKiB(t); after >= before {
		t.Errorf("got %d KiB of files resident after %d; want fewer", after, before)
	}
}

// percent is GOGC.
func percent() uint64 {
	m := []metrics.Sample{{Name: "/gc/gogc:percent"}}
	metrics.Read(m)
	return m[0].Value.Uint64()
}

func TestHold(t *testing.T) {
	before := percent()
	a, b := Hold(), Hold()
	a()
	a()
	if got := percent(); got != heldPercent {
		t.Errorf("while one holds: got %d; want %d", got, heldPercent)
	}
	b()
	if got := percent(); got != before {
		t.Errorf("released: got %d; want %d", got, before)
	}
}
