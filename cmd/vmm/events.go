package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (a *app) eventsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "events NAME [flags]",
		Short: "Follow what happens to a machine",
		Long: `Follow what happens to a machine, an event a line: its state, how a move gets on and ends, and its end, behind which this
command ends too. Ctrl-C leaves.`,
		Example:           "  vmm events alpha --json",
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeName,
	}
	a.jsonFlag(cmd)
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error {
		client, err := a.machine(args[0])
		if err != nil {
			return err
		}
		ctx, stop := a.untilSignal(cmd.Context())
		defer stop()
		for e, err := range client.Events(ctx) {
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				return err
			case a.json:
				a.emit(e)
			default:
				a.printLine(eventText(e))
			}
		}
		return nil
	})
	return cmd
}

// eventText is an event in a line.
func eventText(e api.Event) string {
	head := e.At.Local().Format(time.TimeOnly) + " " + e.Name + " "
	switch { // a supervisor of another version may leave out what its kind promises
	case e.Progress != nil:
		p := e.Progress
		return head + fmt.Sprintf("%s: round %d, %s sent, %s left", p.Phase, p.Round, bytesText(p.SentBytes), bytesText(p.RemainingBytes))
	case e.Result != nil:
		if e.Result.Outcome == api.OutcomeCompleted {
			return head + fmt.Sprintf("completed (%s) in %s, downtime %s", e.Result.Mode, millisText(e.Result.TotalMS), millisText(e.Result.DowntimeMS))
		}
		return head + string(e.Result.Outcome) + ": " + printable(e.Result.Reason)
	case e.Exit != nil:
		return head + fmt.Sprintf("ended with %d: %s", *e.Exit, printable(e.Reason))
	case e.Missed > 0:
		return head + fmt.Sprintf("%d events were missed", e.Missed)
	}
	return head + string(e.State)
}
