package migration

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/ferryvmm/ferry/internal/direct"
	"github.com/ferryvmm/ferry/internal/sealed"
)

const (
	// rejoinWithin bounds one attempt to reach a target again.
	rejoinWithin = 2 * time.Second
	// rejoinEvery is the least time between two attempts.
	rejoinEvery = 500 * time.Millisecond
	// pullSilence is how long a peer may be silent while pages are pulled.
	pullSilence = 2 * time.Second
)

// Codes of a Refusal to a connection with RoleRejoin.
const (
	// CodeComplete: the guest has all of its memory there.
	CodeComplete = "complete"
	// CodeLost: the machine that the guest ran on there is dead.
	CodeLost = "lost"
)

// part gives up the connections, which are broken.
func (s *sender) part() {
	if s.server != nil {
		s.server.close()
		s.server = nil
	}
	s.channels.close()
	s.link.drop(s.reader)
	s.Bulk.Close()
	if s.urgent != nil {
		s.urgent.Close()
	}
}

// rejoin makes the connections anew and hears what is missing. Its outcome is an
// event in any case.
func (s *sender) rejoin(ctx context.Context) sourceInput {
	s.report(PhaseRejoin)
	ctx, cancel := context.WithTimeout(ctx, rejoinWithin)
	defer cancel()
	conns, err := s.dialAll(ctx)
	if conns[RoleRejoin] == nil {
		return sourceInput{event: onNotJoined, err: err}
	}
	// Where the others were not accepted, the first is told why.
	l := newLink(conns[RoleRejoin])
	l.setSilence(pullSilence)
	// No ping before the answer: one that the target's host has not read when it closes
	// the connection would have the refusal thrown away with it.
	heard := s.hearMissing(l)
	if err = cmp.Or(heard, err); err != nil {
		l.drop(nil)
		conns.close()
		in := sourceInput{event: onNotJoined, err: err}
		if r, ok := errors.AsType[*Refusal](err); ok && r.Code == CodeComplete {
			in.event = onPulled
		} else if ok && r.Code == CodeLost {
			in.event = onLost
		}
		return in
	}
	l.keepAlive()
	s.mu.Lock()
	s.sentBefore += s.ctl.sent.Load() + s.bulk.sent.Load() + s.urgentOut.sent.Load()
	s.link, s.Bulk, s.urgent = l, conns[RoleBulk], conns[RoleUrgent]
	s.ctl, s.bulk, s.urgentOut = l.out, newOutlet(s.Bulk), newOutlet(s.urgent)
	s.rejoins++
	s.mu.Unlock()
	return sourceInput{event: onRejoined} // what comes over the link is read from doServe on
}

// dialled are connections by what they are for.
type dialled map[Role]net.Conn

func (d dialled) close() {
	for _, c := range d {
		c.Close()
	}
}

// dialAll makes all connections of a pull, hellos said. With an error it returns those that it made.
func (s *sender) dialAll(ctx context.Context) (dialled, error) {
	d := make(dialled)
	for _, role := range []Role{RoleRejoin, RoleBulk, RoleUrgent} {
		c, err := s.dial(ctx, role)
		if err != nil {
			return d, err
		}
		d[role] = c
	}
	return d, nil
}

// dial makes one connection to the target and says hello.
func (s *sender) dial(ctx context.Context, role Role) (net.Conn, error) {
	if s.Dial == nil {
		return nil, fmt.Errorf("%w: the target cannot be dialled again", ErrLinkLost)
	}
	c, err := s.Dial(ctx)
	if err != nil {
		return nil, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		c.SetWriteDeadline(deadline)
	}
	h := EncodeHello(Hello{VersionMin: VersionMin, VersionMax: VersionMax, Role: role, Move: s.Move, Epoch: s.Epoch})
	if _, err := c.Write(h[:]); err != nil {
		c.Close()
		return nil, linkError(err)
	}
	c.SetWriteDeadline(time.Time{})
	if role == RoleUrgent {
		return swift(c), nil
	}
	return c, nil
}

// swift is an urgent connection without the detour through Go's poller, where that can be.
func swift(c net.Conn) net.Conn {
	if s, ok := c.(*sealed.Conn); ok {
		s.Rebase(swift)
		return s
	}
	if d, err := direct.New(c); err == nil {
		_ = d.Hurry() // routers may ignore it
		return d
	}
	return c
}

// hearMissing reads what the target is missing.
func (s *sender) hearMissing(l *link) error {
	s.owed.reset()
	for {
		h, p, err := l.next()
		switch {
		case err != nil:
			return err
		case h.Type == frameRefused:
			return refused(h, p)
		case h.Type != frameMissing || len(p)%runSize != 0:
			return fmt.Errorf("%w: %v after a rejoin", ErrProtocol, h.Type)
		}
		for ; len(p) > 0; p = p[runSize:] {
			r := parseRun(p)
			if r.kind != wireMissing {
				return fmt.Errorf("%w: missing pages of kind %d", ErrProtocol, r.kind)
			}
			if err := s.owed.add(r.gpa, r.size); err != nil {
				return err
			}
		}
		if h.Flags&flagLast != 0 {
			return nil
		}
	}
}
