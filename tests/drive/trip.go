package drive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
)

// Period is loadgen's heartbeat unless it is told another.
const Period = 500 * time.Microsecond

// settleBeats is how many heartbeats of each vCPU are awaited on both sides of
// a move, unless the guest says another number, so that the longest silence in
// between has surely ended.
const settleBeats = 40

// stopWithin bounds the end of a guest that was asked to stop: the command
// insists after 10 s.
const stopWithin = 30 * time.Second

// Guest is what a Trip boots.
type Guest struct {
	Name    string
	Memory  int // MiB
	CPUs    int
	Cmdline string        // loadgen's
	Args    []string      // further arguments of run
	Receive []string      // further arguments of receive
	Period  time.Duration // of its heartbeat; 0: Period
	Settle  int           // heartbeats awaited on both sides of a move; 0: enough for loadgen
}

// Trip is one loadgen guest that travels between sites, and who watches it.
type Trip struct {
	Observer *lab.Observer
	Sites    []*Site
	At       int      // index of the site where the guest is
	Process  *Process // its supervisor there

	guest   Guest
	streams int
}

// Boot boots the guest on the first of the sites and returns when it is ready.
func Boot(ctx context.Context, sites []*Site, g Guest) (*Trip, error) {
	t := &Trip{Observer: lab.NewObserver(cmp.Or(g.Period, Period)), Sites: sites, guest: g}
	args := []string{
		"run", "--name", g.Name, "--memory", strconv.Itoa(g.Memory) + "M",
		"--cpus", strconv.Itoa(g.CPUs), "--cmdline", g.Cmdline,
	}
	var err error
	t.Process, err = sites[0].Start(t.Observer, t.stream(), append(args, g.Args...)...)
	if err != nil {
		return nil, err
	}
	if err := t.Observer.WaitReady(ctx); err != nil {
		return nil, fmt.Errorf("drive: boot: %w\nstderr: %s", err, t.Process.Stderr())
	}
	return t, t.settle(ctx)
}

// stream names the next stream after the site that it comes from.
func (t *Trip) stream() string {
	t.streams++
	return fmt.Sprintf("%d@%s", t.streams, t.Sites[t.At].Address())
}

// settle waits until each vCPU beats steadily where the guest is.
func (t *Trip) settle(ctx context.Context) error {
	if err := t.Observer.WaitBeats(ctx, t.Process.Stream.Name, t.guest.CPUs, cmp.Or(t.guest.Settle, settleBeats)); err != nil {
		return fmt.Errorf("drive: %w\nstderr: %s", err, t.Process.Stderr())
	}
	return nil
}

// Moved is one move of a Trip, seen from both sides.
type Moved struct {
	Move
	Seen  lab.Report    // what was seen since the move was asked for
	Alive time.Duration // when the guest was first heard of at the target (as lab.Now says it)

	from string // the stream of the source
}

// Move moves the guest to the next site. When the move does not complete the
// guest must go on where it is, and Moved says why.
func (t *Trip) Move(ctx context.Context, args ...string) (Moved, error) {
	from, source := t.Sites[t.At], t.Process
	to := (t.At + 1) % len(t.Sites)
	here := t.At
	t.At = to
	target, err := t.Sites[to].Receive(t.Observer, t.stream(), t.guest.Receive...)
	t.At = here
	if err != nil {
		return Moved{}, err
	}
	start := lab.Now()
	move, err := from.Migrate(ctx, t.guest.Name, target.Listening, args...)
	if err != nil {
		return Moved{Move: move}, errors.Join(err, target.Kill())
	}
	if move.Outcome != "completed" {
		err := errors.Join(target.Interrupt(), t.settle(ctx))
		if err == nil {
			_, err = target.Wait(ctx)
		}
		return Moved{Move: move}, err
	}
	t.At, t.Process = to, target
	if err := t.settle(ctx); err != nil {
		return Moved{Move: move}, err
	}
	code, err := source.Wait(ctx)
	if err == nil && code != 0 {
		err = fmt.Errorf("drive: the source of a completed move: got exit %d; want 0\nstderr: %s", code, source.Stderr())
	}
	return Moved{Move: move, Seen: t.Observer.ReportSince(start), Alive: t.Observer.FirstBeat(target.Stream), from: source.Stream.Name}, err
}

// Arrived notes that the guest is at the next site, by a move that somebody else made.
func (t *Trip) Arrived(target *Process) { t.At, t.Process = (t.At+1)%len(t.Sites), target }

// Check waits for the next STAT, and fails when anything that loadgen or the
// observer counted is wrong.
func (t *Trip) Check(ctx context.Context) error {
	if _, err := t.Observer.WaitStat(ctx, func(lab.Stat) bool { return true }); err != nil {
		return err
	}
	return wrong(t.Observer.Report())
}

// Verify is Check after loadgen has verified every page that it owns, from now
// on.
func (t *Trip) Verify(ctx context.Context) error {
	s, err := t.Observer.WaitStat(ctx, func(lab.Stat) bool { return true })
	if err != nil {
		return err
	}
	// The pass under way has begun before now: the one after it is whole.
	enough := s.Values["passes"] + 2
	if _, err := t.Observer.WaitStat(ctx, func(s lab.Stat) bool { return s.Values["passes"] >= enough }); err != nil {
		return err
	}
	return wrong(t.Observer.Report())
}

// Gap is the observed downtime.
func (m Moved) Gap() time.Duration { return m.Seen.Longest.Downtime }

// Where says in which part of the move the gap was.
func (m Moved) Where() string {
	switch g := m.Seen.Longest; {
	case g.From != g.To:
		return "the switch"
	case g.From == m.from:
		return "before the switch"
	default:
		return "after the switch"
	}
}

// wrong says what in a report must not be.
func wrong(r lab.Report) error {
	var errs []error
	for _, c := range []struct {
		count uint64
		what  string
	}{
		{r.Stat.Corrupt, "corrupt pages (STAT)"},
		{r.Corrupt, "CORRUPT lines"},
		{r.Stat.Doubled, "device reads doubled"},
		{r.Stat.Lost, "device reads lost"},
		{r.Lost, "heartbeats lost"},
		{r.Extra, "heartbeats doubled"},
		{r.Panics, "panics"},
	} {
		if c.count != 0 {
			errs = append(errs, fmt.Errorf("drive: got %d %s; want none", c.count, c.what))
		}
	}
	for _, name := range []string{"blk_bad", "blk_lost", "rx_bad"} {
		if n := r.Stat.Values[name]; n != 0 {
			errs = append(errs, fmt.Errorf("drive: got %s=%v; want none", name, n))
		}
	}
	return errors.Join(errs...)
}

// Stop asks the guest to end, and fails unless it says farewell and the
// command ends with 0.
func (t *Trip) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopWithin)
	defer cancel()
	d, err := t.Sites[t.At].Exec(ctx, "stop", t.guest.Name)
	if err == nil && d.Code != 0 {
		err = fmt.Errorf("drive: stop failed\n%s", d)
	}
	if err != nil {
		return err
	}
	code, err := t.Process.Wait(ctx)
	if err == nil && code != 0 {
		err = fmt.Errorf("drive: the guest was stopped: got exit %d; want 0\nstderr: %s\n%s", code, t.Process.Stderr(), t.Observer.Tail())
	}
	return err
}
