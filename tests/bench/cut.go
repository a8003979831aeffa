package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// A pull whose link is cut in the middle: one vCPU needs pages all the time, the other none.
const (
	cutFor     = 10 * time.Second
	cutLink    = 1e9
	cutCmdline = "fill=512 wss=1 rate=0 verify=0 read=20 order=rand cpus=2 workers=1"

	faultingGoal = 1000 // ms beyond the cut
	othersGoal   = 20   // ms
)

// cuts is how long each vCPU of a guest stood still whose link was cut: medians over samples, in ms.
type cuts struct {
	Samples    int     `json:"samples"`
	CutMS      float64 `json:"cut_ms"`
	FaultingMS float64 `json:"faulting_gap_ms"`
	OthersMS   float64 `json:"others_gap_ms"`
	PauseMS    float64 `json:"pause_ms"` // what pause took meanwhile, of another guest than the one whose gaps count
}

// cut is one pull that outlasts a cut.
type cut struct{ faulting, others, pause float64 }

func (b bench) cuts(ctx context.Context, into *results) error {
	var all []cut
	for n := range b.samples {
		one, err := b.cutOnce(ctx, false)
		if err == nil {
			var paused cut
			paused, err = b.cutOnce(ctx, true)
			one.pause = paused.pause
		}
		if err != nil {
			return fmt.Errorf("sample %d: %w", n+1, err)
		}
		at := what{"cut", "ferry", "", 0, n}
		b.record.add(at, metric{"vCPU that needs pages stood still", "ms", -1}, one.faulting)
		b.record.add(at, metric{"the other", "ms", -1}, one.others)
		b.record.add(at, metric{"pause answered in", "ms", -1}, one.pause)
		all = append(all, one)
	}
	c := &cuts{
		Samples: len(all), CutMS: milliseconds(cutFor),
		FaultingMS: medianOf(all, func(c cut) float64 { return c.faulting }),
		OthersMS:   medianOf(all, func(c cut) float64 { return c.others }),
		PauseMS:    medianOf(all, func(c cut) float64 { return c.pause }),
	}
	fmt.Printf("the link cut for %v in the middle of a pull, medians of %d: the vCPU that needs pages stood still for %.0f ms, goal: at most the cut and %d: %s; the other for %.1f, goal: at most %d: %s; pause answered in %.1f\n",
		cutFor, c.Samples, c.FaultingMS, faultingGoal, verdict(c.FaultingMS <= c.CutMS+faultingGoal), c.OthersMS, othersGoal, verdict(c.OthersMS <= othersGoal), c.PauseMS)
	into.Cut = c
	return nil
}

// cutOnce pulls a guest, and cuts the link for a while. The guest is paused and resumed meanwhile, or left alone.
func (b bench) cutOnce(ctx context.Context, pause bool) (got cut, err error) {
	ctx, cancel := context.WithTimeout(ctx, rideWithin)
	defer cancel()
	w, err := drive.NewWorld(b.vmm, 2)
	if err != nil {
		return got, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := (ride{link: cutLink}).shaped(w.Lab.Hosts); err != nil {
		return got, err
	}
	t, err := drive.Boot(ctx, w.Sites, drive.Guest{Name: "bench", Memory: faultMemory, CPUs: 2, Cmdline: cutCmdline, Settle: settleBeats})
	if err != nil {
		return got, err
	}
	target, err := w.Sites[1].Receive(t.Observer, "target")
	if err != nil {
		return got, err
	}
	moved := make(chan error, 1)
	go func() {
		m, err := w.Sites[0].Migrate(ctx, "bench", target.Listening, "--mode", "postcopy")
		if err == nil && (m.Outcome != "completed" || m.Rejoins == 0) {
			err = fmt.Errorf("got outcome %s after %d rejoins; want the move completed after one", m.Outcome, m.Rejoins)
		}
		moved <- err
	}()
	if err := awaitState(ctx, w.Sites[1], "pulling"); err != nil {
		return got, err
	}
	// Half a second into the pull: what the other vCPU needs is there.
	if err := t.Observer.WaitBeats(ctx, target.Stream.Name, 2, int(500*time.Millisecond/drive.Period)); err != nil {
		return got, err
	}
	if err := w.Lab.Hosts[1].Cut(); err != nil {
		return got, err
	}
	start, restore := lab.Now(), time.After(cutFor)
	if pause {
		began := time.Now()
		if d, err := w.Sites[1].Exec(ctx, "pause", "bench"); err != nil || d.Code != 0 {
			return got, fmt.Errorf("pause during the cut: %w\n%s", err, d)
		}
		got.pause = milliseconds(time.Since(began))
		if d, err := w.Sites[1].Exec(ctx, "resume", "bench"); err != nil || d.Code != 0 {
			return got, fmt.Errorf("resume during the cut: %w\n%s", err, d)
		}
	}
	select {
	case <-restore:
	case <-ctx.Done():
		return got, context.Cause(ctx)
	}
	if err := errors.Join(w.Lab.Hosts[1].Restore(), <-moved); err != nil {
		return got, err
	}
	t.Arrived(target)
	if err := t.Check(ctx); err != nil {
		return got, err
	}
	for _, c := range t.Observer.ReportSince(start).CPUs {
		if c.CPU == 0 {
			got.faulting = milliseconds(c.Gap.Downtime)
		} else {
			got.others = milliseconds(c.Gap.Downtime)
		}
	}
	return got, t.Stop(ctx)
}

// awaitState returns when the only machine of a site is in a state.
func awaitState(ctx context.Context, s *drive.Site, state string) error {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		list, err := s.PS(ctx)
		if err != nil {
			return err
		}
		if len(list) == 1 && list[0].State == state {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting until the guest is %s: %w", state, context.Cause(ctx))
		}
	}
}
