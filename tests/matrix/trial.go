package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/ferryvmm/ferry/internal/lab"
	"github.com/ferryvmm/ferry/tests/drive"
)

// oneChannel is how many carry memory: where auto would add one depends on how busy the host is, and so would the frames there are.
const oneChannel = "1"

// guestName is the guest's name on both hosts.
const guestName = "alpha"

// trial is one move of a small guest that writes, through a relay.
type trial struct {
	mode    mode
	world   *drive.World // of a guest that talks; nil: loopback is enough
	echo    *drive.Echo  // who talks to it
	sites   []*drive.Site
	network []string // the arguments of run and receive for it
	trip    *drive.Trip
	target  *drive.Process
	later   *drive.Process // a receiver at the target's address, after the first was killed
	relay   *drive.Relay

	hit   chan phase    // the phase in which the fault came
	moved chan struct{} // closed when vmm migrate has returned
	move  drive.Move    // what it said
	err   error
	ended chan struct{} // closed when the move has ended for all who asked for something
}

// begin boots the guest.
func begin(ctx context.Context, vmm string, m mode) (*trial, error) {
	t := &trial{mode: m, hit: make(chan phase, 1), moved: make(chan struct{}), ended: make(chan struct{})}
	place, err := t.place(vmm)
	if err == nil {
		t.trip, err = drive.Boot(ctx, t.sites, drive.Guest{
			Name: guestName, Memory: 64, CPUs: 1, Cmdline: m.guest, Args: t.network,
		})
	}
	if err == nil {
		t.target, err = t.sites[target].Receive(t.trip.Observer, "target", t.network...)
	}
	if err == nil {
		t.relay, err = drive.NewRelayAt(place, t.target.Listening)
	}
	if err == nil && m.net {
		err = t.talk(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// place makes the hosts. It returns where the relay is to be.
func (t *trial) place(vmm string) (relay *lab.Host, err error) {
	if !t.mode.net {
		for range 2 {
			s, err := drive.NewSite(vmm, nil)
			if err != nil {
				return nil, err
			}
			t.sites = append(t.sites, s)
		}
		return nil, nil
	}
	if t.world, err = drive.NewWorld(vmm, 3); err != nil {
		return nil, err
	}
	t.sites, t.network = t.world.Sites[:2], []string{"--net", "eth=bridge=" + lab.BridgeName}
	hosts := t.world.Lab.Hosts
	return hosts[source], errors.Join(hosts[source].Bridge(), hosts[target].Bridge())
}

// talk has somebody on a third host talk to the guest.
func (t *trial) talk(ctx context.Context) (err error) {
	if t.echo, err = drive.StartEcho(t.world.Lab.Hosts[2], "udp", netip.MustParseAddr(guestIP)); err != nil {
		return err
	}
	return t.echo.Await(ctx)
}

// close kills whatever is left.
func (t *trial) close() error {
	var errs []error
	if t.echo != nil {
		_ = t.echo.Stop() // what is wrong with it has been said where the guest was to answer
	}
	if t.relay != nil {
		errs = append(errs, t.relay.Close())
	}
	if t.world != nil {
		return errors.Join(append(errs, t.world.Close())...)
	}
	for _, s := range t.sites {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// start moves the guest.
func (t *trial) start(ctx context.Context) {
	go func() {
		defer close(t.ended)
		t.move, t.err = t.sites[source].Migrate(ctx, guestName, t.relay.Address(), append([]string{"--mode", cmp.Or(t.mode.how, t.mode.name), "--channels", oneChannel}, t.mode.args...)...)
		close(t.moved)
		if t.err == nil && t.mode.stays && t.move.Code != 1 {
			t.err = t.fetch(ctx)
		}
	}()
}

// fetch asks the target to fetch what the guest misses. Whether it can is not of
// interest: a fault may hit who is asked.
func (t *trial) fetch(ctx context.Context) error {
	brief, cancel := context.WithTimeout(ctx, doubtWithin)
	defer cancel()
	err := until(brief, 5*lookEvery, "the target fetches the rest", func() (bool, error) {
		d, err := t.sites[target].Exec(ctx, "migrate", guestName, "--pull")
		return d.Code == 0 || t.target.Ended(), err
	})
	if brief.Err() != nil && ctx.Err() == nil {
		return nil
	}
	return err
}

// record makes one undisturbed move, and returns what it came to.
func record(ctx context.Context, vmm string, m mode) ([]place, error) {
	t, err := begin(ctx, vmm, m)
	if err != nil {
		return nil, err
	}
	defer t.close()
	t.start(ctx)
	code, err := t.trip.Process.Wait(ctx)
	if err == nil && code != 0 {
		err = fmt.Errorf("the source: got exit %d; want 0\n%s", code, t.trip.Process.Stderr())
	}
	if err == nil {
		<-t.ended
		err = t.err
	}
	if err != nil {
		return nil, fmt.Errorf("an undisturbed move: %w", err)
	}
	seen := t.relay.Seen()
	pulls := slices.ContainsFunc(seen, func(b drive.Boundary) bool { return b.Type == drive.FramePulled })
	if got := phaseOf(seen, m); got != over || pulls != m.pulls {
		return nil, fmt.Errorf("an undisturbed move: got to %v, with pages pulled: %v; want it over, with %v (%+v)", got, pulls, m.pulls, t.move)
	}
	t.trip.At, t.trip.Process = target, t.target
	if err := errors.Join(t.trip.Verify(ctx), t.trip.Stop(ctx)); err != nil {
		return nil, fmt.Errorf("an undisturbed move: %w", err)
	}
	return places(seen), nil
}

// arm has a fault come at a place.
func (t *trial) arm(ctx context.Context, p place, f fault) {
	t.relay.At(p.Boundary, func() {
		at := phaseOf(t.relay.Seen(), t.mode)
		if at == pulling && p.last {
			at = tail
		}
		switch {
		case f.cut != 0:
			t.relay.Cut(f.cut)
		default:
			procs := []*drive.Process{t.trip.Process, t.target}
			if err := killOn(ctx, procs[f.host], f); err != nil {
				fmt.Fprintln(os.Stderr, err) // the cell then ends otherwise than it should
			}
			if f.machine && !p.After && p.Answer == (f.host == target) { // it died before it said that
				t.relay.Cut(drive.Reset)
				t.relay.Heal()
			}
		}
		t.hit <- at
	})
}

// states are what ps says of the guest at the source and at the target. Empty: no
// process of it is there, a record perhaps.
func (t *trial) states(ctx context.Context) (now [2]string, err error) {
	for i, s := range t.sites {
		list, err := s.PS(ctx)
		if err != nil {
			return now, err
		}
		for _, m := range list {
			if m.PID != 0 { // a receiver has none unless a guest is on its way
				now[i] = strings.TrimPrefix(now[i]+"+"+m.State, "+")
			}
		}
	}
	return now, nil
}

// again starts a receiver at the target's host, and leads the source there.
func (t *trial) again() error {
	p, err := t.sites[target].Receive(t.trip.Observer, "later", t.network...)
	if err == nil {
		t.later = p
		t.relay.Retarget(p.Listening)
	}
	return err
}

// noticed waits until the source is in doubt, or its move has ended, but not longer than
// that: it may as well get over the fault.
func (t *trial) noticed(ctx context.Context, patience time.Duration) (doubt bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	err = until(ctx, lookEvery, "the source notices", func() (bool, error) {
		select {
		case <-t.moved:
			return true, nil
		default:
		}
		list, err := t.sites[source].PS(ctx)
		if ctx.Err() != nil {
			return false, nil
		}
		if err == nil && len(list) == 1 && list[0].State == "in_doubt" && list[0].PID != 0 {
			doubt = true
			return true, nil
		}
		return false, err
	})
	if errors.Is(err, context.DeadlineExceeded) {
		err = nil
	}
	return doubt, err
}

// logs are the logs of both hosts, and what the processes said to people.
func (t *trial) logs() string {
	var b strings.Builder
	for i, s := range t.sites {
		paths, _ := filepath.Glob(filepath.Join(s.Dir, "*.log"))
		for _, path := range paths {
			text, _ := os.ReadFile(path)
			fmt.Fprintf(&b, "--- %s of host %d\n%s", filepath.Base(path), i, text)
		}
	}
	for _, p := range []*drive.Process{t.trip.Process, t.target, t.later} {
		if p != nil {
			fmt.Fprintf(&b, "--- stderr of process %d\n%s", p.PID(), p.Stderr())
		}
	}
	fmt.Fprintf(&b, "--- serial lines\n%s\n--- boundaries\n", t.trip.Observer.Tail())
	for _, s := range t.relay.Seen() {
		fmt.Fprintln(&b, s)
	}
	return b.String()
}
