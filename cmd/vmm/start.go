package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ferryvmm/ferry/vmm/supervisor"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// start is what run, receive and restore have in common.
type start struct {
	app     *app
	name    name
	console console
	detach  bool
	guard   supervisor.Guard
	// confinement is that of the machine process.
	confinement supervisor.Confinement
}

// flags adds the common flags, after the command's own.
func (s *start) flags(cmd *cobra.Command, detachUsage string) {
	f := cmd.Flags()
	s.placeFlags(f)
	f.BoolVar(&s.confinement.Off, "unconfined", false, "do not confine the machine process: only to look for faults")
	f.BoolVar(&s.detach, "detach", false, detachUsage)
	s.app.jsonFlag(cmd)
}

// placeFlags adds those that say what the guest has on this host, whatever it is.
func (s *start) placeFlags(f *pflag.FlagSet) {
	f.Var(&s.console, "console", "the guest's serial console (default stdio, or none with --detach or --json)")
	f.Var(&userFlag{to: &s.confinement}, "user", "the machine process's own user, NAME or UID[:GID] (default whose vmm is)")
	f.StringVar(&s.guard.FenceHook, "fence-hook", "", "a program, `FILE`, that fences the target of a move in doubt")
	f.StringVar(&s.guard.SharedRecords, "shared-records", "", "a `DIR` that both hosts of a move see, for their ownership records")
}

// settle checks the common flags against each other and fills in the console.
func (s *start) settle() error {
	switch stdio := s.console.Kind == "stdio"; {
	case stdio && s.detach:
		return usage("--detach leaves no terminal for --console stdio")
	case stdio && s.app.json:
		return usage("--json and --console stdio cannot share stdout")
	case s.console.Kind != "":
	case s.detach || s.app.json:
		s.console.Kind = "none"
	default:
		s.console.Kind = "stdio"
	}
	return nil
}

// background starts the same command again in the background and returns when its guest runs, or it listens.
func (s *start) background(cmd *cobra.Command, args []string) error {
	again := []string{cmd.Name(), "--console=" + s.console.String()}
	cmd.Flags().Visit(func(f *pflag.Flag) {
		switch f.Name {
		case "detach", "json", "console", "file": // what a file says is in the flags by now
		default:
			texts := []string{f.Value.String()}
			if r, ok := f.Value.(repeatable); ok {
				texts = r.texts()
			}
			for _, text := range texts {
				again = append(again, "--"+f.Name+"="+text)
			}
		}
	})
	again = append(again, "--")
	started, err := s.app.detach(append(again, args...))
	switch {
	case err != nil:
		return err
	case s.app.json:
		s.app.emit(started)
	case started.Listening != "":
		s.app.printLine("listening " + started.Listening)
	default:
		s.app.printLine(started.Name)
	}
	return nil
}

// started reports that the guest runs. With its console on a terminal the guest speaks for itself.
func (s *start) started(m api.Started) {
	switch {
	case s.app.json:
		s.app.emit(struct { // exactly the contract's fields, whatever else is known
			Name   string `json:"name"`
			PID    int    `json:"pid"`
			Socket string `json:"socket"`
		}{m.Name, m.PID, m.Socket})
	case s.console.Kind != "stdio":
		s.app.note("%s runs (process %d)", m.Name, m.PID)
	}
}

// ended reports how the guest, or the attempt to run one, ended.
func (s *start) ended(end supervisor.Exit, err error) error {
	if err != nil {
		return err
	}
	if s.app.json {
		s.app.emit(struct {
			Exit   int    `json:"exit"`
			Reason string `json:"reason"`
		}{end.Code, end.Reason})
	} else if end.Reason != "" {
		s.app.note("%s", end.Reason)
	}
	if end.Code != exitOK {
		return exit(end.Code)
	}
	return nil
}
