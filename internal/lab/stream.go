package lab

import (
	"bytes"
	"context"
	"io"
	"os"

	"github.com/ferryvmm/ferry/internal/direct"
)

// maxLine, in bytes, is how much of a line without an end is kept.
const maxLine = 4096

// Stream is one serial line under observation: the guest's output at one host.
type Stream struct {
	// Name is what was given to Watch.
	Name string

	done chan struct{} // closed when the reader has ended

	// Guarded by the Observer's lock.
	bytes   uint64 // read so far
	lines   uint64 // complete lines so far
	first   stamp  // of its first heartbeat; 0: none yet
	partial []byte // what follows the last line end
	ended   bool
	err     error // why it ended; nil for a plain end
}

// Wait waits for the stream's end, and returns what ended it: nil for an end
// of file.
func (s *Stream) Wait(ctx context.Context) error {
	select {
	case <-s.done:
		return s.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ReadLine reads a line, and nothing behind it: the rest is for Watch. It returns the line without its end.
func ReadLine(f *os.File) (string, error) {
	var line []byte
	for b := make([]byte, 1); ; {
		if _, err := f.Read(b); err != nil {
			return string(line), err
		}
		if b[0] == '\n' {
			return string(line), nil
		}
		line = append(line, b[0])
	}
}

// Watch reads r, the next place where the guest may print, until its end.
// Streams are watched in the order in which the guest visits them: a line that
// a move cut in two is joined from the end of one stream and the beginning of
// the next that printed anything. Closing r is the caller's business.
func (o *Observer) Watch(name string, r io.Reader) *Stream {
	s := &Stream{Name: name, done: make(chan struct{})}
	o.mu.Lock()
	o.streams = append(o.streams, s)
	o.mu.Unlock()
	go func() {
		if f, ok := r.(*os.File); ok {
			f.Fd()          // it blocks from here on, and the kernel wakes the thread that reads,
			direct.Thread() // before all that the move keeps busy: the stamps are the guest's, not the reader's
		}
		buf := make([]byte, 16<<10)
		for {
			n, err := r.Read(buf)
			at := Now()
			o.mu.Lock()
			o.take(s, buf[:n], at)
			if err != nil {
				o.end(s, err)
				o.mu.Unlock()
				close(s.done)
				return
			}
			o.mu.Unlock()
		}
	}()
	return s
}

// take splits what was read into lines.
// Precondition: o.mu is held.
func (o *Observer) take(s *Stream, b []byte, at stamp) {
	s.bytes += uint64(len(b))
	for {
		line, rest, found := bytes.Cut(b, []byte("\n"))
		if room := maxLine - len(s.partial); len(line) > room {
			line = line[:room]
		}
		if !found {
			s.partial = append(s.partial, line...)
			return
		}
		b = rest
		if len(s.partial) > 0 {
			line = append(s.partial, line...)
		}
		o.line(s, line, at)
		s.partial = s.partial[:0]
	}
}

// line records one complete line.
// Precondition: o.mu is held.
func (o *Observer) line(s *Stream, line []byte, at stamp) {
	e := parseLine(line)
	e.Stream, e.At = s.Name, at
	s.lines++
	if s.lines == 1 && e.Kind == Text {
		o.heads = append(o.heads, head{stream: s, text: string(line), at: at})
		o.join()
	}
	o.event(s, e)
}

// end records that a stream ended.
// Precondition: o.mu is held.
func (o *Observer) end(s *Stream, err error) {
	if err != io.EOF {
		s.err = err
	}
	s.ended = true
	o.join()
	o.wakeEnded()
}

// head is the first line of a stream, when it is nothing by itself: perhaps
// the second half of a line that the guest began on the stream before.
type head struct {
	stream *Stream
	text   string
	at     stamp
}

// join puts together the lines that moves cut in two. The first half is only
// known once its stream has ended.
// Precondition: o.mu is held.
func (o *Observer) join() {
	kept := o.heads[:0]
	for _, h := range o.heads {
		before := o.before(h.stream)
		if before == nil {
			continue // nothing was printed before: it is what it is
		}
		if !before.ended {
			kept = append(kept, h)
			continue
		}
		if e, ok := h.behind(before); ok {
			before.partial = nil
			o.event(h.stream, e)
		}
	}
	o.heads = kept
}

// behind is the line that a head makes with what a stream has said last.
func (h head) behind(s *Stream) (e Event, ok bool) {
	if len(s.partial) == 0 {
		return e, false
	}
	e = parseLine(append(bytes.Clone(s.partial), h.text...))
	e.Stream, e.At = h.stream.Name, h.at
	return e, e.Kind != Text
}

// pending are the heartbeats of each vCPU whose lines were cut in two, of streams that have not ended: a source from which memory is still fetched.
// Precondition: o.mu is held.
func (o *Observer) pending() map[int][]beat {
	all := make(map[int][]beat)
	for _, h := range o.heads {
		if before := o.before(h.stream); before != nil {
			if e, ok := h.behind(before); ok && e.Kind == Beat {
				all[e.CPU] = append(all[e.CPU], beat{number: e.Number, at: e.At, stream: h.stream})
			}
		}
	}
	return all
}

// before returns the last stream watched before s that printed anything.
// Precondition: o.mu is held.
func (o *Observer) before(s *Stream) *Stream {
	var last *Stream
	for _, t := range o.streams {
		if t == s {
			break
		}
		if t.bytes > 0 {
			last = t
		}
	}
	return last
}
