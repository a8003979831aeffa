package api

import "time"

// EventKind says what an Event tells.
type EventKind string

// The kinds of events.
const (
	EventState    EventKind = "state"    // the machine's state or its name has changed; the first event is its state now
	EventProgress EventKind = "progress" // a move or snapshot gets on
	EventResult   EventKind = "result"   // a move or snapshot has ended, or goes on without who asked for it
	EventEnded    EventKind = "ended"    // nothing of the machine is here any more; the last event
	EventMissed   EventKind = "missed"   // events were dropped, for they were not read in time: ask for the machine
)

// EventKinds are all of them.
var EventKinds = []EventKind{EventState, EventProgress, EventResult, EventEnded, EventMissed}

// Event is something that happened to a machine. Which of the last fields is set is said by its kind.
type Event struct {
	Kind     EventKind `json:"kind"`
	At       time.Time `json:"at"`
	Name     string    `json:"name"`
	State    State     `json:"state"`              // after it; empty while the guest is made
	Progress *Progress `json:"progress,omitempty"` // of progress
	Result   *Result   `json:"result,omitempty"`   // of result
	Exit     *int      `json:"exit,omitempty"`     // of ended: the exit code of the command that ran it
	Reason   string    `json:"reason,omitempty"`   // of ended
	Missed   uint64    `json:"missed,omitempty"`   // of missed: how many
}
