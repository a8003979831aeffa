package main

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/ferryvmm/ferry/vmm/supervisor/api"
)

func (a *app) topCommand() *cobra.Command {
	every := duration{d: time.Second, min: 10 * time.Millisecond}
	var count uint
	var plain bool
	cmd := &cobra.Command{
		Use:   "top [flags]",
		Short: "Watch what the machines do",
		Long: `Watch what the machines do: CPU, how fast they write memory, exits, disk and network, as rates since the look before. On a
terminal it is one live screen, else a table for each look; Ctrl-C leaves.

How fast a guest writes is measured over a tenth of the interval, in which its first write to each page costs a little more; a move,
a snapshot and a balloon go before. With --no-dirty-rate it is known of guests that move only.`,
		Args: takes(),
	}
	f := cmd.Flags()
	f.Var(&every, "interval", "the time between two looks")
	f.UintVar(&count, "count", 0, "leave after `N` looks (default 0, none)")
	f.BoolVar(&plain, "no-dirty-rate", false, "do not measure how fast guests write")
	a.jsonFlag(cmd)
	cmd.RunE = a.do(func(cmd *cobra.Command, args []string) error {
		dir, err := a.dir()
		if err != nil {
			return err
		}
		ctx, stop := a.untilSignal(cmd.Context())
		defer stop()
		w := &watcher{app: a, dir: dir, before: map[string]look{}}
		if !plain {
			w.sample = every.d / 10
		}
		return a.top(ctx, w, every.d, count)
	})
	return cmd
}

// top looks until ctx ends, or so many times unless that is 0.
func (a *app) top(ctx context.Context, w *watcher, every time.Duration, count uint) error {
	screen := newScreen(a.stdout)
	defer screen.close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for n := uint(1); ; n++ {
		rows, err := w.look(ctx)
		if err != nil {
			return err
		}
		if a.json {
			a.emit(struct {
				At       time.Time `json:"at"`
				Machines []topRow  `json:"machines"`
			}{time.Now(), rows})
		} else {
			screen.show(topText(rows, time.Now()))
		}
		if n == count {
			return nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// topRow is what one machine did since the look before; at the first look, since it runs here.
type topRow struct {
	Name          string    `json:"name"`
	State         api.State `json:"state"`
	CPUPercent    float64   `json:"cpu_percent"` // 100: one CPU
	MemoryBytes   uint64    `json:"memory_bytes"`
	ResidentBytes uint64    `json:"resident_bytes"`
	DirtyMiBS     *float64  `json:"dirty_mib_s"` // nil: not known
	Exits         float64   `json:"exits_per_s"`
	DiskRead      float64   `json:"disk_read_bytes_per_s"`
	DiskWritten   float64   `json:"disk_written_bytes_per_s"`
	DiskRequests  float64   `json:"disk_requests_per_s"`
	NetReceived   float64   `json:"net_rx_bytes_per_s"`
	NetSent       float64   `json:"net_tx_bytes_per_s"`
	NetPackets    float64   `json:"net_packets_per_s"`
}

// totals are counts of a machine that only grow.
type totals struct {
	cpuMS, exits, read, written, requests, received, sent, packets float64
}

func sum(s api.Statistics) totals {
	t := totals{cpuMS: s.ProcessMS}
	for _, v := range s.VCPUs {
		t.exits += float64(v.Exits())
	}
	for _, d := range s.Devices {
		if k := d.Disk; k != nil {
			t.read += float64(k.ReadBytes)
			t.written += float64(k.WrittenBytes)
			t.requests += float64(k.Reads + k.Writes + k.Flushes + k.Discards)
		}
		if n := d.Network; n != nil {
			t.received += float64(n.RxBytes)
			t.sent += float64(n.TxBytes)
			t.packets += float64(n.RxPackets + n.TxPackets)
		}
	}
	return t
}

// look is what a machine had done at a time of its life here.
type look struct {
	uptimeMS float64
	totals
}

// watcher looks at the machines of a folder again and again.
type watcher struct {
	*app
	dir    string
	sample time.Duration   // over which the dirty rate is measured; 0: not at all
	before map[string]look // at the last look, by name
}

// look describes all machines, by name.
func (w *watcher) look(ctx context.Context) ([]topRow, error) {
	machines, err := w.list(w.dir)
	if err != nil {
		return nil, err
	}
	rows := make([]topRow, len(machines))
	now := make([]look, len(machines))
	var all sync.WaitGroup
	for i, m := range machines {
		rows[i] = topRow{Name: m.Name, State: m.State, MemoryBytes: m.MemoryBytes, ResidentBytes: m.ResidentBytes}
		if m.SupervisorPID == 0 { // there is nobody to ask
			continue
		}
		last := w.before[m.Name]
		all.Go(func() { now[i] = w.ask(ctx, &rows[i], last) })
	}
	all.Wait()
	clear(w.before)
	for i, m := range machines {
		w.before[m.Name] = now[i]
	}
	slices.SortFunc(rows, func(x, y topRow) int { return cmp.Compare(x.Name, y.Name) })
	return rows, nil
}

// ask fills in what a machine did since the last look. One that ends meanwhile stays as it was listed.
func (w *watcher) ask(ctx context.Context, row *topRow, last look) look {
	client, err := w.open(w.dir, row.Name)
	if err != nil {
		return last
	}
	s, err := client.Statistics(ctx)
	if err != nil {
		return last
	}
	row.State, row.MemoryBytes, row.ResidentBytes = s.State, s.MemoryBytes, s.ResidentBytes
	now := look{uptimeMS: s.UptimeMS, totals: sum(s)}
	row.rates(now, last)
	row.DirtyMiBS = w.dirty(ctx, client, s.State)
	return now
}

// rates works out what was done between two looks. A machine of the same name that began since has done all that it did since then.
func (r *topRow) rates(now, last look) {
	if now.uptimeMS < last.uptimeMS || now.exits < last.exits {
		last = look{}
	}
	seconds := (now.uptimeMS - last.uptimeMS) / 1000
	if seconds <= 0 {
		return
	}
	per := func(now, last float64) float64 { return max(0, now-last) / seconds }
	r.CPUPercent = per(now.cpuMS, last.cpuMS) / 10
	r.Exits = per(now.exits, last.exits)
	r.DiskRead, r.DiskWritten, r.DiskRequests = per(now.read, last.read), per(now.written, last.written), per(now.requests, last.requests)
	r.NetReceived, r.NetSent, r.NetPackets = per(now.received, last.received), per(now.sent, last.sent), per(now.packets, last.packets)
}

// dirty is how fast a guest writes, in MiB/s: as its move has it, or measured. It is nil where that cannot be known.
func (w *watcher) dirty(ctx context.Context, client *api.Client, state api.State) *float64 {
	switch state {
	case api.StateMigrating:
		if m, err := client.Moving(ctx); err == nil && m.Progress != nil {
			rate := m.Progress.DirtyBitsPerS / 8 / (1 << 20)
			return &rate
		}
	case api.StateRunning:
		if w.sample <= 0 {
			return nil
		}
		rate, err := client.DirtyRate(ctx, api.DirtyRateRequest{DurationMS: api.Milliseconds(w.sample), Yield: true})
		if err == nil {
			return &rate.DirtyMiBS
		}
	}
	return nil
}
