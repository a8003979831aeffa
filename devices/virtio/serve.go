package virtio

import "errors"

// ErrLater is what a request is answered with that cannot be served now: it
// goes back, and is asked for again after a wake of the queue's kick. Who can
// go on wakes it.
var ErrLater = errors.New("virtio request cannot be served yet")

// batch is how many requests are served before the driver is told of them.
const batch = 32

// Serve makes a worker, at rest, that serves the requests of a queue one after
// the other. serve returns how many bytes it wrote into the chain's writable
// buffers, from their start; it neither blocks nor keeps the chain. Its error,
// unless that is ErrLater, says that the driver broke the rules: then, as after a
// chain that is none, t fails and the queue is left alone.
func Serve(q *Queue, t Transport, serve func(c *Chain) (written uint32, err error)) *Worker {
	return NewWorker(q.Kick(), NewServer(q, t, serve).Step)
}

// Server serves the requests of a queue, as Serve says, for a worker that does
// other work too.
type Server struct {
	queue     *Queue
	transport Transport
	serve     func(*Chain) (uint32, error)
	chain     Chain
	failed    bool
	empty     bool // there was nothing more to serve
}

// NewServer makes a server.
func NewServer(q *Queue, t Transport, serve func(c *Chain) (written uint32, err error)) *Server {
	return &Server{queue: q, transport: t, serve: serve}
}

// Step serves a batch, and tells whether there is more: if not, the driver will kick.
func (s *Server) Step() (more bool) { return s.Work() || s.Ask() }

// Ask has the driver kick, and tells whether there is more already.
func (s *Server) Ask() (more bool) { return s.empty && s.queue.WantKicks() }

// Work serves a batch, and tells whether there was one, or a part of one: if not, Ask is to come before a wait.
func (s *Server) Work() (worked bool) {
	if s.empty = false; s.failed {
		return false
	}
	s.queue.NoKicks()
	n, err := 0, error(nil)
	for n < batch {
		var ok bool
		if ok, err = s.one(); !ok || err != nil {
			break
		}
		n++
	}
	s.queue.Publish()
	switch {
	case errors.Is(err, ErrLater):
		s.queue.Undo(1)
		return false
	case err != nil:
		s.failed = true
		s.transport.Fail(err)
		return false
	}
	s.empty = n == 0
	return n > 0
}

// one serves a request, if there is one.
func (s *Server) one() (bool, error) {
	ok, err := s.queue.Pop(&s.chain)
	if !ok || err != nil {
		return false, err
	}
	written, err := s.serve(&s.chain)
	if err != nil {
		return false, err
	}
	s.queue.Push(&s.chain, written)
	return true, nil
}
