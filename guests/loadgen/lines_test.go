package loadgen_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait for a line; generous, for busy machines.
const patience = 60 * time.Second

// await returns the first line with the prefix, and all lines up to it; a PANIC fails the test.
func (r *running) await(t *testing.T, prefix string) (string, []string) {
	t.Helper()
	var seen []string
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-r.lines:
			if !ok {
				t.Fatalf("the guest ended without a line %q; last lines: %q", prefix, tail(seen))
			}
			if strings.HasPrefix(line, "PANIC") && prefix != "PANIC" {
				t.Fatalf("got %q; want a line %q", line, prefix)
			}
			seen = append(seen, line)
			if strings.HasPrefix(line, prefix) {
				return line, seen
			}
		case <-deadline:
			t.Fatalf("no line %q in %v; last lines: %q", prefix, patience, tail(seen))
		}
	}
}

// until reads STAT lines until one satisfies the condition, and returns it and all lines on the way.
func (r *running) until(t *testing.T, what string, ok func(stat) bool) (stat, []string) {
	t.Helper()
	var all []string
	deadline := time.Now().Add(patience)
	for {
		line, seen := r.await(t, "STAT ")
		all = append(all, seen...)
		s := parseStat(t, line)
		if ok(s) {
			return s, all
		}
		if time.Now().After(deadline) {
			t.Fatalf("got %v; want %s", s, what)
		}
	}
}

// rest returns the lines up to the guest's end, which must come.
func (r *running) rest(t *testing.T) (lines []string) {
	t.Helper()
	deadline := time.After(patience)
	for {
		select {
		case line, ok := <-r.lines:
			if !ok {
				return lines
			}
			lines = append(lines, line)
		case <-deadline:
			t.Fatalf("got a guest that runs on; want its end; last lines: %q", tail(lines))
		}
	}
}

func tail(lines []string) []string { return lines[max(0, len(lines)-10):] }

// stat holds the fields of a STAT line.
type stat map[string]float64

func parseStat(t *testing.T, line string) stat {
	t.Helper()
	s := stat{}
	for _, field := range strings.Fields(line)[1:] {
		key, value, _ := strings.Cut(field, "=")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		s[key] = v
	}
	for _, key := range []string{"verified", "corrupt", "doubled", "lost", "write_mib_s", "read_mib_s", "touch_p50_us", "touch_p99_us", "passes"} {
		if _, ok := s[key]; !ok {
			t.Fatalf("got %q; want a field %s", line, key)
		}
	}
	return s
}

// beat is an HB line.
type beat struct {
	cpu, n int
	ns     int64
}

func beats(t *testing.T, lines []string) []beat {
	t.Helper()
	var all []beat
	for _, line := range lines {
		if !strings.HasPrefix(line, "HB") {
			continue
		}
		var b beat
		if n, err := fmt.Sscanf(line, "HB %d %d %d", &b.cpu, &b.n, &b.ns); n != 3 || fmt.Sprintf("HB %d %d %d", b.cpu, b.n, b.ns) != line {
			t.Fatalf("got %q; want HB cpu n ns (%v)", line, err)
		}
		all = append(all, b)
	}
	return all
}

// having returns the lines with the prefix.
func having(lines []string, prefix string) []string {
	var got []string
	for _, line := range lines {
		if strings.HasPrefix(line, prefix) {
			got = append(got, line)
		}
	}
	return got
}
