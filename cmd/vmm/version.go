package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (a *app) versionCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "version [flags]",
		Short: "Show the version of this program",
		Args:  takes(),
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			if a.json {
				a.emit(struct {
					Version string `json:"version"`
					Go      string `json:"go"`
				}{api.Version(), runtime.Version()})
				return nil
			}
			a.printLine(fmt.Sprintf("vmm %s (%s)", api.Version(), runtime.Version()))
			return nil
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}
