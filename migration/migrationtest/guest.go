package migrationtest

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ferryvmm/ferry/guestmem"
	"github.com/ferryvmm/ferry/guestmem/guestmemtest"
	"github.com/ferryvmm/ferry/migration"
)

// Source is the place of a Guest in its World; Target that of a Host's.
const (
	Source = "source"
	Target = "target"
)

// Guest is a fake guest that writes its memory, as a vCPU does, while it runs.
type Guest struct {
	Memory *guestmem.Memory
	VM     *guestmemtest.VM
	// PauseErr and SaveErr, if set, fail the calls.
	PauseErr, SaveErr error
	// OnPause, if set, is called while the guest is being paused.
	OnPause func(context.Context)

	world *World
	rate  int // pages a second
	wss   uint64

	throttle atomic.Int64 // percent

	mu     sync.Mutex // guards the two below
	writes uint64
	stop   chan struct{} // nil: paused
	wg     sync.WaitGroup
}

var (
	_ migration.Guest     = (*Guest)(nil)
	_ migration.Throttler = (*Guest)(nil)
)

// NewGuest makes a guest with size bytes of memory, of which the first fill
// bytes are data, that runs. It writes rate pages a second within the first
// wss bytes.
func NewGuest(w *World, size, fill, wss uint64, rate int) (*Guest, error) {
	layout, err := guestmem.NewLayout(size)
	if err != nil {
		return nil, err
	}
	m, err := guestmem.New(layout)
	if err != nil {
		return nil, err
	}
	g := &Guest{Memory: m, VM: guestmemtest.NewVM(guestmemtest.InitiallySet), world: w, rate: rate, wss: wss}
	if err := g.VM.Attach(m); err != nil {
		return nil, err
	}
	page := make([]byte, 1<<20)
	random := rand.NewChaCha8([32]byte{1})
	for at := uint64(0); at < fill; at += uint64(len(page)) {
		random.Read(page)
		if err := g.VM.Write(page[:min(uint64(len(page)), fill-at)], at); err != nil {
			return nil, err
		}
	}
	return g, g.Resume()
}

// Pause implements migration.Guest.
func (g *Guest) Pause(ctx context.Context) error {
	if g.OnPause != nil {
		g.OnPause(ctx)
	}
	if g.PauseErr != nil {
		return g.PauseErr
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	g.mu.Lock()
	stop := g.stop
	g.stop = nil
	g.mu.Unlock()
	if stop != nil {
		close(stop)
		g.wg.Wait()
	}
	g.world.set(Source, false)
	return nil
}

// Save implements migration.Guest. The state tells the number of writes.
func (g *Guest) Save() ([]migration.Section, error) {
	if g.SaveErr != nil {
		return nil, g.SaveErr
	}
	// Saving may write memory: the target must see this.
	if err := g.Memory.WriteAt([]byte("saved"), g.Memory.Layout()[0].Size-8); err != nil {
		return nil, err
	}
	s, err := migration.NewSection("fake", 1, State{Writes: g.Writes()})
	return []migration.Section{s}, err
}

// State is what a fake guest saves.
type State struct {
	Writes uint64 `cbor:"writes"`
}

// Writes is the number of pages written.
func (g *Guest) Writes() uint64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.writes
}

// Resume implements migration.Guest.
func (g *Guest) Resume() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stop != nil {
		return nil
	}
	g.world.set(Source, true)
	g.stop = make(chan struct{})
	g.wg.Add(1)
	go g.run(g.stop)
	return nil
}

// Throttle implements migration.Throttler.
func (g *Guest) Throttle(percent int) error {
	g.throttle.Store(int64(percent))
	return nil
}

// Throttled is how much of the time the guest stands still now, in percent.
func (g *Guest) Throttled() int { return int(g.throttle.Load()) }

// run is the guest's vCPU.
func (g *Guest) run(stop chan struct{}) {
	defer g.wg.Done()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	before, due := time.Now(), 0.0
	var b [16]byte
	random := rand.NewChaCha8([32]byte{byte(g.Writes())})
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			due += now.Sub(before).Seconds() * float64(g.rate) * float64(100-g.throttle.Load()) / 100
			for before = now; due >= 1; due-- {
				random.Read(b[:])
				if err := g.VM.Write(b[:], random.Uint64()%(g.wss/16)*16); err != nil {
					panic(err)
				}
				g.mu.Lock()
				g.writes++
				g.mu.Unlock()
			}
		}
	}
}

// Close ends the guest and gives its memory back.
func (g *Guest) Close() error {
	g.OnPause, g.PauseErr = nil, nil
	if err := g.Pause(context.Background()); err != nil {
		return err
	}
	return g.Memory.Close()
}
