package migration

import (
	"fmt"
	"time"
)

// read brings in what the target says, until the connection ends.
func (s *sender) read() {
	defer s.link.drain()
	for {
		h, p, err := s.link.next()
		if err == nil {
			err = s.handle(h, p)
		}
		if err != nil {
			event := onLinkLost
			if codecError(err) {
				event = onFailed
			}
			s.post(sourceInput{event: event, err: err})
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
		in.event, in.rehearsal = onReserved, time.Duration(m.Rehearsal)
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
	default:
		return fmt.Errorf("%w: %v from a target", ErrProtocol, h.Type)
	}
	s.postLocked(in)
	return nil
}
