package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/tests/drive"
)

const (
	roundSeries  = "round:"
	timelineRate = 32 // MiB/s that the guest writes
	timelineLink = 1e9
	timelineSays = "a guest that writes 32 MiB/s, over 1 Gbit/s"
)

// The metrics of a round.
var (
	roundMS    = metric{"time", "ms", 0}
	roundSent  = metric{"sent", "Mbit/s", 0}
	roundDirty = metric{"written", "Mbit/s", 0}
	roundPages = metric{"pages", "pages", 0}
)

// timeline makes one move, and notes its rounds. Where there is a folder for what is measured, its report goes there too.
func (b bench) timeline(ctx context.Context, into *results) (err error) {
	ctx, cancel := context.WithTimeout(ctx, rideWithin)
	defer cancel()
	room, err := b.room()
	if err != nil {
		return err
	}
	fill := min(channelFill, room)
	w, err := drive.NewWorld(b.vmm, 2)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	if err := (ride{link: timelineLink}).shaped(w.Lab.Hosts); err != nil {
		return err
	}
	t, err := drive.Boot(ctx, w.Sites, drive.Guest{
		Name: "timeline", Memory: fill + scaleSpare, CPUs: 1, Cmdline: fmt.Sprintf("fill=%d wss=%d rate=%d order=rand", fill, max(fill/8, 1), timelineRate), Settle: settleBeats,
	})
	if err != nil {
		return err
	}
	args := []string{"--mode", "precopy", "--downtime-limit", fmt.Sprintf("%dms", gapLimit), "--timeout", gapTimeout.String()}
	if b.out != "" {
		args = append(args, "--report", filepath.Join(b.out, "timeline.html"))
	}
	m, err := t.Move(ctx, args...)
	if err == nil && m.Outcome != "completed" {
		err = fmt.Errorf("got outcome %s (%s); want completed", m.Outcome, m.Reason)
	}
	if err != nil {
		return err
	}
	b.record.ride(what{"timeline", "ferry precopy", "all", 0, 0}, rode{gap: milliseconds(m.Gap()), downtime: m.DowntimeMS, total: m.TotalMS, sent: float64(m.SentBytes) / (1 << 20)})
	fmt.Printf("%s, %d MiB: %d rounds in %.0f ms, downtime %.1f\n", timelineSays, fill, len(m.Rounds), m.TotalMS, m.DowntimeMS)
	for i, r := range m.Rounds {
		if r.MS <= 0 {
			continue
		}
		at := what{"timeline", "ferry precopy", roundSeries, float64(i), 0}
		b.record.add(at, roundMS, r.MS)
		b.record.add(at, roundPages, float64(r.Pages))
		b.record.add(at, roundSent, float64(r.Bytes)*8/1000/r.MS)
		b.record.add(at, roundDirty, float64(r.DirtiedPages*guestmem.PageSize)*8/1000/r.MS)
	}
	into.Timeline = b.record.summaries("timeline")
	return t.Stop(ctx)
}
