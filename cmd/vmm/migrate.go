package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (a *app) migrateCommand() *cobra.Command {
	mode := choice{word: api.ModeAuto, among: api.Modes}
	compress := choice{word: api.CompressAuto, among: api.Compressions}
	limit := duration{d: 50 * time.Millisecond, min: time.Microsecond}
	var timeout duration
	var bandwidth bandwidth
	var throttle throttle
	var channels channels // auto
	var secure secure
	var wait bool
	var report string
	var orders orders
	cmd := &cobra.Command{
		Use:   "migrate NAME tcp:HOST:PORT|unix:PATH [flags]\n  vmm migrate NAME --cancel | --continue | --pull\n  vmm migrate NAME --resolve source|target",
		Short: "Move a running guest to a host where receive waits for it",
		Long: `Move a running guest to a host where receive waits for it. When it returns 0 the guest runs there, and its
process, name and socket here are gone. Ctrl-C cancels the move; the guest then goes on here.

To unix:PATH, a receive of the same host, the guest is handed over: its memory, disks and taps as they are, nothing is
copied. So a vmm is replaced by another under a running guest; in the same state folder the guest keeps its name. Mode is then local.

Modes:
  auto      precopy, or from where the guest is seen to write faster than the link takes: hybrid
  precopy   memory is sent in rounds while the guest runs here; it is stopped for the last, short one
  postcopy  the guest is stopped and starts there at once; memory follows, what it needs first
  hybrid    memory is sent once while the guest runs here, what changed meanwhile follows as in postcopy
  stopcopy  the guest is stopped, all memory is sent, and it starts there
  remote    postcopy, but only what the guest needs follows, until vmm migrate NAME --pull there

Exit code: 0 completed; 1 failed or cancelled, the guest runs here; 2 usage; 3 in doubt or lost.`,
		Example: "  vmm migrate alpha tcp:127.0.0.1:4444\n" +
			"  vmm migrate alpha tcp:b.example:4444 --tls /etc/ferry/tls",
		ValidArgsFunction: a.completeName,
		Args: func(cmd *cobra.Command, args []string) error {
			if orders.given() {
				return takes("NAME")(cmd, args)
			}
			return takes("NAME", "TARGET")(cmd, args)
		},
	}
	f := cmd.Flags()
	f.Var(&mode, "mode", "how memory is sent: see above")
	f.Var(&limit, "downtime-limit", "the guest is not stopped while a longer pause is forecast (precopy)")
	f.Var(&timeout, "timeout", "cancel a move that has not come to its switchover by then; auto and hybrid switch instead (default none)")
	f.Var(&bandwidth, "bandwidth", "send memory no faster while the guest runs, in bits/s with k, M or G (default no limit)")
	f.Var(&channels, "channels", "connections that carry memory side by side, 1 to 16; auto adds one while that makes it faster")
	f.Var(&throttle, "throttle", "slow a guest that writes faster than the link takes, by up to so much of its time (auto, precopy)")
	f.Var(&compress, "compress", "make pages smaller: auto does where that is faster, and chooses for each page")
	secure.flags(f, "send to an address that is not this host's own, without encryption")
	f.BoolVar(&wait, "pause-before-switchover", false, "when the guest could be switched over, pause it and wait for --continue")
	f.StringVar(&report, "report", "", "write the result to `FILE` too: as a page for people if its name ends in .html, else as --json prints it")
	orders.flags(f)
	a.jsonFlag(cmd)
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error {
		if orders.given() {
			return orders.give(cmd.Context(), a, f, args[0])
		}
		address, err := api.ParseAddress(args[1])
		if err != nil {
			return err
		}
		if address.Local() && mode.word == api.ModeRemote {
			return usage("mode remote leaves the memory at the source; %s gets it as it is: leave --mode out", address)
		}
		if !address.Local() && (address.Host == "" || address.Port == 0) {
			return usage("%q: a target needs a host and a port", args[1])
		}
		if err := secure.check(address); err != nil {
			return err
		}
		if throttle > 0 && mode.word != api.ModeAuto && mode.word != api.ModePrecopy {
			return usage("--throttle goes with no --mode %s, which does not wait for the guest's writes", mode.word)
		}
		return a.move(cmd.Context(), args[0], api.MigrateRequest{
			Target: address.String(), Mode: mode.word, DowntimeLimitMS: api.Milliseconds(limit.d),
			TimeoutMS: api.Milliseconds(timeout.d), TLS: string(secure.tls), Insecure: secure.insecure,
			BandwidthBitsPerS: uint64(bandwidth), Channels: int(channels), Compress: compress.word, ThrottlePercent: int(throttle), PauseBeforeSwitchover: wait,
		}, report)
	})
	return cmd
}

