package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// footprint is what processes need besides the guest's memory, in KiB. The guest's is shared memory, and left out.
type footprint struct {
	private float64 // RssAnon + RssFile + VmPTE
	pss     float64 // Pss - Pss_Shmem: a page of the binary is divided among those that have it mapped
}

// footprintOf adds up processes.
func footprintOf(pids ...int) (f footprint, err error) {
	for _, pid := range pids {
		status, err := readKiB(fmt.Sprintf("/proc/%d/status", pid), "RssAnon", "RssFile", "VmPTE")
		if err != nil {
			return f, err
		}
		rollup, err := readKiB(fmt.Sprintf("/proc/%d/smaps_rollup", pid), "Pss", "Pss_Shmem")
		if err != nil {
			return f, err
		}
		f.private += status["RssAnon"] + status["RssFile"] + status["VmPTE"]
		f.pss += rollup["Pss"] - rollup["Pss_Shmem"]
	}
	return f, nil
}

// readKiB reads fields of a file with lines like "Name:  123 kB".
func readKiB(path string, fields ...string) (map[string]float64, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	values := make(map[string]float64)
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		if v, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 64); err == nil {
			values[name] = v
		}
	}
	for _, name := range fields {
		if _, ok := values[name]; !ok {
			return nil, fmt.Errorf("%s: there is no %s", path, name)
		}
	}
	return values, lines.Err()
}
