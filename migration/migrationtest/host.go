package migrationtest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/migration"
)

// Host is a fake host that takes one guest at a time.
type Host struct {
	World *World
	// Refuse, RestoreErr and StartErr, if set, fail the calls.
	Refuse, RestoreErr, StartErr error
	// OnBuild, if set, is called in Build.
	OnBuild func(context.Context)
	// OnRestore and OnStart likewise.
	OnRestore, OnStart func()
	// Userfault is an open /dev/userfaultfd, or nil: then pages may not be missing.
	Userfault *os.File
	// Network is the guest's, nil if it has none.
	Network *Network
	// Images are what both hosts have; nil: none.
	Images migration.Images

	mu    sync.Mutex // guards built
	built *Built
}

var (
	_ migration.Host  = (*Host)(nil)
	_ migration.Built = (*Built)(nil)
)

// Build implements migration.Host.
func (h *Host) Build(ctx context.Context, d migration.Description) (migration.Built, error) {
	if h.OnBuild != nil {
		h.OnBuild(ctx)
	}
	if h.Refuse != nil {
		return nil, errors.Join(h.Refuse, closeHanded(d.Handed))
	}
	m, err := makeMemory(d)
	if err != nil {
		return nil, err
	}
	b := &Built{host: h, name: d.Name + "-moved", memory: m, Blobs: map[string]*Blob{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.built = b
	return b, nil
}

// makeMemory makes a guest's memory, of what was handed over if anything was.
func makeMemory(d migration.Description) (*guestmem.Memory, error) {
	if len(d.Handed) == 0 {
		return guestmem.New(d.Layout)
	}
	var files []*os.File
	for _, f := range d.Handed {
		files = append(files, f.File)
	}
	m, err := guestmem.Adopt(d.Layout, files)
	if err != nil {
		return nil, errors.Join(err, closeHanded(d.Handed))
	}
	return m, nil
}

func closeHanded(handed []migration.Handed) error {
	var errs []error
	for _, f := range handed {
		errs = append(errs, f.File.Close())
	}
	return errors.Join(errs...)
}

// Built is what Build made last, nil before.
func (h *Host) Built() *Built {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.built
}

// Built is a fake guest at its target.
type Built struct {
	host   *Host
	name   string
	memory *guestmem.Memory

	Blobs     map[string]*Blob
	State     State
	Started   bool
	Discarded bool
}

// Blob is the bytes of a blob.
type Blob struct {
	bytes.Buffer
	Complete bool
}

// Close says that the blob is complete.
func (b *Blob) Close() error {
	b.Complete = true
	return nil
}

// Name implements migration.Built.
func (b *Built) Name() string { return b.name }

// Memory implements migration.Built.
func (b *Built) Memory() *guestmem.Memory { return b.memory }

// Pull implements migration.Built.
func (b *Built) Pull() (*guestmem.Pull, error) {
	if b.host.Userfault == nil {
		return nil, errors.New("this host has no userfaultfd")
	}
	return b.memory.Pull(b.host.Userfault)
}

// Rehearsal implements migration.Built.
func (b *Built) Rehearsal() time.Duration { return 100 * time.Microsecond }

// Blob implements migration.Built: what is called "unwanted" is not wanted.
func (b *Built) Blob(info migration.BlobInfo) (io.WriteCloser, error) {
	if info.ID == "unwanted" {
		return nil, nil
	}
	b.Blobs[info.ID] = new(Blob)
	return b.Blobs[info.ID], nil
}

// Restore implements migration.Built.
func (b *Built) Restore(sections []migration.Section) error {
	if b.host.OnRestore != nil {
		b.host.OnRestore()
	}
	if b.host.RestoreErr != nil {
		return b.host.RestoreErr
	}
	known, err := migration.Pick(sections, "fake")
	if err != nil {
		return err
	}
	return known["fake"].Decode(&b.State)
}

// Start implements migration.Built.
func (b *Built) Start() error {
	if b.host.OnStart != nil {
		b.host.OnStart()
	}
	if b.host.StartErr != nil {
		return b.host.StartErr
	}
	b.host.World.set(Target, true)
	b.Started = true
	return nil
}

// Network implements migration.Built.
func (b *Built) Network() migration.NetworkTarget {
	if b.host.Network == nil {
		return nil
	}
	return b.host.Network
}

// Images implements migration.Built.
func (b *Built) Images() migration.Images { return b.host.Images }

// Discard implements migration.Built.
func (b *Built) Discard() error {
	if b.Started || b.Discarded {
		return errors.New("discarded although it was started or discarded")
	}
	b.Discarded = true
	return b.memory.Close()
}
