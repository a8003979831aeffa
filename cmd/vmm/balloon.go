package main

import (
	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (a *app) balloonCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "balloon NAME SIZE [flags]",
		Short: "Ask a guest to do with less memory, or give it back",
		Long: `Ask a guest that was started with --balloon to do with SIZE of its memory: it gives the rest back to the host as it
can. A larger SIZE than before gives memory to it again. It does not wait: see vmm info for how far the guest has come.`,
		Example:           "  vmm balloon alpha 128M",
		Args:              takes("NAME", "SIZE"),
		ValidArgsFunction: a.completeName,
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			var size memory
			if err := size.Set(args[1]); err != nil {
				return usage("%q: %v", args[1], err)
			}
			client, err := a.machine(args[0])
			if err != nil {
				return err
			}
			if err := client.Balloon(cmd.Context(), api.BalloonRequest{MemoryBytes: uint64(size)}); err != nil {
				return err
			}
			if a.json {
				a.emit(struct {
					Name        string `json:"name"`
					MemoryBytes uint64 `json:"memory_bytes"`
				}{args[0], uint64(size)})
				return nil
			}
			a.printLine(args[0])
			return nil
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}
