package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// demoHarness runs the demo with a fake vmm in which fault goes wrong.
func demoHarness(t *testing.T, fault string) *harness {
	t.Helper()
	h := newHarness(t)
	h.app.self = os.Args[0]
	t.Setenv(fakeVMM, fault)
	t.Setenv("TMPDIR", h.state)
	t.Cleanup(func() {
		left, err := filepath.Glob(filepath.Join(h.state, "*"))
		if err != nil || left != nil {
			t.Errorf("got %v, %v left over; want nothing", left, err)
		}
		tasks, err := filepath.Glob("/proc/self/task/*/children")
		if err != nil {
			t.Fatal(err)
		}
		for _, task := range tasks {
			// A task that is gone by now has no children.
			if text, err := os.ReadFile(task); err == nil && len(strings.Fields(string(text))) > 0 {
				t.Errorf("got processes %s left over; want none", text)
			}
		}
	})
	return h
}

func TestDemo(t *testing.T) {
	h := demoHarness(t, "nothing")
	if got := h.run("demo", "--moves", "3", "--json"); got != exitOK {
		t.Fatalf("got exit code %d (%s); want 0", got, h.stdout)
	}
	got := h.objects()[0]
	fields := []string{
		"compress", "corrupt_pages", "downtime", "downtime_ms", "faults", "forecast", "longest_silence_ms", "memory_bytes", "mode", "mode_requested", "moves", "network", "observed_downtime_ms",
		"outcome", "packets_duplicated", "packets_lost", "packets_sent", "page_bytes", "pages", "phases", "pulled_pages", "reason", "rejoins", "resident_bytes", "rounds", "sent_bytes", "target_name", "throttle",
		"total_ms", "urgent_pages", "verified_pages",
	}
	if diff := cmp.Diff(fields, slices.Sorted(maps.Keys(got))); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	if got["moves"] != 3.0 || got["corrupt_pages"] != 0.0 || got["outcome"] != "completed" || got["observed_downtime_ms"].(float64) <= 0 ||
		got["verified_pages"].(float64) < demoPages {
		t.Errorf("got %v; want three moves without corruption", got)
	}
}

func TestDemoForPeople(t *testing.T) {
	h := demoHarness(t, "nothing")
	if got := h.run("demo"); got != exitOK {
		t.Fatalf("got exit code %d (%s); want 0", got, h.stderr)
	}
	text := h.stdout.String()
	wanted := []string{"A: booted a guest of 256M in ", "A -> B: moved 1.0 MiB in ", "B -> A: moved ", "of which 0 were corrupt", "0 came twice"}
	if os.Geteuid() == 0 {
		wanted = append(wanted, "A client (10.77.0.3) is in a third one.", "got lost", "the longest silence was ")
	}
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("got %q; want it to contain %q", text, want)
		}
	}
	if lines := strings.Count(text, "\n"); lines < 6 || lines > 14 {
		t.Errorf("got %d lines; want about a dozen", lines)
	}
}

func TestDemoFailures(t *testing.T) {
	for fault, want := range map[string]string{
		"run":     "run at A: no /dev/kvm (exit status 1)\ntry: load the module\n",
		"migrate": "vmm: the move from A to B ended as failed (no link): no link\ntry: look\n",
		"corrupt": "vmm: the guest found 3 pages corrupt\n",
		"doubled": "came twice: two copies of the guest ran\n",
		"wrong":   "vmm: the guest at its end: run at A: exit status 4\n",
	} {
		t.Run(fault, func(t *testing.T) {
			h := demoHarness(t, fault)
			args := []string{"demo", "--moves", "1"}
			if fault == "wrong" {
				want = strings.Replace(want, "run at A", "receive at B", 1)
			}
			if got := h.run(args...); got != exitFailed {
				t.Errorf("got exit code %d; want 1", got)
			}
			if got := h.stderr.String(); !strings.HasSuffix(got, want) {
				t.Errorf("got %q; want %q at its end", got, want)
			}
		})
	}
}

func TestDemoFailureAsJSON(t *testing.T) {
	h := demoHarness(t, "migrate")
	if got := h.run("demo", "--json"); got != exitFailed {
		t.Errorf("got exit code %d; want 1", got)
	}
	got := h.objects()[0]
	if got["outcome"] != "failed" || got["error"] == nil || got["moves"] != 0.0 || got["rounds"] == nil {
		t.Errorf("got %v; want a failure beside the other fields", got)
	}
}

func TestDemoInterrupted(t *testing.T) {
	h := demoHarness(t, "nothing")
	ended := make(chan int)
	go func() { ended <- h.run("demo", "--moves", "10000") }()
	h.stdout.wait(t, "A -> B")
	h.sent <- os.Interrupt
	if got := <-ended; got != exitFailed {
		t.Errorf("got exit code %d; want 1", got)
	}
	if got := h.stderr.String(); !strings.Contains(got, "vmm: interrupted") {
		t.Errorf("got %q; want it to say so", got)
	}
}
