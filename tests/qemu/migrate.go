package qemu

import (
	"context"
	"encoding/json"
	"fmt"
)

// Unlimited, in bytes per second, is more than any path here carries.
const Unlimited = 1 << 40

// MigrateOptions is how a guest is moved. The zero value is QEMU's default.
type MigrateOptions struct {
	DowntimeLimit int    // ms; 0 leaves QEMU's, 300
	MaxBandwidth  uint64 // bytes/s; 0 leaves QEMU's, 128 MiB/s
	Channels      int    // of multifd; 0: without it
	Compression   string // of multifd: none, zlib or zstd; empty: none
	Postcopy      bool   // with preempt, and from the first page on
}

func (o MigrateOptions) capabilities() []string {
	caps := []string{"events"}
	if o.Channels > 0 {
		caps = append(caps, "multifd")
	}
	if o.Postcopy {
		caps = append(caps, "postcopy-ram", "postcopy-preempt")
	}
	return caps
}

func (o MigrateOptions) parameters() map[string]any {
	p := make(map[string]any)
	if o.DowntimeLimit != 0 {
		p["downtime-limit"] = o.DowntimeLimit
	}
	if o.MaxBandwidth != 0 {
		p["max-bandwidth"] = o.MaxBandwidth
	}
	if o.Channels != 0 {
		p["multifd-channels"] = o.Channels
	}
	if o.Compression != "" {
		p["multifd-compression"] = o.Compression
	}
	return p
}

// Moved is what QEMU itself says about a move.
type Moved struct {
	Status     string `json:"status"`
	TotalMS    uint64 `json:"total-time"`
	DowntimeMS uint64 `json:"downtime"` // by its own clock
	SetupMS    uint64 `json:"setup-time"`
	ErrorDesc  string `json:"error-desc"`
	RAM        struct {
		Transferred uint64 `json:"transferred"` // bytes
		Normal      uint64 `json:"normal"`      // pages
		Duplicate   uint64 `json:"duplicate"`   // zero pages
	} `json:"ram"`
}

// agree has the machine move guests as o says. Both sides must.
func (m *Machine) agree(ctx context.Context, o MigrateOptions) error {
	type capability struct {
		Capability string `json:"capability"`
		State      bool   `json:"state"`
	}
	var caps []capability
	for _, c := range o.capabilities() {
		caps = append(caps, capability{c, true})
	}
	if err := m.Execute(ctx, "migrate-set-capabilities", map[string]any{"capabilities": caps}, nil); err != nil {
		return err
	}
	if p := o.parameters(); len(p) > 0 {
		return m.Execute(ctx, "migrate-set-parameters", p, nil)
	}
	return nil
}

// Listen has a machine with Incoming wait for a guest at uri, "tcp:ADDRESS:PORT".
func (m *Machine) Listen(ctx context.Context, uri string, o MigrateOptions) error {
	if err := m.agree(ctx, o); err != nil {
		return err
	}
	return m.Execute(ctx, "migrate-incoming", map[string]any{"uri": uri}, nil)
}

// Migrate moves the guest to uri, where a machine listens with the same o, and
// returns when QEMU calls the move completed.
func (m *Machine) Migrate(ctx context.Context, uri string, o MigrateOptions) (Moved, error) {
	if err := m.agree(ctx, o); err != nil {
		return Moved{}, err
	}
	if err := m.Execute(ctx, "migrate", map[string]any{"uri": uri}, nil); err != nil {
		return Moved{}, err
	}
	if o.Postcopy {
		if err := m.Execute(ctx, "migrate-start-postcopy", nil, nil); err != nil {
			return Moved{}, err
		}
	}
	var status string
	_, err := m.WaitEvent(ctx, func(e Event) bool {
		var data struct{ Status string }
		if e.Name != "MIGRATION" || json.Unmarshal(e.Data, &data) != nil {
			return false
		}
		status = data.Status
		return status == "completed" || status == "failed" || status == "cancelled"
	})
	if err != nil {
		return Moved{}, fmt.Errorf("qemu: wait for the end of the move: %w", err)
	}
	var moved Moved
	if err := m.Execute(ctx, "query-migrate", nil, &moved); err != nil {
		return Moved{}, err
	}
	if status != "completed" {
		return moved, fmt.Errorf("qemu: the move is %s: %s", status, moved.ErrorDesc)
	}
	return moved, nil
}
