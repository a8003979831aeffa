package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ferryvmm/ferry/tests/drive"
)

const (
	// cellWithin bounds one attempt at a cell, on a busy host too.
	cellWithin = time.Minute
	// doubtWithin bounds the time until a source is in doubt.
	doubtWithin = 15 * time.Second
	// faultTime is how long a fault lasts at the most where nothing need come of it.
	faultTime = 1500 * time.Millisecond
	// quietWithin is how long one that runs nowhere may still be heard, and stillFor how
	// long it is then watched: 1000 periods of its heartbeat.
	quietWithin = 5 * time.Second
	stillFor    = 500 * time.Millisecond
	// reachWithin is how long what is on the link may take behind the end of a move.
	reachWithin = 2 * time.Second
)

// errMissed: the move did not come to the place of its fault.
var errMissed = errors.New("the move ended before it came to that")

// verdict is how a cell went.
type verdict struct {
	cell  cell
	phase phase // in which the fault came
	end   end
	err   error // nil: as it should
	logs  string
}

// attempts bounds how often a move is made that does not come to its place: whether
// a guest touches a page before it has come is chance.
const attempts = 8

// run makes the move of a cell, and compares. A move that does not come to an
// occurrence of a repeated frame is made again, with an earlier one.
func run(ctx context.Context, vmm string, c cell) (v verdict) {
	for range attempts {
		v = attempt(ctx, vmm, c)
		if !errors.Is(v.err, errMissed) {
			break
		}
		c.place.N /= 2
	}
	return v
}

func attempt(ctx context.Context, vmm string, c cell) (v verdict) {
	v.cell = c
	ctx, cancel := context.WithTimeout(ctx, cellWithin)
	defer cancel()
	t, err := begin(ctx, vmm, c.mode)
	if err != nil {
		v.err = err
		return v
	}
	v.err = t.judge(ctx, &v)
	if v.err != nil {
		v.logs = t.logs()
	}
	v.err = errors.Join(v.err, t.close())
	return v
}

// judge makes the move and says what is wrong with its end.
func (t *trial) judge(ctx context.Context, v *verdict) error {
	c := v.cell
	t.arm(ctx, c.place, c.fault)
	t.start(ctx)
	var err error
	if v.phase, err = t.wait(ctx); err != nil {
		return err
	}
	if err := t.repair(ctx, v.phase, c.fault); err != nil {
		return err
	}
	want := expected(c.mode, v.phase, c.fault)
	if v.end, err = t.finish(ctx, want); err != nil {
		return err
	}
	errs := []error{t.said(codes(c.mode, v.phase, c.fault, v.end))}
	errs = append(errs, t.inspect(ctx, v.end), t.clear(ctx, v.end, c.fault), t.nothingLeft(ctx, c.fault))
	return errors.Join(errs...)
}

// wait returns when the fault has come.
func (t *trial) wait(ctx context.Context) (phase, error) {
	select {
	case p := <-t.hit:
		return p, nil
	case <-ctx.Done():
		return 0, fmt.Errorf("waiting for the fault: %w", context.Cause(ctx))
	case <-t.ended:
	}
	timer := time.NewTimer(reachWithin)
	defer timer.Stop()
	select {
	case p := <-t.hit:
		return p, nil
	case <-timer.C:
		return 0, errors.Join(errMissed, t.err)
	}
}

// repair heals a link, and puts a receiver where one was killed that is asked.
func (t *trial) repair(ctx context.Context, p phase, f fault) error {
	if f.cut == 0 && (f.host != target || !f.supervisor) {
		return nil
	}
	patience := faultTime
	if doubtful(p, f) {
		patience = doubtWithin
	}
	doubt, err := t.noticed(ctx, patience)
	if err != nil {
		return err
	}
	if !doubt && doubtful(p, f) {
		now, _ := t.states(ctx)
		return fmt.Errorf("got the source %q; want it in_doubt", now[source])
	}
	if f.cut != 0 {
		t.relay.Heal()
		return nil
	}
	now, err := t.states(ctx)
	if err == nil && slices.Contains([]string{"in_doubt", "relinquished"}, now[source]) {
		err = t.again()
	}
	return err
}

