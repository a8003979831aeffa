package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor"
)

func (a *app) restoreCommand() *cobra.Command {
	s := &start{app: a}
	cmd := &cobra.Command{
		Use:   "restore DIR [flags]",
		Short: "Run a guest from a snapshot",
		Long: `Run a guest from the directory that snapshot wrote, until it ends or moves away. The directory stays as it is,
and can be restored again.

Exit code: as for run.`,
		Args: takes("DIR"),
	}
	tracking := trackingFlag(cmd.Flags())
	var places placeFlags
	places.add(cmd.Flags())
	cmd.Flags().Var(&s.name, "name", "the machine's name (default the name it had)")
	s.flags(cmd, "run in the background; return when the guest runs")
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error {
		if args[0] == "" {
			return usage("DIR is empty")
		}
		if err := s.settle(); err != nil {
			return err
		}
		if s.detach {
			return s.background(cmd, args)
		}
		dir, err := a.dir()
		if err != nil {
			return err
		}
		from, err := filepath.Abs(args[0])
		if err != nil {
			return err
		}
		ctx, stop := a.untilSignal(cmd.Context())
		defer stop()
		return s.ended(a.restore(ctx, supervisor.RestoreConfig{
			Dir: dir, Name: string(s.name), From: from, Console: s.console.Console, Places: places.places(), Tracking: tracking(),
			Guard: s.guard, Confinement: s.confinement, Started: s.started,
		}))
	})
	return cmd
}
