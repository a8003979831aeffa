package console

import "os"

// read queues what a source types, until its end or the hub's. s is its sink, if
// it has one.
func (h *Hub) read(f *os.File, s *sink) {
	buf := make([]byte, 256)
	for {
		n, err := f.Read(buf)
		if !h.enqueue(buf[:n], s) || err != nil {
			return
		}
	}
}

// enqueue puts p into the ring of what is typed, and waits while that is full.
// It is false once the hub is closed or the sink has failed.
func (h *Hub) enqueue(p []byte, s *sink) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for {
		if h.closed || s != nil && s.failed {
			return false
		}
		n := min(len(p), h.typed.room())
		for _, b := range p[:n] {
			h.typed.put(b)
		}
		if n > 0 {
			h.changed.Broadcast()
		}
		if p = p[n:]; len(p) == 0 {
			return true
		}
		h.changed.Wait()
	}
}

// feed gives what was typed to the device, as fast as the guest reads it.
func (h *Hub) feed() {
	defer close(h.fed)
	buf := make([]byte, 256)
	h.mu.Lock()
	defer h.mu.Unlock()
	for !h.closed {
		if h.typed.count == 0 || h.input == nil {
			h.changed.Wait()
			continue
		}
		in, rooms := h.input, h.rooms
		typed := buf[:h.typed.peek(buf)]
		h.feeding = true
		h.mu.Unlock() // the device calls Put and Room with its own lock held
		n := in.Feed(typed)
		h.mu.Lock()
		h.feeding = false
		h.typed.drop(n)
		h.changed.Broadcast()
		for n == 0 && rooms == h.rooms && !h.closed {
			h.changed.Wait()
		}
	}
}
