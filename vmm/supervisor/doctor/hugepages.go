package doctor

import (
	"fmt"
	"strconv"
	"strings"
)

// hugePages looks at the huge pages of 2 MiB: how many are free, of how many, as the kernel writes them; empty where it knows none.
func hugePages(free, all string) Finding {
	f := Finding{Check: "hugepages", Level: OK}
	n, err := strconv.ParseUint(strings.TrimSpace(free), 10, 40)
	total, totalErr := strconv.ParseUint(strings.TrimSpace(all), 10, 40)
	switch {
	case err != nil || totalErr != nil:
		f.Level, f.Text, f.Remedy = Note, "this kernel has no huge pages of 2 MiB: --hugepages is refused", "use a kernel with CONFIG_HUGETLBFS"
	case total == 0:
		f.Text, f.Remedy = "no huge pages are reserved; only --hugepages needs them", "sysctl vm.nr_hugepages=512 reserves 1 GiB"
	case n == 0:
		f.Level, f.Text, f.Remedy = Note, fmt.Sprintf("all %d huge pages of 2 MiB are in use: --hugepages is refused", total), fmt.Sprintf("sysctl vm.nr_hugepages=%d", 2*total)
	default:
		f.Text = fmt.Sprintf("%d MiB of huge pages are free, for --hugepages 2M", 2*n)
	}
	return f
}
