package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
	"github.com/ferryvmm/ferry/vmm/supervisor/doctor"
)

func (a *app) doctorCommand() *cobra.Command {
	var peer string
	var secure secure
	cmd := &cobra.Command{
		Use:   "doctor [flags]",
		Short: "Say what this host can do, what it lacks, and what to type about that",
		Long: `Say what this host can do, what it lacks, and what to type about that. It changes nothing. With --peer it also asks a vmm
receive whether its host can take this one's guests; nothing is reserved there, and it listens on.

Exit code: 0 guests can run here, and the peer can take them; 1 not so; 2 usage.`,
		Example: "  vmm doctor\n" +
			"  vmm doctor --peer tcp:192.0.2.7:4444 --insecure",
		Args: takes(),
	}
	f := cmd.Flags()
	f.StringVar(&peer, "peer", "", "the `ADDRESS` of a vmm receive, tcp:HOST:PORT")
	secure.flags(f, "ask at an address that is not this host's own, without encryption")
	a.jsonFlag(cmd)
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error {
		if peer != "" {
			address, err := api.ParseAddress(peer)
			if err != nil {
				return err
			}
			if err := secure.check(address); err != nil {
				return err
			}
			if peer = address.String(); address.Local() || address.Host == "" || address.Port == 0 {
				return usage("%q: a peer is another host's, tcp:HOST:PORT", peer)
			}
		}
		report := a.diagnose(cmd.Context(), peer, secure)
		if a.json {
			a.emit(struct {
				OK bool `json:"ok"`
				doctor.Report
			}{report.OK(), report})
		} else {
			a.printReport(report)
		}
		if !report.OK() {
			return exit(exitFailed)
		}
		return nil
	})
	return cmd
}

// diagnose looks at this host, and asks the peer if there is one.
func (a *app) diagnose(ctx context.Context, peer string, secure secure) doctor.Report {
	dir, err := a.dir()
	if err != nil { // told by the check of the folder
		dir = ""
	}
	report, own := a.examine(dir)
	if peer == "" {
		return report
	}
	guests, err := a.list(dir)
	if err != nil {
		guests = nil // none that could be moved
	}
	offer, err := a.probe(ctx, peer, string(secure.tls), secure.insecure)
	report.Findings = append(report.Findings, doctor.Peer(peer, offer, err, own, guests)...)
	return report
}

// printReport tells people what was found.
func (a *app) printReport(r doctor.Report) {
	marks := map[doctor.Level]string{doctor.OK: "ok  ", doctor.Note: "note", doctor.Bad: "BAD "}
	for _, f := range r.Findings {
		a.printLine(fmt.Sprintf("%s  %-13s %s", marks[f.Level], f.Check, f.Text))
		if f.Remedy != "" {
			a.printLine(fmt.Sprintf("%19s   try: %s", "", f.Remedy))
		}
	}
	if r.OK() {
		a.printLine("Guests can run here.")
		return
	}
	a.printLine("Something stands in the way: see BAD above.")
}
