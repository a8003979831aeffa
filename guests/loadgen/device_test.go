package loadgen_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"
)

// constant is a device whose byte register always reads value.
func constant(port, value string) []string {
	return []string{"-device", "pvpanic,ioport=" + port + ",events=" + value}
}

func TestStopsWhenAsked(t *testing.T) {
	for vmm, boot := range map[string]func(t *testing.T, g guest) *running{
		"qemu": func(t *testing.T, g guest) *running {
			g.extra = constant("0x3f2", "1")
			return bootQEMU(t, g)
		},
		"vmm": func(t *testing.T, g guest) *running {
			r := bootFerry(t, g)
			r.await(t, "READY")
			r.ferry.do(t, "stop", ferryName)
			return r
		},
	} {
		t.Run(vmm, func(t *testing.T) {
			t.Parallel()
			r := boot(t, guest{cpus: 2, cmdline: "rate=10"})
			_, lines := r.await(t, "BYE")
			stats := having(lines, "STAT")
			if len(stats) == 0 {
				t.Fatal("got no STAT before BYE; want the totals")
			}
			if s := parseStat(t, stats[len(stats)-1]); s["passes"] < 1 || s["verified"] < 8192 || s["corrupt"] != 0 {
				t.Errorf("got %v; want everything verified and nothing corrupt", s)
			}
			if got := r.rest(t); got != nil {
				t.Errorf("after BYE: got %q; want nothing", got)
			}
			if got := r.code(); got != 0 {
				t.Errorf("got exit %d; want 0", got)
			}
		})
	}
}

func TestDoesNotStopUnasked(t *testing.T) {
	t.Parallel()
	r := bootQEMU(t, guest{extra: constant("0x3f2", "2")})
	s, lines := r.until(t, "two complete passes", func(s stat) bool { return s["passes"] >= 2 })
	checkNothingWrong(t, s, lines)
}

func TestCountsReadsThatDoNotCount(t *testing.T) {
	t.Parallel()
	r := bootQEMU(t, guest{cmdline: "countreg=1", extra: constant("0x3f4", "3")})
	_, lines := r.await(t, "READY")
	if got := having(lines, "WARN no count register at the port"); got != nil {
		t.Errorf("got %q; want the port read", got)
	}
	s, _ := r.until(t, "doubled reads", func(s stat) bool { return s["doubled"] > 0 })
	if s["lost"] != 0 || s["corrupt"] != 0 {
		t.Errorf("got %v; want only doubled", s)
	}
}

// counters finds what the guest knows of the two registers, in its memory:
// whether there is one, and what it read last.
func counters(t *testing.T, memory *os.File) (at [2]int64) {
	t.Helper()
	const base, end = 1 << 20, 0x140000 // its image; layout.h
	image := make([]byte, end-base)
	if _, err := memory.ReadAt(image, base); err != nil {
		t.Fatal(err)
	}
	word := func(i int) uint32 { return binary.LittleEndian.Uint32(image[i:]) }
	var found []int64
	for i := 0; i+16 <= len(image); i += 4 {
		// It has read one of them once more when it is caught in between.
		if word(i) == 1 && word(i+8) == 1 && word(i+4) > 100 && word(i+4)-word(i+12)+1 <= 2 {
			found = append(found, base+int64(i))
		}
	}
	if len(found) != 1 {
		t.Fatalf("got counters at %#x; want one place", found)
	}
	return [2]int64{found[0] + 4, found[0] + 12}
}

// Reads that the device answers once too often, or not at all, are counted as
// such: here it is the guest's knowledge that is wrong.
func TestCountsReads(t *testing.T) {
	t.Parallel()
	r := bootFerry(t, guest{cpus: 2, cmdline: "countreg=1 rate=10"})
	s, lines := r.until(t, "two complete passes", func(s stat) bool { return s["passes"] >= 2 })
	checkNothingWrong(t, s, lines)
	r.ferry.do(t, "pause", ferryName)
	memory := r.ferry.memory(t)
	const doubled, lost = 2, 3
	places := counters(t, memory)
	for i, change := range []int32{doubled, -lost} {
		var b [4]byte
		at := places[i]
		if _, err := memory.ReadAt(b[:], at); err != nil {
			t.Fatal(err)
		}
		binary.LittleEndian.PutUint32(b[:], binary.LittleEndian.Uint32(b[:])+uint32(change))
		if _, err := memory.WriteAt(b[:], at); err != nil {
			t.Fatal(err)
		}
	}
	r.ferry.do(t, "resume", ferryName)
	s, _ = r.until(t, "reads doubled and lost", func(s stat) bool { return s["doubled"] > 0 && s["lost"] > 0 })
	if s["doubled"] != doubled || s["lost"] != lost || s["corrupt"] != 0 {
		t.Errorf("got %v; want doubled=%d lost=%d and nothing corrupt", s, doubled, lost)
	}
	r.ferry.do(t, "stop", ferryName)
	r.await(t, "BYE")
	r.rest(t)
	if got := r.code(); got != 4 {
		t.Errorf("got exit %d of a guest that counted something wrong; want 4", got)
	}
}

// Machines with less: the guest's clock must still go as fast as ours, and its ticks come.
func TestLesserMachines(t *testing.T) {
	for name, cpu := range map[string]string{
		"xapic":                 ",-x2apic",
		"no paravirtual clock":  ",-kvmclock",
		"no paravirtual at all": ",kvm=off,-x2apic",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := bootQEMU(t, guest{cpus: 2, cmdline: "heartbeat=10000 rate=10", cpu: cpu})
			_, lines := r.await(t, "HB 0")
			start, first := time.Now(), beats(t, lines)[0].ns
			// A busy host delivers lines late: what that costs becomes little in time.
			for {
				last, more := r.await(t, "HB 0")
				lines = append(lines, more...)
				took := time.Since(start)
				guestTime := time.Duration(beats(t, []string{last})[0].ns - first)
				if ratio := guestTime.Seconds() / took.Seconds(); took > 2*time.Second && ratio > 0.8 && ratio < 1.25 {
					break
				}
				if took > patience {
					t.Fatalf("got %v on the guest's clock in %v; want about the same", guestTime, took)
				}
			}
			s, more := r.until(t, "two complete passes", func(s stat) bool { return s["passes"] >= 2 })
			lines = append(lines, more...)
			checkNothingWrong(t, s, lines)
			last := map[int]int{}
			for _, b := range beats(t, lines) {
				last[b.cpu] = b.n
			}
			if len(last) != 2 {
				t.Errorf("got beats of %d CPUs; want 2", len(last))
			}
		})
	}
}

// An instruction that cannot be executed, where the sleeping CPU goes on.
func TestPanicTellsWhere(t *testing.T) {
	t.Parallel()
	r, m := bootWithRAM(t, guest{memory: 32, cmdline: "fill=4"})
	const ringZeroStack = 0x141000 // its end; layout.h
	r.qmp.stopAsleep(t)
	rip := int64(binary.LittleEndian.Uint64(m.read(t, ringZeroStack-40, 8)))
	m.write(t, rip, []byte{0x0f, 0x0b})
	r.qmp.do(t, "cont")
	line, _ := r.await(t, "PANIC")
	if want := fmt.Sprintf("PANIC vector=6 rip=0x%x ", rip); !strings.HasPrefix(line, want) {
		t.Errorf("got %q; want it to begin with %q", line, want)
	}
	r.rest(t)
}
