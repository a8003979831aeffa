package main

import (
	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (a *app) receiveCommand() *cobra.Command {
	s := &start{app: a}
	var listen string
	var secure secure
	var allow hostNames
	var places placeFlags
	cmd := &cobra.Command{
		Use:   "receive --listen tcp:HOST:PORT|unix:PATH [flags]",
		Short: "Wait for a guest that migrate sends, and run it",
		Long: `Wait for a guest that migrate sends, and run it until it ends or moves on. A failed attempt is logged, and
it listens on; after a guest has run it does not listen again. Port 0 takes any free port. At unix:PATH, a socket for
this user alone, a guest of this host is handed over with what it works on: nothing is copied.

Exit code: as for run.`,
		Example: "  vmm receive --listen tcp:127.0.0.1:4444\n" +
			"  vmm receive --listen tcp:192.0.2.8:4444 --tls /etc/ferry/tls --allow a.example",
		Args: takes(),
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", "", "the `ADDRESS` to listen on, tcp:HOST:PORT or unix:PATH")
	f.Var(&s.name, "name", "the machine's name (default receive-PORT or the socket's name, then the guest's)")
	secure.flags(f, "listen on an address that others can reach, without encryption")
	f.Var(&allow, "allow", "with --tls: take guests only from hosts with one of these names in their certificates (default all of the authority)")
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
		if err := secure.check(address); err != nil {
			return err
		}
		if allow != nil && secure.tls == "" {
			return usage("--allow needs --tls: without it nobody proves a name")
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
			Dir: dir, Name: string(s.name), Listen: address.String(), Console: s.console.Console, TLS: string(secure.tls), Allow: allow, Insecure: secure.insecure, Places: places.places(),
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
