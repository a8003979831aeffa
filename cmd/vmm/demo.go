package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

// demoResult is what demo --json prints: its last move, and what was seen of all of them.
type demoResult struct {
	api.Result
	Moves              int     `json:"moves"` // completed
	VerifiedPages      uint64  `json:"verified_pages"`
	CorruptPages       uint64  `json:"corrupt_pages"`
	ObservedDowntimeMS float64 `json:"observed_downtime_ms"` // median over the moves
	// Of a client that asks the guest each millisecond; all 0 where the guest has no network.
	PacketsSent       uint64  `json:"packets_sent"`
	PacketsLost       uint64  `json:"packets_lost"`
	PacketsDuplicated uint64  `json:"packets_duplicated"`
	LongestSilenceMS  float64 `json:"longest_silence_ms"`
}

// maxMoves bounds a demo; more is a soak test.
const maxMoves = 10_000

func (a *app) demoCommand() *cobra.Command {
	d := &demo{app: a}
	size := memory(256 << 20)
	moves := count{n: 2, max: maxMoves}
	mode := choice{word: api.ModeAuto, among: []string{api.ModeAuto, api.ModePrecopy, api.ModePostcopy, api.ModeHybrid, api.ModeStopcopy}}
	var writes rate
	cmd := &cobra.Command{
		Use:   "demo [flags]",
		Short: "Boot the built-in guest, move it there and back, and show what happened",
		Long: `Boot the built-in guest, move it there and back between two hosts, check its memory, and show what happened. For
root the hosts are two network namespaces joined by a switch, and from a third one a client pings the guest all the
time; for others they are this host twice. Nothing is left behind.`,
		Args: takes(),
	}
	f := cmd.Flags()
	f.Var(&size, "memory", "the guest's memory, with M for MiB or G for GiB")
	f.Var(&writes, "rate", "how fast the guest rewrites its memory")
	f.Var(&moves, "moves", "how often it is moved")
	f.Var(&mode, "mode", "how memory is sent, as in vmm migrate")
	a.jsonFlag(cmd)
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error {
		d.memory, d.rate, d.moves, d.mode = size, writes, moves.n, mode.word
		ctx, stop := a.untilSignal(cmd.Context())
		defer stop()
		result, err := d.run(ctx)
		if !a.json {
			return err
		}
		if err != nil {
			if result.Outcome == "" {
				result.Outcome, result.Reason = api.OutcomeFailed, err.Error()
			}
			result.Error = api.AsError(err)
		}
		if result.Rounds == nil {
			result.Rounds = []api.Round{}
		}
		a.emit(result)
		if err != nil {
			return exit(exitFailed)
		}
		return nil
	})
	return cmd
}

// run makes the hosts, tells the story on them, and takes everything away again.
func (d *demo) run(ctx context.Context) (result demoResult, err error) {
	defer func() {
		err = errors.Join(err, d.close())
		if err != nil && ctx.Err() != nil {
			err = fmt.Errorf("interrupted: %w", err)
		}
	}()
	result.ModeRequested = d.mode
	if err := d.makeHosts(); err != nil {
		return result, err
	}
	return d.story(ctx, result)
}

// say tells people the next part of the story.
func (d *demo) say(format string, args ...any) {
	if !d.app.json {
		d.app.printLine(fmt.Sprintf(format, args...))
	}
}
