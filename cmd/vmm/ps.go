package main

import (
	"cmp"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// psEntry is a machine as ps lists it.
type psEntry struct {
	Name        string    `json:"name"`
	State       api.State `json:"state"`
	PID         int       `json:"pid"`
	CPUs        int       `json:"cpus"`
	MemoryBytes uint64    `json:"memory_bytes"`
	UptimeMS    float64   `json:"uptime_ms"`
}

func (a *app) psCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ps [flags]",
		Short: "List the machines",
		Args:  takes(),
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			dir, err := a.dir()
			if err != nil {
				return err
			}
			machines, err := a.list(dir)
			if err != nil {
				return err
			}
			slices.SortFunc(machines, func(x, y api.Machine) int { return cmp.Compare(x.Name, y.Name) })
			if a.json {
				entries := make([]psEntry, 0, len(machines))
				for _, m := range machines {
					entries = append(entries, psEntry{m.Name, m.State, m.PID, m.CPUs, m.MemoryBytes, m.UptimeMS})
				}
				a.emit(struct {
					Machines []psEntry `json:"machines"`
				}{entries})
				return nil
			}
			table := tabwriter.NewWriter(a.stdout, 0, 0, 3, ' ', 0)
			fmt.Fprintln(table, "NAME\tSTATE\tPID\tCPUS\tMEMORY\tUPTIME")
			for _, m := range machines {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", m.Name, m.State,
					unlessZero(m.PID), unlessZero(m.CPUs), memoryOrNone(m.MemoryBytes), uptimeText(m.UptimeMS))
			}
			return table.Flush()
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}

// unlessZero returns a number, or - for one that there is not yet.
func unlessZero(n int) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}

func memoryOrNone(size uint64) string {
	if size == 0 {
		return "-"
	}
	return memoryText(size)
}

// uptimeText returns an uptime for people, in whole seconds, or - for none.
func uptimeText(ms float64) string {
	if ms <= 0 {
		return "-"
	}
	return api.Duration(ms).Truncate(time.Second).String()
}
