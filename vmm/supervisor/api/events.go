package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
)

// eventType is the content type of server-sent events.
const eventType = "text/event-stream"

// maxEvent bounds one line of an event stream, in bytes. A result with as many rounds as a move can have is far smaller.
const maxEvent = 4 << 20

// Events are what happens to the machine from now on, beginning with its state. They end, without an error, after the event of
// kind EventEnded, or with the error of a connection that broke or of ctx. Whoever reads too slowly misses some, and is told so.
func (c *Client) Events(ctx context.Context) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		answer, err := c.send(ctx, http.MethodGet, PathEvents, nil)
		if err != nil {
			yield(Event{}, err)
			return
		}
		defer answer.Body.Close()
		for e, err := range readEvents(answer.Body) {
			if err != nil {
				yield(Event{}, c.lost(ctx, err))
				return
			}
			if !yield(e, nil) || e.Kind == EventEnded {
				return
			}
		}
	}
}

// readEvents decodes a stream of server-sent events. Each has one line of data; its other lines repeat what is in there. The last
// pair has an error: the stream's end is one, for a machine says that it ended.
func readEvents(r io.Reader) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		lines := bufio.NewScanner(r)
		lines.Buffer(nil, maxEvent)
		for lines.Scan() {
			data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data:"))
			if !ok {
				continue
			}
			var e Event
			if err := json.Unmarshal(data, &e); err != nil {
				yield(Event{}, err)
				return
			}
			if !yield(e, nil) {
				return
			}
		}
		err := lines.Err()
		if err == nil {
			err = io.ErrUnexpectedEOF
		}
		yield(Event{}, err)
	}
}

// EventStream is the answer to a request for events. Its methods are for one goroutine.
type EventStream struct {
	writer http.ResponseWriter
	ctl    *http.ResponseController
}

// NewEventStream begins an answer with w.
func NewEventStream(w http.ResponseWriter) (*EventStream, error) {
	s := &EventStream{writer: w, ctl: http.NewResponseController(w)}
	w.Header().Set("Content-Type", eventType)
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return s, s.flush()
}

// Send sends one event. An error means that the requester went away, or took none for too long.
func (s *EventStream) Send(e Event) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	if err := setWriteDeadline(s.ctl); err != nil {
		return err
	}
	if _, err := s.writer.Write([]byte("event: " + string(e.Kind) + "\ndata: " + string(text) + "\n\n")); err != nil {
		return err
	}
	return s.flush()
}

func (s *EventStream) flush() error {
	if err := s.ctl.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}
