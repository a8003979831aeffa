package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

const (
	demoName   = "demo"
	demoPeriod = 500 * time.Microsecond // of loadgen's heartbeat, its default
	demoPages  = 32 << 20 / 4096        // that loadgen fills, its default
	// demoBeats is how many heartbeats after a move end the watch for its gap.
	demoBeats = 40
	// stepWithin bounds each step of the demo but the moves themselves.
	stepWithin = 60 * time.Second
	// checkWithin bounds the wait for a check of all pages after the last move.
	checkWithin = 20 * time.Second
)

// demo is one run of the demo.
type demo struct {
	app    *app
	memory memory
	rate   rate
	moves  int
	mode   string

	lab      *lab.Lab // nil without namespaces
	hosts    [2]*demoHost
	client   *lab.Host // nil: the guest has no network
	ping     *lab.Ping // nil: the client does not ask
	temp     string
	observer *lab.Observer
	children []*child
}

// story boots the guest, moves it and stops it.
func (d *demo) story(ctx context.Context, result demoResult) (demoResult, error) {
	d.observer = lab.NewObserver(demoPeriod)
	here, guest, err := d.boot(ctx)
	if err != nil {
		return result, err
	}
	if err := d.startClient(ctx); err != nil {
		return result, guest.explain(ctx, err)
	}
	name := demoName
	var gaps []time.Duration
	for i := range d.moves {
		there := d.hosts[(i+1)%2]
		moved, next, gap, err := d.move(ctx, name, here, there, guest)
		if moved.Outcome != "" {
			result.Result = moved
		}
		if err != nil {
			return result, err
		}
		gaps = append(gaps, gap)
		result.Moves++
		result.ObservedDowntimeMS = api.Milliseconds(median(gaps))
		here, guest, name = there, next, moved.TargetName
	}
	d.stopClient(&result)
	err = d.check(ctx, name, here, guest, &result)
	if err == nil && d.moves > 1 {
		d.say("Seen from outside, the median of the %d pauses was %s, the longest %s.", d.moves,
			millisText(result.ObservedDowntimeMS), millisText(api.Milliseconds(slices.Max(gaps))))
	}
	return result, err
}

// boot starts the guest on the first host.
func (d *demo) boot(ctx context.Context) (*demoHost, *child, error) {
	here := d.hosts[0]
	began := lab.Now()
	guest, err := d.start(here, append([]string{"run", "--name", demoName, "--memory", d.memory.String(), "--console", "stdio",
		"--cmdline", "rate=" + d.rate.String() + d.guestOptions()}, d.network()...)...)
	if err != nil {
		return nil, nil, err
	}
	guest.stream = d.observer.Watch(here.name, guest.stdout)
	within, stop := context.WithTimeout(ctx, stepWithin)
	defer stop()
	ready, err := d.observer.Wait(within, func(e lab.Event) bool { return e.Kind == lab.Ready })
	if err != nil {
		return nil, nil, guest.explain(ctx, err)
	}
	d.say("%s: booted a guest of %s in %s. It checks its own memory, and beats 2000 times a second.",
		here.name, d.memory.String(), millisText(api.Milliseconds(ready.At-began)))
	return here, guest, nil
}

