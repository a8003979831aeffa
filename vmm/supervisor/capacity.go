package supervisor

import (
	"bufio"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// capacity returns how much memory a guest can be given on this host, in
// bytes: what the kernel says is available, within the limits of the control
// groups that this process is in. 0 means that it could not be told.
func capacity() uint64 {
	free := memAvailable()
	for _, limit := range cgroupRooms() {
		if free == 0 || limit < free {
			free = limit
		}
	}
	return free
}

func memAvailable() uint64 {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		if len(fields) >= 2 && fields[0] == "MemAvailable:" {
			kib, err := strconv.ParseUint(fields[1], 10, 54)
			if err != nil {
				return 0
			}
			return kib << 10
		}
	}
	return 0
}

// cgroupRooms returns limit minus usage for each control group, version 1 or
// 2, from this process's own up to the root.
func cgroupRooms() []uint64 {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil
	}
	var rooms []uint64
	for line := range strings.Lines(string(b)) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(parts) != 3 {
			continue
		}
		base, limit, usage := "", "", ""
		switch {
		case parts[1] == "":
			base, limit, usage = "/sys/fs/cgroup", "memory.max", "memory.current"
		case parts[1] == "memory":
			base, limit, usage = "/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
		default:
			continue
		}
		for p := filepath.Clean("/" + parts[2]); ; p = filepath.Dir(p) {
			max, okMax := readNumber(filepath.Join(base, p, limit))
			used, okUsed := readNumber(filepath.Join(base, p, usage))
			if okMax && okUsed {
				rooms = append(rooms, max-min(used, max))
			}
			if p == "/" {
				break
			}
		}
	}
	return rooms
}

// readNumber reads a file that holds one number; "max" and absence are false.
func readNumber(path string) (uint64, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil
}

// freeHugePages returns how many bytes of huge pages a guest can be given; 0 where the host knows none of 2 MiB.
func freeHugePages() uint64 {
	const pool = "/sys/kernel/mm/hugepages/hugepages-2048kB"
	free, _ := readNumber(filepath.Join(pool, "free_hugepages"))
	promised, _ := readNumber(filepath.Join(pool, "resv_hugepages")) // free, but others may take them
	return (free - min(promised, free)) * vmm.HugePageSize
}

// checkCapacity refuses a guest that the host has no memory for.
func checkCapacity(memory uint64, huge bool) error {
	if huge {
		if free := freeHugePages(); memory > free {
			return api.Errorf("no_memory", vmm.NoHugePages(memory-free),
				"a guest of %d MiB in huge pages does not fit: this host has %d of %d free", memory>>20, free/vmm.HugePageSize, memory/vmm.HugePageSize)
		}
		return nil
	}
	if c := capacity(); c != 0 && memory > c {
		return api.Errorf("no_memory", "use a smaller --memory, or free some on this host",
			"a guest of %d MiB does not fit: this host has %d MiB available", memory>>20, c>>20)
	}
	return nil
}
