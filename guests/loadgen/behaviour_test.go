package loadgen_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var behaviours = []struct {
	name    string
	cpus    int
	memory  int // MiB
	cmdline string
	warns   []string // the WARN lines up to READY
	bare    []string // further ones of a machine without our test device
	hurry   bool     // it wants its share of the CPUs, and runs by itself
	check   func(t *testing.T, r *running, cpus int)
}{
	{name: "idle", cpus: 1, memory: 64, cmdline: "", check: verifies},
	{name: "two cpus", cpus: 2, memory: 64, cmdline: "", check: verifies},
	{name: "four cpus", cpus: 4, memory: 64, cmdline: "heartbeat=10000 rate=10", check: verifies},
	{name: "promised cpus", cpus: 2, memory: 64, cmdline: "cpus=2", check: verifies},
	{name: "one cpu of two works", cpus: 2, memory: 64, cmdline: "workers=1 rate=10", check: verifies},
	{name: "fewer cpus than promised", cpus: 1, memory: 64, cmdline: "cpus=2",
		warns: []string{"WARN cpus=2 is more than there is: 1"}, check: verifies},
	{name: "small memory", cpus: 1, memory: 16, cmdline: "wss=40",
		warns: []string{"WARN fill=32 is more than there is: 13", "WARN wss=40 is more than there is: 13"}, check: verifies},
	{name: "memory on both sides of the hole", cpus: 2, memory: 6 << 10, cmdline: "rate=20 order=rand wss=32", check: verifies},
	{name: "no memory kept apart", cpus: 2, memory: 64, cmdline: "fill=0 wss=0 rate=1", check: verifies},
	{name: "text", cpus: 1, memory: 64, cmdline: "data=text rate=10", check: verifies},
	{name: "half", cpus: 1, memory: 64, cmdline: "data=half rate=10 order=rand", check: verifies},
	{name: "mixed", cpus: 1, memory: 64, cmdline: "data=mixed rate=10 seed=12345678901234", check: verifies},
	{name: "rates", cpus: 2, memory: 64, cmdline: "rate=20 read=30 heartbeat=5000", hurry: true, check: achievesRates},
	{name: "touches", cpus: 2, memory: 64, cmdline: "touches=1 read=20 order=rand heartbeat=5000", check: countsTouches},
	{name: "no heartbeat", cpus: 1, memory: 64, cmdline: "heartbeat=0 rate=5", check: staysSilent},
	{name: "heartbeat slower than a tick", cpus: 2, memory: 64, cmdline: "heartbeat=25000", check: verifies},
	{name: "count registers", cpus: 2, memory: 64, cmdline: "countreg=1 rate=10",
		bare: []string{"WARN no count register at the port", "WARN no count register at the MMIO address"}, check: verifies},
	{name: "no devices", cpus: 1, memory: 64, cmdline: "net=10.0.0.1/24 netload=tx netpeer=02:00:00:00:00:01 blkverify=1 blkload=seqread rng=1 vcon=1 balloon=1 vsock=7",
		warns: []string{"WARN no device for net netload", "WARN no device for blkload blkverify",
			"WARN no device for rng", "WARN no device for vcon", "WARN no device for balloon", "WARN no device for vsock vsockdial"}, check: verifies},
	{name: "bad addresses", cpus: 1, memory: 64, cmdline: "net=10.0.0/24 net=10.0.0.256/24 net=10.0.0.1 net=10.0.0.1/33 net=fd00::1 net=fd00::1/129 net=fd00::1::2/64 net=fd00:1/64 net=::1/64 net=fd00::12345/64 net=1:2:3:4:5:6:7:8::/64 netpeer=2:0:0:0:0:1 netload=up virtio_mmio.device=4K@0x1000:5",
		warns: []string{"WARN bad value net=10.0.0/24", "WARN bad value net=10.0.0.256/24", "WARN bad value net=10.0.0.1", "WARN bad value net=10.0.0.1/33",
			"WARN bad value net=fd00::1", "WARN bad value net=fd00::1/129", "WARN bad value net=fd00::1::2/64", "WARN bad value net=fd00:1/64",
			"WARN bad value net=::1/64", "WARN bad value net=fd00::12345/64", "WARN bad value net=1:2:3:4:5:6:7:8::/64",
			"WARN bad value netpeer=2:0:0:0:0:1", "WARN bad value netload=up", "WARN bad value virtio_mmio.device=4K@0x1000:5"}, check: verifies},
	{name: "options of other programs", cpus: 1, memory: 64, cmdline: " console=ttyS0  panic=-1 root=/dev/vda quiet rate=x order=up seed= ",
		warns: []string{"WARN bad value rate=x", "WARN bad value order=up", "WARN bad value seed=", "WARN unknown option root=/dev/vda quiet"}, check: verifies},
}