// move moves the guest from here to there. It returns what migrate said, the process that has the guest now, and the
// pause that was seen from outside.
func (d *demo) move(ctx context.Context, name string, here, there *demoHost, guest *child) (
	result api.Result, next *child, gap time.Duration, err error,
) {
	within, stop := context.WithTimeout(ctx, stepWithin)
	defer stop()
	args := []string{"receive", "--listen", "tcp:" + there.address + ":0", "--console", "stdio"}
	next, err = d.start(there, slices.Concat(args, d.insecure(), d.network())...)
	if err != nil {
		return result, nil, 0, err
	}
	line, err := next.firstLine(within)
	if err != nil {
		return result, nil, 0, next.explain(ctx, err)
	}
	address, ok := strings.CutPrefix(line, "listening ")
	if !ok {
		return result, nil, 0, fmt.Errorf("receive said %q instead of where it listens", line)
	}
	// The name tells apart the streams of several visits to one host.
	next.stream = d.observer.Watch(there.name+strconv.Itoa(len(d.children)), next.stdout)
	if err := d.observer.WaitBeats(within, "", 1, demoBeats); err != nil {
		return result, nil, 0, guest.explain(ctx, err)
	}
	since := lab.Now()
	answer, err := d.command(ctx, here, append([]string{"migrate", name, address, "--mode", d.mode, "--json"}, d.insecure()...)...)
	if jsonErr := json.Unmarshal(answer, &result); jsonErr != nil || result.Outcome == "" {
		return result, nil, 0, fmt.Errorf("migrate did not say how it went: %q, %w", answer, err)
	}
	if result.Outcome != api.OutcomeCompleted || err != nil {
		if result.Error != nil {
			err = result.Error
		}
		return result, nil, 0, fmt.Errorf("the move from %s to %s ended as %s (%s): %w", here.name, there.name, result.Outcome, result.Reason, err)
	}
	after, stop := context.WithTimeout(ctx, stepWithin)
	defer stop()
	if err := guest.end(after); err != nil {
		return result, nil, 0, fmt.Errorf("the guest's process at %s: %w", here.name, err)
	}
	if err := d.observer.WaitBeats(after, next.stream.Name, 1, demoBeats); err != nil {
		return result, nil, 0, next.explain(ctx, err)
	}
	gap = d.observer.ReportSince(since).Longest.Downtime
	// Twenty moves are told like two: each on one line.
	d.say("%s -> %s: moved %s in %s and %s. It paused for %s; seen from outside: %s.", here.name, there.name,
		bytesText(result.SentBytes), plural(len(result.Rounds), "round"), millisText(result.TotalMS),
		millisText(result.DowntimeMS), millisText(api.Milliseconds(gap)))
	return result, next, gap, nil
}

// check waits until the guest has checked all its pages since its last move, stops it, and adds up what was seen.
func (d *demo) check(ctx context.Context, name string, here *demoHost, guest *child, result *demoResult) error {
	within, stop := context.WithTimeout(ctx, checkWithin)
	defer stop()
	first, err := d.observer.WaitStat(within, func(lab.Stat) bool { return true })
	if err != nil {
		return guest.explain(ctx, err)
	}
	_, err = d.observer.WaitStat(within, func(s lab.Stat) bool { return s.Verified >= first.Verified+demoPages })
	if err != nil {
		return guest.explain(ctx, fmt.Errorf("the guest has not checked all its pages after the last move: %w", err))
	}
	if _, err := d.command(ctx, here, "stop", name); err != nil {
		return err
	}
	ending, stop := context.WithTimeout(ctx, stepWithin)
	defer stop()
	ended := guest.end(ending)
	seen := d.observer.Report()
	result.VerifiedPages, result.CorruptPages = seen.Stat.Verified, max(seen.Stat.Corrupt, seen.Corrupt)
	d.say("%s: stopped it. It had checked %s, of which %d were corrupt.", here.name,
		plural(result.VerifiedPages, "page"), result.CorruptPages)
	d.say("Of its heartbeats %d came, %d went missing, %d came twice.", beats(seen), seen.Lost, seen.Extra)
	switch {
	case result.CorruptPages > 0:
		return fmt.Errorf("the guest found %s corrupt", plural(result.CorruptPages, "page"))
	case seen.Extra > 0:
		return fmt.Errorf("%s came twice: two copies of the guest ran", plural(seen.Extra, "heartbeat"))
	case ended != nil:
		return fmt.Errorf("the guest at its end: %w", ended)
	}
	return nil
}

func beats(r lab.Report) (n uint64) {
	for _, cpu := range r.CPUs {
		n += cpu.Beats
	}
	return n
}

func median(all []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(all))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}
