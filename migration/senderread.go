package migration

import (
	"fmt"
	"time"
)

// read brings in what the target says, until the connection ends.
func (s *sender) read(l *link) {
	defer l.drain()
	for {
		h, p, err := l.next()
		if err == nil {
			err = s.handle(h, p)
		}
		if err != nil {
			s.lost(l, err)
			return
		}
	}
}

// handle turns a frame into an event.
func (s *sender) handle(h header, p []byte) error {
	now := time.Now()
	in := sourceInput{round: h.Round}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch h.Type {
	case frameReserved:
		var m reservedMessage
		if err := decode(h.Type, p, &m); err != nil {
			return err
		}
		if err := m.check(); err != nil {
			return err
		}
		s.target = m.Name
		s.wanted = make(map[string]bool, len(m.Blobs))
		for _, id := range m.Blobs {
			s.wanted[id] = true
		}
		s.times.reserved = now
		in.event, in.rehearsal, in.canPull = onReserved, time.Duration(m.Rehearsal), m.Pull && s.urgent != nil
		s.codecs = m.Codecs
		in.forwards = m.Version >= versionFrames && s.Network != nil
		s.branches = m.Version >= versionChannels
	case frameRefused, frameAbort:
		r := new(Refusal)
		if err := decode(h.Type, p, r); err != nil {
			return err
		}
		in.event, in.err = onRefused, r
		if h.Type == frameAbort {
			in.event = onAbort
		}
	case frameRoundAck:
		in.event = onRoundAck
		s.round.MS = milliseconds(now.Sub(s.times.round))
	case framePrepared:
		var m preparedMessage
		if err := decode(h.Type, p, &m); err != nil {
			return err
		}
		in.event = onPrepared
		s.times.prepared, s.times.restore = now, time.Duration(m.Restore)
	case frameRunning:
		var m runningMessage
		if err := decode(h.Type, p, &m); err != nil {
			return err
		}
		in.event = onRunning
		s.times.running, s.times.record, s.times.starting = now, time.Duration(m.Record), time.Duration(m.Start)
	case framePulled:
		var m pulledMessage
		if err := decode(h.Type, p, &m); err != nil {
			return err
		}
		in.event, s.faults, s.times.pulled = onPulled, m.Faults, now
	case frameDelivered:
		if err := decode(h.Type, p, &s.delivered); err != nil {
			return err
		}
		in.event = onDelivered
	case frameFetch:
		in.event = onFetch
	default:
		return fmt.Errorf("%w: %v from a target", ErrProtocol, h.Type)
	}
	s.postLocked(in)
	return nil
}
