package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (a *app) snapshotCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "snapshot NAME DIR [flags]",
		Short: "Save a guest to a directory; it goes on running",
		Long: `Save a guest to a directory; it goes on running. The directory is complete and on disk when it returns 0, and
absent otherwise. Ctrl-C cancels.`,
		Args:              takes("NAME", "DIR"),
		ValidArgsFunction: a.completeName,
	}
	a.jsonFlag(cmd)
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error {
		if args[1] == "" {
			return usage("DIR is empty")
		}
		dir, err := filepath.Abs(args[1])
		if err != nil {
			return err
		}
		client, err := a.machine(args[0])
		if err != nil {
			return err
		}
		result, err := a.attend(cmd.Context(), client, "nothing is kept, the guest goes on",
			func(ctx context.Context, p func(api.Progress)) (api.Result, error) {
				return client.Snapshot(ctx, api.SnapshotRequest{Dir: dir}, p)
			})
		switch {
		case err != nil:
			return err
		case a.json:
			if result.Rounds == nil {
				result.Rounds = []api.Round{}
			}
			a.emit(struct {
				Dir string `json:"dir"`
				api.Result
			}{dir, result})
		case result.Outcome != api.OutcomeCompleted || result.Error != nil:
			a.result(result)
		default:
			a.printLine(fmt.Sprintf("saved %s to %s in %s", args[0], dir, millisText(result.TotalMS)))
			a.printLine(costText(result))
		}
		return outcomeExit(result)
	})
	return cmd
}
