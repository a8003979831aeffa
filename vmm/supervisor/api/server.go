package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// takeWithin bounds how long the reader of a stream may take for a line: whoever reads nothing is left.
const takeWithin = 5 * time.Second

// setWriteDeadline bounds the next write of an answer.
func setWriteDeadline(c *http.ResponseController) error {
	if err := c.SetWriteDeadline(time.Now().Add(takeWithin)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// maxRequest bounds the body of a request, in bytes.
const maxRequest = 64 << 10

// ReadRequest decodes the body of a request into out. It refuses fields that it does not know.
func ReadRequest(w http.ResponseWriter, r *http.Request, out any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxRequest))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(out); err != nil {
		return Errorf(CodeBadRequest, "see docs/openapi.json", "the request cannot be read: %v", err)
	}
	return nil
}

// WriteError answers with err, as AsError sees it, and the status that goes with its code.
func WriteError(w http.ResponseWriter, err error) {
	known := AsError(err)
	writeJSON(w, httpStatus(known.Code), ErrorBody{Error: known})
}

// WriteAnswer answers 200 with v; nil stands for {}.
func WriteAnswer(w http.ResponseWriter, v any) {
	if v == nil {
		v = struct{}{}
	}
	writeJSON(w, http.StatusOK, v)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil { // only a value that cannot be JSON: a fault in the program
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(text, '\n')) //nolint:errcheck // the peer went away: nobody is left to tell
}

// Stream is the answer to a migrate or snapshot request. Its methods may be called from several goroutines.
type Stream struct {
	mu      sync.Mutex // guards all below, and keeps lines whole
	writer  http.ResponseWriter
	flusher *http.ResponseController
	begun   bool
}

// NewStream returns a stream that answers with w.
func NewStream(w http.ResponseWriter) *Stream {
	return &Stream{writer: w, flusher: http.NewResponseController(w)}
}

// Progress sends one report. An error means that the requester went away.
func (s *Stream) Progress(p Progress) error { return s.line(StreamLine{Progress: &p}) }

// Result sends the last line. An error means that the requester went away.
func (s *Stream) Result(r Result) error {
	if r.Rounds == nil {
		r.Rounds = []Round{}
	}
	return s.line(StreamLine{Result: &r})
}

// Error answers with err instead of a result: by its status if no line has been sent yet, else as the last line. An error
// means that the requester went away.
func (s *Stream) Error(err error) error {
	s.mu.Lock()
	begun := s.begun
	s.mu.Unlock()
	if !begun {
		WriteError(s.writer, err)
		return nil
	}
	return s.line(StreamLine{Error: AsError(err)})
}

func (s *Stream) line(l StreamLine) error {
	text, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("api: stream: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.begun {
		s.begun = true
		s.writer.Header().Set("Content-Type", streamType)
	}
	if err := setWriteDeadline(s.flusher); err != nil {
		return fmt.Errorf("api: stream: %w", err)
	}
	if _, err := s.writer.Write(append(text, '\n')); err != nil {
		return fmt.Errorf("api: stream: %w", err)
	}
	if err := s.flusher.Flush(); err != nil {
		return fmt.Errorf("api: stream: %w", err)
	}
	return nil
}