// finish waits for one of the ends.
func (t *trial) finish(ctx context.Context, want []end) (end, error) {
	var got end
	var now, before [2]string
	err := until(ctx, 5*lookEvery, "an end", func() (bool, error) {
		select {
		case <-t.moved:
		default:
			return false, nil
		}
		then, err := t.states(ctx)
		if err != nil {
			return false, err
		}
		before, now = now, then
		if now[source] == "running" && now[target] == "running" {
			if then, err := t.states(ctx); err == nil && then[source] == "running" {
				return false, fmt.Errorf("the guest runs twice: %v", then)
			}
		}
		for _, e := range want {
			if e.is(now) && before == now {
				got = e
				return true, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return 0, fmt.Errorf("want %v; got source %q, target %q, migrate %s: %w", want, now[source], now[target], t.outcome(), err)
	}
	return got, nil
}

// is tells whether the states of source and target are those of an end.
func (e end) is(now [2]string) bool {
	switch e {
	case atSource:
		return now == [2]string{"running", ""}
	case atTarget:
		return now == [2]string{"", "running"} || now == [2]string{"", "orphaned"}
	case divided:
		return now == [2]string{"serving", "orphaned"}
	case lost:
		return now == [2]string{"lost", ""}
	case bereaved:
		return now == [2]string{"", "lost"}
	case waiting:
		return now == [2]string{"", "pulling"}
	}
	return now == [2]string{}
}

// outcome is what vmm migrate said, for people.
func (t *trial) outcome() string {
	select {
	case <-t.moved:
		return fmt.Sprintf("%s, exit %d (%s; %v)", t.move.Outcome, t.move.Code, t.move.Reason, t.err)
	default:
		return "goes on"
	}
}

// said compares what vmm migrate said.
func (t *trial) said(want []int) error {
	outcomes := map[int][]string{0: {"completed"}, 1: {"failed", "cancelled"}, 3: {"in_doubt", "lost"}}
	if t.err != nil {
		return t.err
	}
	if !slices.Contains(want, t.move.Code) || !slices.Contains(outcomes[t.move.Code], t.move.Outcome) {
		return fmt.Errorf("want exit %v; got migrate %s", want, t.outcome())
	}
	return nil
}

// inspect looks at the guest: one that survives goes on where it should and has lost
// nothing; any other does nothing any more.
func (t *trial) inspect(ctx context.Context, e end) error {
	o := t.trip.Observer
	if e.survives() {
		stream := t.trip.Process.Stream.Name
		if e != atSource {
			stream = t.target.Stream.Name
		}
		errs := []error{o.WaitBeats(ctx, stream, 1, 40), t.trip.Verify(ctx)}
		if t.echo != nil {
			errs = append(errs, t.echo.Await(ctx))
		}
		return errors.Join(errs...)
	}
	if r := o.Report(); r.Extra+r.Corrupt+r.Panics+r.Stat.Corrupt+r.Stat.Doubled+r.Stat.Lost != 0 {
		return fmt.Errorf("got doubled or damaged before the end: %+v", r)
	}
	if e == waiting { // what it has need not run into a page that is missing at once
		return nil
	}
	for last := time.Now().Add(quietWithin); time.Now().Before(last); { // what it said before may still be on its way
		brief, cancel := context.WithTimeout(ctx, stillFor)
		err := o.WaitBeats(brief, "", 1, 1)
		cancel()
		if err != nil {
			return nil
		}
	}
	return fmt.Errorf("a guest that is %v still beats", e)
}

// clear ends what is left of the guest.
func (t *trial) clear(ctx context.Context, e end, f fault) error {
	kill := func(host int) error { return t.command(ctx, host, 0, "kill", guestName) }
	switch {
	case e == atSource:
		return t.trip.Stop(ctx)
	case e == atTarget && !f.supervisor:
		t.trip.At, t.trip.Process = target, t.target
		return t.trip.Stop(ctx)
	case e == atTarget && f.host == source:
		return t.command(ctx, target, 0, "stop", guestName)
	case e == divided:
		err := kill(target)
		if now, _ := t.states(ctx); now[source] != "" {
			err = errors.Join(err, kill(source))
		}
		return err
	case e == lost:
		return errors.Join(t.command(ctx, source, 1, "resume", guestName), kill(source))
	case e == bereaved:
		return errors.Join(t.command(ctx, target, 1, "resume", guestName), kill(target))
	case e == atTarget, e == waiting:
		return kill(target)
	}
	return nil
}

// command runs vmm on a host.
func (t *trial) command(ctx context.Context, host, code int, args ...string) error {
	d, err := t.sites[host].Exec(ctx, args...)
	if err == nil && d.Code != code {
		err = fmt.Errorf("want exit %d; got %v", code, d)
	}
	return err
}

// nothingLeft ends the receivers, and wants that no process, socket or file is left.
func (t *trial) nothingLeft(ctx context.Context, f fault) error {
	var errs []error
	list, err := t.sites[target].PS(ctx)
	if err != nil {
		return err
	}
	receivers := 0
	for _, m := range list {
		if m.State == "receiving" {
			receivers++
		}
	}
	for _, p := range []*drive.Process{t.later, t.target} {
		if p == nil {
			continue
		}
		if receivers > 0 && !p.Ended() {
			receivers--
			errs = append(errs, p.Interrupt())
		}
	}
	for _, p := range []*drive.Process{t.trip.Process, t.target, t.later} {
		if p != nil {
			_, err := p.Wait(ctx)
			errs = append(errs, err)
		}
	}
	select {
	case <-t.ended:
	case <-ctx.Done():
	}
	for i, s := range t.sites {
		list, err := s.PS(ctx)
		if err == nil && len(list) > 0 && i == source && f.kills(source) && f.supervisor && f.machine {
			// What became of the guest is known to nobody here.
			err = t.command(ctx, i, 0, "kill", guestName)
			list = nil
		}
		if len(list) > 0 {
			err = fmt.Errorf("host %d still lists %+v", i, list)
		}
		left, leftErr := s.Leftovers()
		if len(left) > 0 {
			leftErr = fmt.Errorf("host %d: left behind: %q", i, left)
		}
		errs = append(errs, err, leftErr)
	}
	return errors.Join(errs...)
}
