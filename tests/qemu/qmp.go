package qemu

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
)

// maxEvents is how many events are remembered for those who wait.
const maxEvents = 1024

// ErrClosed says that QEMU has ended or closed its monitor.
var ErrClosed = errors.New("qemu: the monitor is closed")

// CommandError is QEMU's refusal of a command.
type CommandError struct {
	Command, Class, Desc string
}

func (e *CommandError) Error() string {
	return fmt.Sprintf("qemu: %s: %s (%s)", e.Command, e.Desc, e.Class)
}

// Event is something that QEMU reported by itself.
type Event struct {
	Name string
	Data json.RawMessage
}

// message is any line of the monitor.
type message struct {
	QMP    json.RawMessage `json:"QMP"`
	Return json.RawMessage `json:"return"`
	Error  *struct {
		Class string `json:"class"`
		Desc  string `json:"desc"`
	} `json:"error"`
	ID    *uint64         `json:"id"`
	Event string          `json:"event"`
	Data  json.RawMessage `json:"data"`
}

// Monitor is a client of QEMU's machine protocol (QMP).
type Monitor struct {
	conn io.ReadWriteCloser
	done chan struct{} // closed when the reader has ended

	mu      sync.Mutex // guards everything below, and writing
	lastID  uint64
	replies map[uint64]chan message
	events  []Event
	changed chan struct{} // closed and replaced when events grows
	err     error         // why the reader ended
}

// NewMonitor greets QEMU over conn, which it then owns.
func NewMonitor(ctx context.Context, conn io.ReadWriteCloser) (*Monitor, error) {
	m := &Monitor{
		conn:    conn,
		done:    make(chan struct{}),
		replies: make(map[uint64]chan message),
		changed: make(chan struct{}),
	}
	go m.read()
	if err := m.Execute(ctx, "qmp_capabilities", nil, nil); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

// Close closes the connection and waits for the reader to end.
func (m *Monitor) Close() error {
	err := m.conn.Close()
	<-m.done
	return err
}

func (m *Monitor) read() {
	defer close(m.done)
	d := json.NewDecoder(m.conn)
	for {
		var msg message
		if err := d.Decode(&msg); err != nil {
			m.mu.Lock()
			m.err = fmt.Errorf("%w: %w", ErrClosed, err)
			m.mu.Unlock()
			return
		}
		m.mu.Lock()
		switch {
		case msg.Event != "":
			if len(m.events) == maxEvents {
				m.events = append(m.events[:0], m.events[maxEvents/2:]...)
			}
			m.events = append(m.events, Event{Name: msg.Event, Data: msg.Data})
			close(m.changed)
			m.changed = make(chan struct{})
		case msg.ID != nil && m.replies[*msg.ID] != nil:
			m.replies[*msg.ID] <- msg
			delete(m.replies, *msg.ID)
		}
		m.mu.Unlock()
	}
}

// Execute runs one command and decodes what it returns into out, unless that
// is nil. A refusal is a *CommandError.
func (m *Monitor) Execute(ctx context.Context, command string, arguments, out any) error {
	reply := make(chan message, 1)
	m.mu.Lock()
	m.lastID++
	id := m.lastID
	request := map[string]any{"execute": command, "id": id}
	if arguments != nil {
		request["arguments"] = arguments
	}
	b, err := json.Marshal(request)
	if err == nil {
		m.replies[id] = reply
		_, err = m.conn.Write(append(b, '\n'))
	}
	m.mu.Unlock()
	if err != nil {
		return fmt.Errorf("qemu: send %s: %w", command, err)
	}
	select {
	case msg := <-reply:
		if msg.Error != nil {
			return &CommandError{Command: command, Class: msg.Error.Class, Desc: msg.Error.Desc}
		}
		if out == nil {
			return nil
		}
		if err := json.Unmarshal(msg.Return, out); err != nil {
			return fmt.Errorf("qemu: what %s returned: %w", command, err)
		}
		return nil
	case <-m.done:
		return fmt.Errorf("qemu: %s: %w", command, m.reason())
	case <-ctx.Done():
		return fmt.Errorf("qemu: %s: %w", command, context.Cause(ctx))
	}
}

// WaitEvent returns the first event, of those remembered and those to come,
// that match accepts.
func (m *Monitor) WaitEvent(ctx context.Context, match func(Event) bool) (Event, error) {
	for {
		m.mu.Lock()
		for _, e := range m.events {
			if match(e) {
				m.mu.Unlock()
				return e, nil
			}
		}
		changed := m.changed
		m.mu.Unlock()
		select {
		case <-changed:
		case <-m.done:
			return Event{}, m.reason()
		case <-ctx.Done():
			return Event{}, context.Cause(ctx)
		}
	}
}

func (m *Monitor) reason() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}
