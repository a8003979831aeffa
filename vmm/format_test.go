package vmm

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestFormatPage holds what docs/format.md says of the state against the code.
func TestFormatPage(t *testing.T) {
	text, err := os.ReadFile("../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		fmt.Sprintf("| plan | %d | 1, 2 |", planVersion),
		fmt.Sprintf("| %s | %d |", sectionDevices, devicesVersion),
		fmt.Sprintf("| %s | %d |", sectionVCPU, vcpuVersion),
		fmt.Sprintf("| %s | %d |", sectionPaused, pausedVersion),
	}
	for kind := range makers {
		want = append(want, fmt.Sprintf("| %s | %d |", Slot{Device: Device{Kind: kind, ID: "ID"}}.section(), slotVersion))
	}
	_, states, _ := strings.Cut(string(text), "\n| section |")
	if got := strings.Count(states[:strings.Index(states, "\n\n")], "\n| "); got != len(want)-1 {
		t.Errorf("got %d sections in docs/format.md; want %d", got, len(want)-1)
	}
	for _, line := range want {
		if !strings.Contains(string(text), "\n"+line) {
			t.Errorf("got no line %q in docs/format.md", line)
		}
	}
}
