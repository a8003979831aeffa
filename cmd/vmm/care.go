package main

import (
	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// act is a command that does one thing to one machine. It prints the machine's name, or {"name","state"}.
func (a *app) act(use, short, state string, f func(cmd *cobra.Command, name string) error) *cobra.Command {
	cmd := &cobra.Command{
		Use:               use + " NAME [flags]",
		Short:             short,
		Args:              takes("NAME"),
		ValidArgsFunction: a.completeName,
		RunE: a.do(func(cmd *cobra.Command, args []string) error {
			if err := f(cmd, args[0]); err != nil {
				return err
			}
			if a.json {
				a.emit(struct {
					Name  string `json:"name"`
					State string `json:"state"`
				}{args[0], state})
				return nil
			}
			a.printLine(args[0])
			return nil
		}),
	}
	a.jsonFlag(cmd)
	return cmd
}

func (a *app) pauseCommand() *cobra.Command {
	return a.act("pause", "Pause a guest", string(api.StatePaused), func(cmd *cobra.Command, name string) error {
		client, err := a.machine(name)
		if err != nil {
			return err
		}
		return client.Pause(cmd.Context())
	})
}

func (a *app) resumeCommand() *cobra.Command {
	return a.act("resume", "Let a paused guest go on", string(api.StateRunning), func(cmd *cobra.Command, name string) error {
		client, err := a.machine(name)
		if err != nil {
			return err
		}
		return client.Resume(cmd.Context())
	})
}

func (a *app) stopCommand() *cobra.Command {
	return a.act("stop", "Ask a guest to end, and end it after 10 s", "stopped", func(cmd *cobra.Command, name string) error {
		client, err := a.machine(name)
		if err != nil {
			return err
		}
		gone, err := a.watch(client)
		if err != nil {
			return err
		}
		defer gone.Close()
		if err := client.Stop(cmd.Context()); err != nil {
			return err
		}
		return gone.Wait(cmd.Context())
	})
}

func (a *app) killCommand() *cobra.Command {
	return a.act("kill", "End a machine at once, also one whose supervisor died", "killed", func(_ *cobra.Command, name string) error {
		if err := api.CheckName(name); err != nil {
			return err
		}
		dir, err := a.dir()
		if err != nil {
			return err
		}
		return a.kill(dir, name)
	})
}
