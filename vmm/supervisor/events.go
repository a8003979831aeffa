package supervisor

import (
	"net/http"
	"sync"
	"time"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

const (
	// maxListeners is how many may listen to the events of a machine.
	maxListeners = 32
	// maxEvents is how many events wait for one that listens; what is more is dropped, and counted.
	maxEvents = 256
)

// broadcast tells events to all that listen, and waits for none of them.
type broadcast struct {
	mu        sync.Mutex // guards what follows, and listener.missed
	listeners map[*listener]struct{}
	over      bool // the last event was told
}

// listener is one that listens.
type listener struct {
	queue  chan api.Event // closed behind the last event
	missed uint64
}

// listen has events told from now on, first of all this one. It is nil if as many listen as may, or nothing more will be told.
func (b *broadcast) listen(first api.Event) *listener {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over || len(b.listeners) >= maxListeners {
		return nil
	}
	if b.listeners == nil {
		b.listeners = make(map[*listener]struct{})
	}
	l := &listener{queue: make(chan api.Event, maxEvents)}
	l.queue <- first
	b.listeners[l] = struct{}{}
	return l
}

// leave ends the listening.
func (b *broadcast) leave(l *listener) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.listeners, l)
}

// tell tells an event. One of kind ended is the last.
func (b *broadcast) tell(e api.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return
	}
	b.over = e.Kind == api.EventEnded
	for l := range b.listeners {
		if b.over && len(l.queue) == maxEvents {
			<-l.queue // it makes room for the last word
			l.missed++
		}
		select {
		case l.queue <- e:
		default:
			l.missed++
		}
		if b.over {
			close(l.queue)
		}
	}
}

// lost returns how many events were dropped since it was last asked.
func (b *broadcast) lost(l *listener) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := l.missed
	l.missed = 0
	return n
}

// eventLocked completes an event by what all have. Precondition: mu is held.
func (s *supervisor) eventLocked(e api.Event) api.Event {
	e.At, e.Name, e.State = time.Now(), s.name.name, s.state
	return e
}

// tellStateLocked tells the machine's state and name. Precondition: mu is held.
func (s *supervisor) tellStateLocked() {
	s.events.tell(s.eventLocked(api.Event{Kind: api.EventState}))
}

// tellEnd tells that the machine is gone, behind the result of its move.
func (s *supervisor) tellEnd(e Exit) {
	s.telling.Lock()
	defer s.telling.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events.tell(s.eventLocked(api.Event{Kind: api.EventEnded, Exit: &e.Code, Reason: e.Reason}))
}

// events serves the API's stream of events.
func (v *server) events(w http.ResponseWriter, r *http.Request) {
	s := v.s
	s.mu.Lock()
	l := s.events.listen(s.eventLocked(api.Event{Kind: api.EventState}))
	s.mu.Unlock()
	if l == nil {
		api.WriteError(w, api.Errorf(api.CodeBusy, "close one of them", "%d clients listen to the events of this machine already, or it ends", maxListeners))
		return
	}
	defer s.events.leave(l)
	stream, err := api.NewEventStream(w)
	for err == nil {
		select {
		case e, more := <-l.queue:
			if !more {
				return
			}
			if n := s.events.lost(l); n > 0 {
				if stream.Send(api.Event{Kind: api.EventMissed, At: e.At, Name: e.Name, State: e.State, Missed: n}) != nil {
					return
				}
			}
			err = stream.Send(e)
		case <-r.Context().Done():
			return
		}
	}
}