// move migrates and reports, to a file besides if report names one; with --json also a move that did not begin is
// reported with an outcome.
func (a *app) move(ctx context.Context, name string, request api.MigrateRequest, report string) error {
	var result api.Result
	file, err := newReportFile(report)
	if err == nil {
		defer file.close()
		result, err = a.carry(ctx, name, request, file.progress)
	}
	if err != nil {
		known := api.AsError(err)
		if known.Code == api.CodeUsage {
			return err
		}
		result = api.Result{
			Outcome: api.OutcomeFailed, Reason: known.Message, ModeRequested: request.Mode, Mode: request.Mode, Error: known,
		}
		if known.Code == api.CodeConnectionLost {
			result.Outcome = api.OutcomeInDoubt
		}
	}
	if result.Rounds == nil {
		result.Rounds = []api.Round{}
	}
	if err := file.write(name, request, result); err != nil {
		a.note("the report was not written: %v", err)
	}
	if a.json || result.Outcome != api.OutcomeCompleted || result.Error != nil {
		a.result(result)
	} else {
		a.printLine(fmt.Sprintf("moved %s to %s as %s in %s (%s)", name, request.Target, result.TargetName,
			millisText(result.TotalMS), result.Mode))
		a.printLine(costText(result))
	}
	return outcomeExit(result)
}

// carry migrates, and tells seen how it goes. An error means that the move did not begin, or that its end could not be learned.
func (a *app) carry(ctx context.Context, name string, request api.MigrateRequest, seen func(api.Progress)) (api.Result, error) {
	client, err := a.machine(name)
	if err != nil {
		return api.Result{}, err
	}
	gone, err := a.watch(client)
	if err != nil {
		return api.Result{}, err
	}
	defer gone.Close()
	result, err := a.attend(ctx, client, "the guest goes on here", func(ctx context.Context, show func(api.Progress)) (api.Result, error) {
		return client.Migrate(ctx, request, func(p api.Progress) {
			seen(p)
			show(p)
		})
	})
	if err == nil && result.Outcome == api.OutcomeCompleted && result.Mode != api.ModeRemote {
		if err := gone.Wait(ctx); err != nil {
			result.Error = api.AsError(fmt.Errorf("the guest runs at %s, but its process here has not ended: %w", request.Target, err))
		}
	}
	return result, err
}

// outcomeExit is the exit code of a result.
func outcomeExit(r api.Result) error {
	switch {
	case r.Outcome == api.OutcomeInDoubt || r.Outcome == api.OutcomeLost:
		return exit(exitUnknown)
	case r.Outcome != api.OutcomeCompleted || r.Error != nil:
		return exit(exitFailed)
	}
	return nil
}

// result prints a result with --json, else what went wrong.
func (a *app) result(r api.Result) {
	if a.json {
		if r.Rounds == nil {
			r.Rounds = []api.Round{}
		}
		a.emit(r)
		return
	}
	err := r.Error
	if err == nil {
		err = &api.Error{Message: r.Reason}
	}
	said := *err
	said.Message = outcomeText(r.Outcome, said.Code) + said.Message
	a.report(&said)
}

// outcomeText begins a message with what became of the guest.
func outcomeText(o api.Outcome, code string) string {
	switch o {
	case api.OutcomeFailed:
		if code == api.CodeGuestEnded || code == api.CodeNoSuchMachine || code == api.CodeNoDir {
			return "failed: "
		}
		return "failed, the guest is still here: "
	case api.OutcomeCancelled:
		return "cancelled, the guest is still here: "
	case api.OutcomeInDoubt:
		return "in doubt which host owns the guest: "
	case api.OutcomeLost:
		return "the guest is lost: "
	}
	return ""
}

// costText says what a completed move or snapshot cost, in two lines or more.
func costText(r api.Result) string {
	d := r.Downtime
	var b strings.Builder
	fmt.Fprintf(&b, "  sent      %s in %s, %s of it pages\n", bytesText(r.SentBytes), plural(len(r.Rounds), "round"), bytesText(r.PageBytes))
	for _, c := range r.Compress.Codecs {
		if c.OutBytes < c.InBytes {
			fmt.Fprintf(&b, "  %-9s %s of pages became %s\n", c.Codec, bytesText(c.InBytes), bytesText(c.OutBytes))
		}
	}
	fmt.Fprintf(&b, "  downtime  %s: pause %.1f, pages %.1f, state %.1f, commit %.1f, resume %.1f",
		millisText(r.DowntimeMS), d.PauseMS, d.PagesMS, d.StateMS, d.CommitMS, d.ResumeMS)
	if r.TLS != "" {
		fmt.Fprintf(&b, "\n  encrypted %s, for which memory is copied", r.TLS)
	}
	if t := r.Throttle; t.MaxPercent > 0 {
		fmt.Fprintf(&b, "\n  throttled up to %d %% of its time, for %s", t.MaxPercent, millisText(t.MS))
	}
	if n := r.Network; n.Frames+n.Dropped > 0 {
		fmt.Fprintf(&b, "\n  network   %s forwarded, %d of them late, %d lost", plural(int(n.Frames), "frame"), n.Late, n.Dropped)
	}
	return b.String()
}

// errLeft says that the person would not wait for the end of a move.
var errLeft = errors.New("left before the end: it goes on by itself; `vmm ps` shows how it ends")
