package migration

import (
	"fmt"
	"net"
)

// attend takes the connections that come later, until the end: the urgent one,
// and all of them after a link was lost in a pull.
func (r *receiver) attend() {
	defer r.wg.Done()
	fetch, ended := r.Fetch, r.Ended
	for {
		select {
		case <-r.gone:
			r.mu.Lock()
			defer r.mu.Unlock()
			r.closeJoining()
			return
		case <-fetch:
			fetch = nil
			r.post(targetInput{event: gotFetch})
		case <-ended:
			ended = nil
			r.post(targetInput{event: gotEnded})
		case j := <-r.Joined:
			r.join(j)
		}
	}
}

// join takes one connection.
func (r *receiver) join(j Joined) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch s := r.machine.state; {
	case r.machine.done():
		j.Conn.Close()
	case j.Role == RoleChannel:
		r.branch(j.Conn)
	case j.Role == RoleUrgent && r.pull == nil && s < targetRestoring:
		// The reservation decides whether it is needed.
		r.keep(j)
	case j.Role == RoleUrgent && r.joining[RoleRejoin] == nil && s < targetPulling:
		r.pull.join(r.link, j.Conn)
	case r.pull == nil || s != targetPulling && s != targetParted:
		j.Conn.Close()
	case j.Role == RoleRejoin:
		// The source knows better than we do that the link is lost.
		if s == targetPulling {
			r.postLocked(targetInput{event: gotLinkLost, err: fmt.Errorf("%w: the source has made another one", ErrLinkLost)})
		}
		r.closeJoining()
		r.keep(j)
	default:
		r.keep(j)
	}
	r.rejoin()
}

// keep holds a connection until it can be used. The caller holds mu.
func (r *receiver) keep(j Joined) {
	if r.joining == nil {
		r.joining = make(map[Role]net.Conn)
	}
	if old := r.joining[j.Role]; old != nil {
		old.Close()
	}
	r.joining[j.Role] = j.Conn
}

// closeJoining gives up connections that came. The caller holds mu.
func (r *receiver) closeJoining() {
	for role, c := range r.joining {
		c.Close()
		delete(r.joining, role)
	}
}

// rejoin begins to use new connections once they are all there. The caller holds mu.
func (r *receiver) rejoin() {
	control, bulk, urgent := r.joining[RoleRejoin], r.joining[RoleBulk], r.joining[RoleUrgent]
	if r.machine.state != targetParted || control == nil || bulk == nil || urgent == nil {
		return
	}
	clear(r.joining)
	r.link = newLink(control)
	r.link.setSilence(pullSilence)
	r.ctl, r.Bulk = r.link.out, bulk
	r.link.keepAlive()
	r.readFrom(r.link)
	l := r.link
	r.pull.join(l, urgent)
	r.wg.Add(1)
	go func() {
		defer r.wg.Done()
		r.pull.take(l, bulk, newInlet(bulk, bulkBuffer))
	}()
	r.postLocked(targetInput{event: gotRejoined})
	r.tell(PhasePull)
}

// part gives up the connections, which are broken. The caller holds mu.
func (r *receiver) part() {
	r.link.abandon()
	r.Bulk.Close()
	r.pull.hangUp()
	r.tell(PhaseRejoin)
}

// filled ends the service of faults: the memory is whole. The caller holds mu.
func (r *receiver) filled() {
	if err := r.pull.memory.Close(); err != nil {
		r.machine.cause = fmt.Errorf("ending the pull: %w", err)
	}
	if r.Record != nil {
		_ = r.Record.Complete() // without it a source that comes back too late cannot be told
	}
	r.tell(PhaseRelease)
}
