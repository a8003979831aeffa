package main

import (
	"context"
	"errors"
	"fmt"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (a *app) infoCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:               "info NAME [flags]",
		Short:             "Show what is known of a machine",
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeName,
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			m, err := a.describe(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if a.json {
				a.emit(m)
				return nil
			}
			return a.printInfo(m)
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}

// describe asks the machine; of an orphaned one, which cannot answer, it returns what the state folder knows.
func (a *app) describe(ctx context.Context, name string) (api.Machine, error) {
	client, err := a.machine(name)
	if err == nil {
		return client.Machine(ctx)
	}
	if known, ok := errors.AsType[*api.Error](err); !ok || known.Code != api.CodeOrphaned {
		return api.Machine{}, err
	}
	dir, dirErr := a.dir()
	if dirErr != nil {
		return api.Machine{}, dirErr
	}
	machines, listErr := a.list(dir)
	if listErr != nil {
		return api.Machine{}, listErr
	}
	for _, m := range machines {
		if m.Name == name {
			return m, nil
		}
	}
	return api.Machine{}, err
}

func (a *app) printInfo(m api.Machine) error {
	table := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	row := func(key, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s:\t%s\n", key, value)
		}
	}
	row("name", m.Name)
	row("state", string(m.State))
	row("process", unlessZero(m.PID))
	row("supervisor", unlessZero(m.SupervisorPID))
	row("listening", m.Listening)
	row("cpus", unlessZero(m.CPUs))
	row("memory", memoryOrNone(m.MemoryBytes))
	if m.ResidentBytes > 0 {
		row("resident", bytesText(m.ResidentBytes))
	}
	row("uptime", uptimeText(m.UptimeMS))
	if !m.StartedAt.IsZero() {
		row("started", m.StartedAt.Local().Format(time.RFC3339))
	}
	if m.ReadyMS != nil {
		row("ready after", millisText(*m.ReadyMS))
	}
	row("kernel", m.Kernel)
	row("command line", m.Cmdline)
	row("console", m.Console)
	row("clock", m.Clock)
	row("moves", fmt.Sprint(m.Moves))
	if m.CountedWrong {
		row("counted wrong", "yes: the guest found an error, see its console")
	}
	row("socket", m.Socket)
	row("version", m.Version)
	return table.Flush()
}
