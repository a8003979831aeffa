package virtiotest

import "time"

// transport is what the device sees of a driver that was started.
type transport struct {
	d      *Driver
	failed chan struct{}
}

// ConfigChanged implements virtio.Transport.
func (t transport) ConfigChanged() {
	t.d.mu.Lock()
	t.d.configs++
	t.d.mu.Unlock()
	t.d.tell()
}

// Fail implements virtio.Transport.
func (t transport) Fail(err error) {
	t.d.mu.Lock()
	if t.d.failure == nil && err != nil {
		t.d.failure = err
		close(t.failed)
	}
	t.d.mu.Unlock()
	t.d.tell()
}

func (d *Driver) tell() {
	select {
	case d.changed <- struct{}{}:
	default:
	}
}

func (d *Driver) setFailure(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failure = err
}

// ConfigChanges is how often the device said that its configuration changed.
func (d *Driver) ConfigChanges() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.configs
}

// Failure is what the device called Fail with since it was started, if it did.
func (d *Driver) Failure() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.failure
}

// WaitConfigChanges returns when the device has said n times that its configuration changed.
func (d *Driver) WaitConfigChanges(n int) {
	d.t.Helper()
	deadline := time.After(patience)
	for d.ConfigChanges() < n {
		select {
		case <-d.changed:
		case <-deadline:
			d.t.Fatalf("changes of configuration: got %d; want %d", d.ConfigChanges(), n)
		}
	}
}

// WaitFailure returns what the device calls Fail with.
func (d *Driver) WaitFailure() error {
	d.t.Helper()
	select {
	case <-d.failed:
	case <-time.After(patience):
		d.t.Fatal("the device goes on; want that it says it needs a reset")
	}
	return d.Failure()
}

// watched is the memory that queues get: a device at rest may not write to it.
type watched struct{ d *Driver }

// View implements virtio.Memory.
func (w watched) View(gpa, size uint64) ([]byte, error) { return w.d.mem.View(gpa, size) }

// Check implements virtio.Memory.
func (w watched) Check(gpa, size uint64) error { return w.d.mem.Check(gpa, size) }

// MarkDirty implements virtio.Memory.
func (w watched) MarkDirty(gpa, size uint64) {
	if !w.d.active.Load() {
		w.d.t.Errorf("a device that is at rest or stopped wrote to [%#x, +%#x)", gpa, size)
	}
	w.d.mem.MarkDirty(gpa, size)
}
