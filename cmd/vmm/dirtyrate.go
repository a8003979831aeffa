package main

import (
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (a *app) dirtyRateCommand() *cobra.Command {
	over := duration{d: time.Second, min: time.Millisecond}
	cmd := &cobra.Command{
		Use:   "dirty-rate NAME [flags]",
		Short: "Measure how much of its memory a guest writes",
		Long: `Measure how much of its memory a guest writes, as a move would have to send it again. A page that is written more than
once counts once: over a longer time a guest that stays in a small part of its memory has a lower rate. The guest runs
on; its first write to each page costs a little more meanwhile.`,
		Example:           "  vmm dirty-rate alpha --duration 500ms",
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeName,
	}
	cmd.Flags().Var(&over, "duration", "the time to measure, up to a minute")
	a.jsonFlag(cmd)
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error {
		if over.d > vmm.MaxDirtyRate {
			return usage("--duration %v is more than %v", over.d, vmm.MaxDirtyRate)
		}
		client, err := a.machine(args[0])
		if err != nil {
			return err
		}
		ctx, stop := a.untilSignal(cmd.Context())
		defer stop()
		rate, err := client.DirtyRate(ctx, api.DirtyRateRequest{DurationMS: api.Milliseconds(over.d)})
		if err != nil {
			return err
		}
		if a.json {
			a.emit(rate)
			return nil
		}
		return a.printDirtyRate(rate)
	})
	return cmd
}

func (a *app) printDirtyRate(r api.DirtyRate) error {
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%s:\t%.1f MiB/s\t%d pages in %s\n", r.Name, r.DirtyMiBS, r.DirtyPages, millisText(r.DurationMS))
	for _, c := range r.VCPUs {
		fmt.Fprintf(table, "  vCPU %d:\t%.1f MiB/s\t%d pages\n", c.CPU, c.MiBS, c.Pages)
	}
	return table.Flush()
}
