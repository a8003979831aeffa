package resident

import (
	"bufio"
	"os"
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
