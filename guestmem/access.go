package guestmem

// ReadAt fills p with guest memory at gpa. A hole reads as zeros and stays a hole; missing pages are waited for. Errors:
// ErrOutside unless all of it is inside one region; ErrInterrupted.
func (m *Memory) ReadAt(p []byte, gpa uint64) error {
	r, off, err := m.find(gpa, uint64(len(p)))
	if err != nil || len(p) == 0 {
		return err
	}
	if err := m.await(r, off, uint64(len(p))); err != nil {
		return err
	}
	if err := r.read(p, off); err != nil {
		return err
	}
	if poisoning {
		taste(p, gpa)
	}
	return nil
}

// WriteAt puts p into guest memory at gpa, and marks the pages dirty once the bytes are there. It waits for missing pages of
// which it writes a part, and fills those that it writes whole. Errors: ErrOutside unless all of it is inside one region,
// ErrInterrupted; then nothing was written.
func (m *Memory) WriteAt(p []byte, gpa uint64) error {
	r, off, err := m.find(gpa, uint64(len(p)))
	if err != nil || len(p) == 0 {
		return err
	}
	if pull := m.pull.Load(); pull != nil {
		err = pull.write(&pull.regions[r.slot], p, off)
	} else {
		err = r.write(p, off)
	}
	// After the write: a tracker that has taken the mark must find the bytes. Also after a failed one, which may be partial.
	r.own.setRange(off/PageSize, (off+uint64(len(p))+PageSize-1)/PageSize)
	return err
}

// Punch makes whole pages of guest memory a hole, which reads as zeros and costs nothing, and marks them dirty: the target
// of a move must learn of it. Missing pages are missing no more. Errors: ErrAlign, ErrOutside.
func (m *Memory) Punch(gpa, size uint64) error {
	r, off, err := m.findPages(gpa, size)
	if err != nil {
		return err
	}
	if pull := m.pull.Load(); pull != nil {
		if _, err := pull.FillZero(gpa, size); err != nil {
			return err
		}
	}
	defer m.retire(r, off, size)()
	// A tracker between looking at its present bits and reading the pages would allocate them again.
	m.mu.Lock()
	defer m.mu.Unlock()
	err = r.punch(off, size)
	if r.present != nil {
		r.present.dropRange(off/PageSize, (off+size)/PageSize)
	}
	r.own.setRange(off/PageSize, (off+size)/PageSize)
	return err
}

// View returns guest memory at [gpa, gpa+size) itself, through the host mapping: the guest may change it at any time, and
// reading what is a hole allocates it. Missing pages are waited for: once it returns, all are there for good. Who writes to
// it calls MarkDirty behind that. Errors: ErrOutside unless all of it is inside one region; ErrInterrupted.
//
// Precondition: it is used no longer than until Close.
func (m *Memory) View(gpa, size uint64) ([]byte, error) {
	r, off, err := m.find(gpa, size)
	if err != nil {
		return nil, err
	}
	if err := m.await(r, off, size); err != nil {
		return nil, err
	}
	view := r.host.bytes[off : off+size : off+size]
	if poisoning && m.pull.Load() != nil { // looking at a hole would allocate it
		taste(view, gpa)
	}
	return view, nil
}

// Check tells whether a view could be had: ErrOutside unless all of [gpa, gpa+size) is inside one region. It never waits.
func (m *Memory) Check(gpa, size uint64) error {
	_, _, err := m.find(gpa, size)
	return err
}

// MarkDirty notes that [gpa, gpa+size) was written through a view. It must come after the bytes have landed. What is
// outside guest memory is ignored.
func (m *Memory) MarkDirty(gpa, size uint64) {
	r, off, err := m.find(gpa, size)
	if err != nil || size == 0 {
		return
	}
	r.own.setRange(off/PageSize, (off+size+PageSize-1)/PageSize)
}