func TestBehaviour(t *testing.T) {
	kernels := map[string]string{"committed": embedded(t)}
	if here := toolchain(); here != "" && here != readToolchain(t) {
		kernels["built here"] = build(t)
	}
	for vmm, boot := range vmms {
		for kind, kernel := range kernels {
			for _, b := range behaviours {
				t.Run(vmm+"/"+kind+"/"+b.name, func(t *testing.T) {
					if !b.hurry {
						t.Parallel()
					}
					r := boot(t, guest{kernel: kernel, cpus: b.cpus, memory: b.memory, cmdline: b.cmdline})
					_, lines := r.await(t, "READY")
					want := b.warns
					if r.ferry == nil {
						want = slices.Concat(b.warns, b.bare)
					}
					if diff := cmp.Diff(want, having(lines, "WARN")); diff != "" {
						t.Errorf("warnings up to READY (-want +got):\n%s", diff)
					}
					b.check(t, r, b.cpus)
				})
			}
		}
	}
}

// verifies: everything is verified, nothing is wrong, and each CPU beats in order.
func verifies(t *testing.T, r *running, cpus int) {
	s, lines := r.until(t, "two complete passes", func(s stat) bool { return s["passes"] >= 2 })
	if s["verified"] == 0 {
		t.Errorf("got %v; want verified pages", s)
	}
	checkNothingWrong(t, s, lines)
	checkBeats(t, lines)
}

func checkNothingWrong(t *testing.T, s stat, lines []string) {
	t.Helper()
	for _, key := range []string{"corrupt", "doubled", "lost"} {
		if s[key] != 0 {
			t.Errorf("got %s=%v; want 0", key, s[key])
		}
	}
	for _, prefix := range []string{"CORRUPT", "PANIC", "WARN"} {
		if got := having(lines, prefix); got != nil {
			t.Errorf("got %q; want no %s", got, prefix)
		}
	}
}

// checkBeats: each CPU counts its beats without a gap from 0, and its clock goes on.
func checkBeats(t *testing.T, lines []string) {
	t.Helper()
	last := map[int]beat{}
	for _, b := range beats(t, lines) {
		before, ok := last[b.cpu]
		if !ok {
			before.n, before.ns = -1, -1
		}
		if b.n != before.n+1 || b.ns <= before.ns {
			t.Fatalf("got beat %+v after %+v; want the next number at a later time", b, before)
		}
		last[b.cpu] = b
	}
}

func achievesRates(t *testing.T, r *running, cpus int) {
	// Whether a busy host lets it keep the rate is not the guest's doing: it need be reached only once.
	near := func(got, want float64) bool { return got > want*0.9 && got < want*1.1 }
	s, lines := r.until(t, "write_mib_s=20 and read_mib_s=30", func(s stat) bool { return near(s["write_mib_s"], 20) && near(s["read_mib_s"], 30) })
	checkNothingWrong(t, s, lines)
	seen := map[int]int{}
	for _, b := range beats(t, lines) {
		seen[b.cpu]++
	}
	for cpu := range cpus {
		if seen[cpu] < 20 { // of 200 a second
			t.Errorf("cpu %d: got %d beats; want many", cpu, seen[cpu])
		}
	}
}

func staysSilent(t *testing.T, r *running, _ int) {
	s, lines := r.until(t, "a complete pass", func(s stat) bool { return s["passes"] >= 1 })
	checkNothingWrong(t, s, lines)
	for _, line := range lines {
		if !strings.HasPrefix(line, "STAT") {
			t.Errorf("got %q; want STAT only", line)
		}
	}
}

// countsTouches: those that took long are among all, and nothing that was counted is forgotten.
func countsTouches(t *testing.T, r *running, _ int) {
	var before stat
	s, lines := r.until(t, "two complete passes and touches", func(s stat) bool {
		var long float64
		for key, n := range s {
			if upTo, ok := strings.CutPrefix(key, "touch_"); ok && !strings.HasSuffix(upTo, "_us") {
				long += n
			}
			if key != "touch_p50_us" && key != "touch_p99_us" && strings.HasPrefix(key, "touch") && n < before[key] {
				t.Errorf("got %s=%v; want at least the %v before", key, n, before[key])
			}
		}
		if all, ok := s["touches"]; !ok || long > all {
			t.Errorf("got %v; want touches, at least the %v that took long", s, long)
		}
		before = s
		return s["passes"] >= 2
	})
	checkNothingWrong(t, s, lines)
}
