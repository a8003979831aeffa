package main

import (
	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (a *app) adoptCommand() *cobra.Command {
	s := &start{app: a}
	s.console.Kind = "none" // the guest has it already
	cmd := &cobra.Command{
		Use:   "adopt NAME [flags]",
		Short: "Take over a guest whose supervisor died, and look after it",
		Long: `Take over a guest whose supervisor died: vmm ps shows it as orphaned. The guest runs on meanwhile, and can be asked, moved
and saved again from here on. Sockets of its console and devices are made anew; a console that was a terminal is gone, and vmm console
takes its place. Stays until the guest ends or moves away.

Exit code: as for run.`,
		Example:           "  vmm adopt alpha --detach",
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeName,
	}
	f := cmd.Flags()
	f.BoolVar(&s.detach, "detach", false, "run in the background; return when the guest is taken over")
	a.jsonFlag(cmd)
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error {
		if err := api.CheckName(args[0]); err != nil {
			return err
		}
		if s.detach {
			started, err := a.detach([]string{cmd.Name(), "--", args[0]})
			switch {
			case err != nil:
				return err
			case a.json:
				a.emit(started)
			default:
				a.printLine(started.Name)
			}
			return nil
		}
		dir, err := a.dir()
		if err != nil {
			return err
		}
		ctx, stop := a.untilSignal(cmd.Context())
		defer stop()
		return s.ended(a.adopt(ctx, supervisor.AdoptConfig{Dir: dir, Name: args[0], Started: s.started}))
	})
	return cmd
}
