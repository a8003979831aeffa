package main

import (
	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (a *app) receiveCommand() *cobra.Command {
	s := &start{app: a}
	var listen string
	var insecure bool
	var places placeFlags
	cmd := &cobra.Command{
		Use:   "receive --listen tcp:HOST:PORT|unix:PATH [flags]",
		Short: "Wait for a guest that migrate sends, and run it",
		Long: `Wait for a guest that migrate sends, and run it until it ends or moves on. A failed attempt is logged, and
it listens on; after a guest has run it does not listen again. Port 0 takes any free port. At unix:PATH, a socket for
this user alone, a guest of this host is handed over with what it works on: nothing is copied.

Exit code: as for run.`,
		Example: "  vmm receive --listen tcp:127.0.0.1:4444",
		Args:    takes(),
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "", "the `ADDRESS` to listen on, tcp:HOST:PORT or unix:PATH")
	f.Var(&s.name, "name", "the machine's name (default receive-PORT or the socket's name, then the guest's)")
	f.BoolVar(&insecure, "insecure", false, "listen on an address that others can reach, without encryption")
	tracking := trackingFlag(f)
	places.add(f)
	s.flags(cmd, "wait in the background; return when it listens")
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error {
		if listen == "" {
			return usage("%s needs --listen tcp:HOST:PORT or unix:PATH", cmd.CommandPath())
		}
		address, err := api.ParseAddress(listen)
		if err != nil {
			return err
		}
		if err := address.CheckSecure(insecure); err != nil {
			return err
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
		ctx, stop := a.untilSignal(cmd.Context())
		defer stop()
		return s.ended(a.receive(ctx, supervisor.ReceiveConfig{
			Dir: dir, Name: string(s.name), Listen: address.String(), Console: s.console.Console, Insecure: insecure, Places: places.places(),
			Tracking: tracking(), Guard: s.guard, Confinement: s.confinement, Listening: a.listening, Started: s.started,
		}))
	})
	return cmd
}

// listening reports that a guest may be sent to an address.
func (a *app) listening(address string) {
	if a.json {
		a.emit(struct {
			Listening string `json:"listening"`
		}{address})
		return
	}
	a.printLine("listening " + address)
}
