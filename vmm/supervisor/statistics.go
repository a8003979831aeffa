package supervisor

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// tickMS is the unit of the times in /proc/PID/stat: USER_HZ is 100 on x86-64, whatever the kernel's own tick.
const tickMS = 10

// statistics describes what the guest did for the API.
func (s *supervisor) statistics(ctx context.Context) (api.Statistics, error) {
	m, f, err := s.inspect(ctx)
	if err != nil {
		return api.Statistics{}, err
	}
	out := api.Statistics{
		Name: m.Name, State: m.State, UptimeMS: m.UptimeMS, MemoryBytes: m.MemoryBytes, ResidentBytes: m.ResidentBytes,
		MissingBytes: m.MissingBytes, Moves: m.Moves, VCPUs: []api.VCPUStatistics{}, Devices: m.Devices,
	}
	for i, c := range f.VCPUs {
		out.VCPUs = append(out.VCPUs, api.VCPUStatistics{
			CPU: i, IOExits: c.IO, MMIOExits: c.MMIO, RingExits: c.RingFull, Interrupts: c.Signals, ThrottledMS: api.Milliseconds(c.Throttled),
		})
	}
	if m.PID != 0 {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.PID))
		if err == nil { // else it has just ended
			out.ProcessMS = processTime(string(text))
		}
	}
	return out, nil
}

// processTime reads the CPU time, in ms, that a process has had from its /proc/PID/stat: fields 14 and 15 of proc(5), behind a name in
// parentheses that may hold anything.
func processTime(stat string) float64 {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.ParseUint(fields[11], 10, 64) // of the kernel: what is no number is none
	system, _ := strconv.ParseUint(fields[12], 10, 64)
	return float64((user + system) * tickMS)
}
